"""Tooltips, menus and hints name the keys that the user has bound, not those of the factory."""

from __future__ import annotations

from collections.abc import Iterator

import polyscope.imgui as psim
import pytest

from core.assets import config_folder
from m2v_studio.driver import Driver
from m2v_studio.view.actions import ACTIONS

from .hands import generate


@pytest.fixture
def keys_file(driver: Driver) -> Iterator[object]:
    """Writes the user's keys file and reads it in; the given keys are back afterwards."""
    path = config_folder() / "keys.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)

    def write(text: str) -> None:
        path.write_text(text)
        driver.app._read_keys()

    yield write
    path.unlink()
    driver.app._read_keys()


def tooltips(driver: Driver) -> str:
    """The text of every tooltip of the main window, drawn in one frame."""
    seen: list[str] = []
    plain, hovered = psim.TextUnformatted, psim.IsItemHovered
    psim.TextUnformatted = lambda text: (seen.append(text), plain(text))[1]  # type: ignore[assignment]
    psim.IsItemHovered = lambda *_: True  # type: ignore[assignment]
    try:
        driver.tick(1, 0.0)
    finally:
        psim.TextUnformatted, psim.IsItemHovered = plain, hovered
    return "\n".join(seen)


def test_tooltips_name_the_users_keys(driver: Driver, keys_file) -> None:  # type: ignore[no-untyped-def]
    generate(driver)
    shown = tooltips(driver)
    for text in ("Sample the motions (Ctrl+Enter", "(Ctrl+E)", "(Space)", "(Home)", "(Del or Backspace)", "(P)"):
        assert text in shown, text
    keys_file("generate: F6\nexport: F7\nplay: [F8, P]\nfirst_frame: F9\ndelete: F11\ngizmo: []\nresult_1: F12\n")
    shown = tooltips(driver)
    for text in ("Sample the motions (F6)", "(F7)", "(F8 or P)", "(F9)", "(F11)", "right-click for more (F12)"):
        assert text in shown, text
    assert "(W)" not in shown and "Stays where it is in every frame (" not in shown, "W and P are given away"


def test_no_tooltip_names_a_key_that_was_taken_away(driver: Driver, keys_file) -> None:  # type: ignore[no-untyped-def]
    generate(driver)
    keys_file("".join(f"{action.name}: []\n" for action in ACTIONS))
    shown = tooltips(driver)
    assert "Sample the motions" in shown
    chords = [str(chord) for action in ACTIONS for chord in action.keys]
    named = [chord for chord in chords if f"({chord})" in shown or f"({chord} or" in shown]
    assert not named


def test_a_job_is_cancelled_by_the_key_that_the_user_chose(driver: Driver, keys_file) -> None:  # type: ignore[no-untyped-def]
    generate(driver)
    keys_file("escape: F5\n")
    assert driver.app.studio.state.view.selected is not None
    driver.key(psim.ImGuiKey_F5)
    assert driver.app.studio.state.view.selected is None, "nothing was open or running: the choice is given up"
