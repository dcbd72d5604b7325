"""What an animator does most, under a real display server by a real mouse and keyboard, seen in the screen's pixels.

The same things are tried off-screen elsewhere, in more cases; here nothing stands between the hand and the window.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ..studio.shapes import write_ball
from .real_hands import RealHands, Spot, Told

CHANGED = 24  # of 255: a pixel that differs by more shows something else


@pytest.fixture(scope="module")
def _window(screen: tuple[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealHands]:
    folder = tmp_path_factory.mktemp("window")
    hands = RealHands(*screen, write_ball(folder / "ball.obj"), folder / "work")
    yield hands
    hands.close()


@pytest.fixture
def hands(_window: RealHands) -> RealHands:
    _window.fresh()
    return _window


def frames(told: Told) -> list[list[int]]:
    return [sorted(int(frame) for frame in keys) for keys in told["keys"]]


def spots(told: Told) -> list[Spot]:
    """Five places on the creature, each clear of the ring around the one before."""
    x, y = told["front"]
    return [(x + dx, y + dy) for dx, dy in ((0, 0), (60, -30), (130, 0), (70, 40), (0, -55))]


def go_to(hands: RealHands, frame: int) -> None:
    hands.key("g")
    hands.key("ctrl+a")
    hands.write(str(frame))
    hands.key("Return")
    hands.until(lambda told: told["frame"] == frame)


def with_key(hands: RealHands) -> None:
    """A handle, dragged: a key in the last frame, and the draft of its motion standing still."""
    hands.click(spots(hands.told())[0])
    knob = hands.until(lambda told: told["knobs"])["knobs"][0]
    hands.drag(tuple(knob), (knob[0] + 60, knob[1] - 80))
    hands.until(lambda told: told["results"] == 1 and not told["job"])
    if hands.told()["playing"]:
        hands.key("space")


def generate(hands: RealHands) -> None:
    hands.key("ctrl+Return")
    hands.until(lambda told: told["results"] == 4 and not told["job"] and told["quality"] == "normal")
    hands.key("space")
    hands.until(lambda told: not told["playing"])


def test_a_typed_length_keeps_the_keys_and_a_typed_place_moves_one(hands: RealHands) -> None:
    with_key(hands)
    for frame in (4, 8, 12):
        go_to(hands, frame)
        hands.key("k")
    assert frames(hands.told()) == [[4, 8, 12, 16]]
    hands.type_into("##Length", "120")
    told = hands.until(lambda told: told["length"] == 120)
    assert frames(told) == [[30, 60, 89, 119]]
    hands.key("ctrl+z")
    assert frames(hands.until(lambda told: told["length"] == 17)) == [[4, 8, 12, 16]]
    go_to(hands, 8)
    hands.type_into("##X", "0.75")
    hands.until(lambda told: told["keys"][0]["8"][0] == pytest.approx(0.75))


def test_esc_closes_the_menu_alone(hands: RealHands) -> None:
    with_key(hands)
    hands.hold(True)
    hands.key("ctrl+Return")
    hands.until(lambda told: told["job"])
    hands.click(hands.item("File"))
    hands.until(lambda told: told["popup"])
    hands.key("Escape")
    told = hands.until(lambda told: not told["popup"])
    assert told["job"], "the generation goes on"
    hands.key("Escape")
    hands.until(lambda told: not told["job"])


def test_the_view_and_the_buttons_keep_still_while_handles_come(hands: RealHands) -> None:
    def places(told: Told) -> list[object]:
        return [told["view"], told["region"], *(told["items"][name] for name in ("Generate 4 motions", "##ruler"))]

    before = places(hands.told())
    for at in spots(hands.told()):
        hands.click(at)
    told = hands.until(lambda told: len(told["knobs"]) == 5)
    assert places(told) == before
    delete = told["items"]["Delete key"]
    knob = told["knobs"][-1]
    hands.drag(tuple(knob), (knob[0] + 60, knob[1] - 80))
    told = hands.until(lambda told: told["results"] == 1 and not told["job"])
    assert places(told) == before and told["items"]["Delete key"] == delete
    hands.key("f")
    hands.until(lambda told: told["view"] != before[0])


def test_what_is_written_is_right(hands: RealHands) -> None:
    hands.click(spots(hands.told())[0])
    hands.until(lambda told: "in the last frame" in told["hint"])
    go_to(hands, 7)
    hands.until(lambda told: "in frame 7" in told["hint"])
    hands.until(lambda told: "%d seeds" in told["formats"])
    for left in (3, 2, 1):
        hands.click(hands.item("Motions -"))
        hands.until(lambda told, left=left: told["seeds"] == left)  # type: ignore[misc]
    hands.until(lambda told: "Generate 1 motion" in told["items"] and "%d seed" in told["formats"])
    for _ in range(3):
        hands.click(hands.item("Motions +"))  # the next mesh is opened with it


def test_the_mesh_follows_the_hand_before_the_button_is_let_go(hands: RealHands) -> None:
    hands.click(spots(hands.told())[0])
    knob = hands.until(lambda told: told["knobs"])["knobs"][0]
    hands.hold(True)
    before = hands.still_pixels()
    hands.drag(tuple(knob), (knob[0] + 60, knob[1] - 80), release=False)
    told = hands.until(lambda told: told["posed"])
    assert told["results"] == 0, "no motion is there yet"
    # So many pixels that the mesh itself has moved, not only a knob on it.
    hands.until_seen(lambda pixels: (np.abs(pixels - before).max(axis=2) > CHANGED).sum() > 1500)
    hands.release()
    hands.hold(False)
    hands.until(lambda told: told["results"] == 1 and not told["posed"])


def test_keys_are_boxed_copied_pasted_and_deleted(hands: RealHands) -> None:
    with_key(hands)
    for frame in (4, 8):
        go_to(hands, frame)
        hands.key("k")
    low, high = hands.key_at(0, 3), hands.key_at(0, 9)
    hands.drag((low[0], low[1] - 6), (high[0], high[1] + 6))
    hands.until(lambda told: told["chosen_keys"] == [[0, 4], [0, 8]])
    hands.key("ctrl+c")
    go_to(hands, 10)
    hands.key("ctrl+v")
    told = hands.until(lambda told: len(told["keys"][0]) == 5)
    assert frames(told) == [[4, 8, 10, 14, 16]] and told["keys"][0]["14"] == told["keys"][0]["8"]
    hands.key("Delete")
    hands.until(lambda told: frames(told) == [[4, 8, 16]])


def test_a_box_in_the_view_chooses_handles(hands: RealHands) -> None:
    for at in spots(hands.told())[:2]:
        hands.click(at)
    knobs = np.array(hands.until(lambda told: len(told["knobs"]) == 2)["knobs"])
    low, high = knobs.min(axis=0) - 25, knobs.max(axis=0) + 25
    hands.until(lambda told: told["chosen_rows"] == [1])
    hands.key("b")
    hands.drag((low[0], low[1]), (high[0], high[1]))
    hands.until(lambda told: told["chosen_rows"] == [0, 1])


def test_a_loop_is_asked_for_and_the_player_repeats(hands: RealHands) -> None:
    with_key(hands)
    hands.click(hands.item("Loop"))  # what it is called in a small window
    hands.until(lambda told: told["loop"])
    generate(hands)
    go_to(hands, 15)
    hands.key("space")
    hands.until(lambda told: told["playing"] and told["frame"] < 8)
    hands.key("space")
    hands.click(hands.item("Repeat"))
    go_to(hands, 15)
    hands.key("space")
    hands.until(lambda told: not told["playing"] and told["frame"] == 16)
    hands.click(hands.item("Repeat"))


def test_a_film_is_rendered_and_a_motion_exported(hands: RealHands) -> None:
    hands.type_into("##Length", "3")
    hands.until(lambda told: told["length"] == 3)
    with_key(hands)
    hands.key("ctrl+e")
    told = hands.until(lambda told: told["dialog"] == "export" and told["export"])
    assert Path(told["export"]).parent == hands.folder.parent, "beside the mesh"
    hands.click(hands.item("Export"))
    hands.until(lambda told: told["message"].startswith("Exported"))
    assert Path(told["export"]).stat().st_size > 1000
    hands.key("ctrl+r")
    hands.until(lambda told: told["dialog"] == "render")
    hands.click(hands.item("PNG images"))
    hands.click(hands.item("##sizes"))
    hands.click(hands.item("640 x 360"))
    hands.until(lambda told: "640 x 360" not in told["items"])
    hands.click(hands.item("##path"))
    hands.key("End")
    hands.write("-as-seen")
    hands.until(lambda told: told["film"].endswith("ball-motion-as-seen"))
    hands.click(hands.item("Render"))
    hands.until(lambda told: told["message"].startswith("Rendered") or told["notice"])
    pictures = sorted((hands.folder.parent / "ball-motion-as-seen").iterdir())
    with Image.open(pictures[-1]) as picture:
        assert picture.size == (640, 360) and len(pictures) == 3


def test_motions_outlive_a_window_that_is_killed(screen: tuple[str, Path], tmp_path: Path) -> None:
    mesh = write_ball(tmp_path / "ball.obj")
    first = RealHands(*screen, mesh, tmp_path / "work")
    try:
        with_key(first)
        generate(first)
        first.until(lambda told: told["autosaved"] == 4)
        first.process.send_signal(signal.SIGKILL)
        first.process.wait(20)
        second = RealHands(*screen, mesh, tmp_path / "work")
        try:
            assert second.told()["recovery"]
            second.click(second.item("Recover"))
            told = second.until(lambda told: told["results"] == 4)
            assert len(told["keys"]) == 1 and "Recovered" in told["message"]
        finally:
            second.close()
    finally:
        first.close()
