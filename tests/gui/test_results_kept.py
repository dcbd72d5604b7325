"""Results that are starred, named and made into keys, in the real window by real input."""

from __future__ import annotations

import polyscope.imgui as psim

from m2v_studio.document import commands
from m2v_studio.document.result_commands import mark_of, result_label
from m2v_studio.driver import Driver, Point

from .hands import CTRL, button_at, finish, generate, item_at, rest
from .test_habits import choose_from_menu


def at_star(driver: Driver, row: int) -> Point:
    return item_at(driver, "InvisibleButton", f"##star{row}")


def test_a_star_is_clicked_and_its_result_stays_when_a_draft_comes(driver: Driver) -> None:
    studio = driver.app.studio
    generate(driver)
    driver.click(at_star(driver, 2))
    assert mark_of(studio.state.results, 2).star and studio.state.view.solo == 0, "the star, not the row"
    studio.do("key", commands.set_key, 0, 7, studio.state.document.handles[0].keys[16])
    studio.request_draft()
    finish(driver)
    rest(driver)
    assert studio.state.results is not None
    assert [s.seed for s in studio.state.results.samples.samples] == [0, 2]
    driver.key(psim.ImGuiKey_2)
    driver.settle()
    assert driver.app.viewport.figures[0].label == "seed 2, of an older edit"


def test_a_result_is_named_and_the_others_deleted_by_a_right_click(driver: Driver) -> None:
    studio = driver.app.studio
    generate(driver)
    row = item_at(driver, "Selectable", "     3##row3")
    driver.move(row)
    driver.press(1)
    driver.release(1)
    driver.tick(3)
    driver.type("gallop")
    driver.key(psim.ImGuiKey_Enter)
    driver.tick(2)
    assert result_label(studio.state.results, 3) == "gallop" and mark_of(studio.state.results, 3).star  # type: ignore[arg-type]
    driver.move(row)
    driver.press(1)
    driver.release(1)
    driver.tick(3)
    choose_from_menu(driver, "Delete the others")
    assert studio.state.results is not None and len(studio.state.results.samples.samples) == 1
    rest(driver)
    assert driver.app.viewport.figures[0].label == "gallop"


def test_a_result_becomes_keys_in_one_step_that_is_undone(driver: Driver) -> None:
    studio = driver.app.studio
    generate(driver)
    before = studio.state.document
    driver.click(button_at_menu(driver, "Motion"))
    driver.tick(3)
    choose_from_menu(driver, "Make this result my keys")
    assert len(studio.state.document.handles) >= 8
    state = finish(driver)
    assert state.results is not None and state.results.quality == "draft"
    driver.key(psim.ImGuiKey_Z, CTRL)
    assert studio.state.document is before


def button_at_menu(driver: Driver, title: str) -> Point:
    return item_at(driver, "BeginMenu", title)


def test_the_way_out_stays_in_its_place(driver: Driver) -> None:
    before = button_at(driver, "Export…")
    generate(driver)
    assert button_at(driver, "Export…") == before
