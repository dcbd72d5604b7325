"""Keys of one's own: what the file may say, and what becomes of a hostile one."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import DataError
from m2v_studio.view.keymap import Chord, read_bindings, resolved

NAMES = ("play", "copy", "overlay")


def read(tmp_path: Path, text: str | bytes) -> tuple[dict[str, tuple[Chord, ...]], list[str]]:
    path = tmp_path / "keys.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_bindings(path, NAMES)


@pytest.mark.parametrize("text", ["Ctrl+Shift+Z", "Del", "Numpad 1", "Numpad +", ".", "Alt+Left", "Ctrl+Numpad Enter"])
def test_a_chord_reads_as_it_is_written(text: str) -> None:
    assert str(Chord.parse(text)) == text


def test_case_and_order_do_not_matter() -> None:
    assert Chord.parse("shift + CTRL + z") == Chord.parse("Ctrl+Shift+Z")


@pytest.mark.parametrize("text", ["", "Ctrl+", "Hyper+Z", "Ctrl+Shift", "Ctrl+Z+Y", "é"])
def test_what_is_no_chord_is_named(text: str) -> None:
    with pytest.raises(DataError, match="is not a key"):
        Chord.parse(text)


def test_one_key_several_keys_and_no_key(tmp_path: Path) -> None:
    found, faults = read(tmp_path, "play: K\ncopy: [F4, Ctrl+K]\noverlay: []\n")
    assert not faults
    assert {name: [str(chord) for chord in chords] for name, chords in found.items()} == {
        "play": ["K"],
        "copy": ["F4", "Ctrl+K"],
        "overlay": [],
    }


def test_no_file_and_an_empty_file_change_nothing(tmp_path: Path) -> None:
    assert read_bindings(tmp_path / "none.yaml", NAMES) == ({}, [])
    assert read(tmp_path, "# nothing\n") == ({}, [])


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("pla: K", "no command 'pla'"),
        ("play: Hyper+K", "is not a key"),
        ("play: {a: b}", "is not a key"),
        ("[1, 2]", "lines such as"),
        ("a: &a [x]\nplay: *a\n", "aliases"),
        ("play: !!python/object/apply:os.system ['true']", "cannot be read"),
        (b"\xff\xfe\x00play", "cannot be read"),
        ("[" * 50, "nested"),
        ("play: " + "x" * (2 << 20), "too large"),
        ("play: K\ncopy: K\n", "assigned to play and copy"),
        ("1: 2", "no command '1'"),
    ],
)
def test_a_hostile_or_wrong_file_is_named_and_does_no_harm(tmp_path: Path, text: str | bytes, part: str) -> None:
    found, faults = read(tmp_path, text)
    assert len(faults) == 1 and part in faults[0]
    assert not found.get("copy"), "what cannot be used binds nothing"


def test_own_keys_take_the_given_ones_away_from_other_commands() -> None:
    def chords(*texts: str) -> tuple[Chord, ...]:
        return tuple(Chord.parse(text) for text in texts)

    given = {"play": chords("Space"), "copy": chords("Ctrl+C", "K"), "overlay": chords("O")}
    own = {"play": chords("K"), "overlay": ()}
    assert resolved(own, given) == {"play": chords("K"), "copy": chords("Ctrl+C"), "overlay": ()}
    assert resolved({}, given) == given
