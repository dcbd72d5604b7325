"""The window of motions: what is in the bank, on and off, files of one's own. With real clicks and keys."""

from __future__ import annotations

from pathlib import Path

import polyscope.imgui as psim
import pytest

from core.bank.user_bank import user_bank, user_shapes
from core.io.export import export_sequence
from m2v_studio.document.project import load_project, save_project
from m2v_studio.document.settings import load_settings
from m2v_studio.driver import Driver
from tests.rigging.bent_tube import bent_tube

from .hands import button_at, field_at, finish, generate, item_at


def opened(driver: Driver) -> None:
    context = driver.app.context
    field_at(driver, "##behaviour", "BeginCombo")  # scrolls the row into sight
    driver.click(button_at(driver, "Motions…"))
    assert context.motions_open
    driver.until(lambda: context.motions.packs is not None)
    driver.settle()


def box_at(driver: Driver, name: str) -> tuple[float, float]:
    return item_at(driver, "CheckboxFlags", f"##on {name}")


def typed(driver: Driver, field: str, words: str) -> None:
    driver.click(item_at(driver, "InputTextWithHint", field))
    driver.type(words)
    driver.settle()


def test_a_pack_that_is_switched_off_is_not_asked_for_and_stays_off(driver: Driver, tmp_path: Path) -> None:
    state = generate(driver)
    assert driver.animator.calls[-1].without == ()  # type: ignore[attr-defined]
    opened(driver)
    driver.click(box_at(driver, "animated animals"))
    finish(driver)
    studio = driver.app.studio
    assert studio.state.document.without == ("animated animals",)
    assert driver.animator.calls[-1].without == ("animated animals",)  # type: ignore[attr-defined]
    assert load_settings().without == ("animated animals",)
    save_project(studio.state, tmp_path / "off.m2v")
    assert load_project(tmp_path / "off.m2v")[0].without == ("animated animals",)
    driver.click(box_at(driver, "animated animals"))
    assert studio.state.document.without == () == state.document.without
    driver.key(psim.ImGuiKey_Escape)
    assert not driver.app.context.motions_open


def test_a_search_switches_only_what_is_found(driver: Driver) -> None:
    opened(driver)
    typed(driver, "##words", "horse gallop")
    driver.click(box_at(driver, "animated animals"))
    without = driver.app.studio.state.document.without
    assert without and all(name.startswith("Horse/") and "Gallop" in name for name in without)


def test_files_of_ones_own_are_added_and_removed_and_broken_ones_named(driver: Driver, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    export_sequence(bent_tube(24, 1.0), folder / "waving.npz")
    (folder / "broken.glb").write_bytes(b"glTF nothing")
    opened(driver)
    shelf = driver.app.context.motions
    typed(driver, "##path", str(folder))
    driver.click(button_at(driver, "Add"))
    driver.until(lambda: not shelf.adding)
    driver.until(lambda: any(pack.own for pack in shelf.packs or ()))
    assert [shape.name for shape in user_shapes()] == ["waving"]
    assert len(shelf.skipped) == 1 and "broken.glb" in shelf.skipped[0]
    assert shelf.packs is not None and shelf.packs[0].own
    typed(driver, "##words", "waving")
    across, down = box_at(driver, "waving")
    driver.click((across + 26, down))  # open the pack
    driver.settle()
    driver.click(button_at(driver, "Remove"))
    driver.until(lambda: not any(pack.own for pack in shelf.packs or ()))
    assert not user_bank().is_file()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_window_can_be_drawn_in_both_themes(driver: Driver, tmp_path: Path, theme: str) -> None:
    driver.app.studio.change_settings(theme=theme)
    opened(driver)
    driver.click(box_at(driver, "dinosaurs"))
    picture = driver.screenshot(tmp_path / f"{theme}.png")
    assert picture.stat().st_size > 10_000
