"""Nothing a person made is lost, and nothing moves away under the mouse: the real window by real input events."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import polyscope.imgui as psim
import pytest

from core.assets import asset_path
from m2v_studio.document import commands
from m2v_studio.document.key_edits import stretched
from m2v_studio.document.project import load_project
from m2v_studio.document.state import is_worth_keeping
from m2v_studio.driver import Driver
from m2v_studio.panels.saving import folder_for
from m2v_studio.view import overlay
from m2v_studio.work.autosave import autosave_path

from ..studio.shapes import ball
from .hands import (
    CTRL,
    add_and_drag,
    button_at,
    drawn_at,
    field_at,
    finish,
    front_vertex,
    generate,
    item_at,
    middle,
    rest,
)

ESCAPE, ENTER = psim.ImGuiKey_Escape, psim.ImGuiKey_Enter


def four_keys(driver: Driver) -> list[int]:
    studio = driver.app.studio
    studio.do("add", commands.add_handle, front_vertex(driver))
    place = studio.state.document.source.vertices[front_vertex(driver)]  # type: ignore[union-attr]
    for frame in (4, 8, 12, 16):
        studio.do("key", commands.set_key, 0, frame, place + 0.01 * frame)
    driver.tick()
    return list(studio.state.document.handles[0].keys)


def type_into(driver: Driver, name: str, text: str) -> None:
    """Ctrl+click a number and type another one."""
    at = middle(field_at(driver, name))
    driver.hold(CTRL, True)
    driver.click(at)
    driver.hold(CTRL, False)
    for letter in text:
        driver.type(letter)


def test_a_typed_length_keeps_every_key_and_counts_on_enter(driver: Driver) -> None:
    studio = driver.app.studio
    assert four_keys(driver) == [4, 8, 12, 16]
    studio.session.end_gesture()
    type_into(driver, "##Length", "120")
    assert studio.state.document.frames == 17, "not before Enter"
    driver.key(ENTER)
    assert studio.state.document.frames == 120
    assert list(studio.state.document.handles[0].keys) == [30, 60, 89, 119]
    driver.key(psim.ImGuiKey_Z, CTRL)
    assert list(studio.state.document.handles[0].keys) == [4, 8, 12, 16]


def test_a_typed_number_counts_when_its_field_is_left_and_esc_takes_it_back(driver: Driver) -> None:
    studio = driver.app.studio
    type_into(driver, "##Length", "33")
    driver.click((driver.app.region.x + 30, driver.app.region.y + 60))
    driver.tick(2)
    assert studio.state.document.frames == 33
    type_into(driver, "##Length", "50")
    driver.key(ESCAPE)
    driver.tick(2)
    assert studio.state.document.frames == 33
    type_into(driver, "##Rate", "12")
    driver.key(ENTER)
    assert studio.state.document.fps == 12.0


def test_a_length_dragged_to_and_fro_leaves_the_keys_where_they_were(driver: Driver) -> None:
    studio = driver.app.studio
    four_keys(driver)
    at = middle(field_at(driver, "##Length"))
    driver.move(at)
    driver.press()
    driver.move((at[0] - 70, at[1]))
    assert studio.state.document.frames < 10 and len(studio.state.document.handles[0].keys) == 4
    driver.move((at[0] + 40, at[1]))
    driver.move(at)
    driver.release()
    if studio.state.document.frames == 17:
        assert list(studio.state.document.handles[0].keys) == [4, 8, 12, 16]
    driver.key(psim.ImGuiKey_Z, CTRL)
    assert list(studio.state.document.handles[0].keys) == [4, 8, 12, 16]


def test_no_length_is_too_short_for_the_keys() -> None:
    keys = {frame: np.zeros(3) for frame in (1, 2, 3, 15, 16)}
    assert list(stretched(keys, 0.25, 6)) == [1, 2, 3, 4, 5]
    assert list(stretched(keys, 0.5, 9)) == [1, 2, 3, 7, 8]


def test_generated_motions_are_autosaved_at_once(driver: Driver) -> None:
    studio = driver.app.studio
    generate(driver)
    assert studio.state.results is not None and len(studio.state.results.samples.samples) == 4

    def saved() -> int:
        """Motions in the autosave; that of the draft may be there first."""
        results = load_project(autosave_path())[1] if autosave_path().exists() else None
        return 0 if results is None else len(results.samples.samples)

    driver.until(lambda: saved() == 4)
    studio.show(commands.mark_saved, "work.m2v", studio.state)
    assert not is_worth_keeping(studio.state)
    studio.show(lambda state: replace(state, results=replace(state.results, quality="best")))
    assert is_worth_keeping(studio.state), "results that came after the last save are missed too"


def test_esc_closes_the_menu_and_lets_the_generation_go_on(driver: Driver) -> None:
    go = threading.Event()
    add_and_drag(driver)
    finish(driver)
    rest(driver)
    driver.animator.gate = lambda: go.wait(20)  # type: ignore[attr-defined]
    driver.key(ENTER, CTRL)
    studio = driver.app.studio
    driver.click((20.0, 18.0))
    opened = lambda: bool(psim.IsPopupOpen("", psim.ImGuiPopupFlags_AnyPopup))  # noqa: E731
    seen: list[bool] = []
    watch(driver, lambda: seen.append(opened()))
    assert seen[-1], "the File menu is open"
    driver.key(ESCAPE)
    watch(driver, lambda: seen.append(opened()))
    assert not seen[-1] and studio.state.job is not None
    driver.key(ESCAPE)
    assert studio.state.job is None
    go.set()


def watch(driver: Driver, look: object) -> None:
    """Call something inside of a frame, where Dear ImGui can be asked."""
    original = overlay.draw
    overlay.draw = lambda *given: (look(), original(*given))[1]  # type: ignore[assignment,operator]
    try:
        driver.tick(1)
    finally:
        overlay.draw = original


def test_esc_in_a_list_of_the_export_dialog_leaves_the_dialog_open(driver: Driver) -> None:
    generate(driver)
    driver.key(psim.ImGuiKey_E, CTRL)
    driver.tick(3)
    driver.click(middle(field_at(driver, "##format", "BeginCombo")))
    driver.key(ESCAPE)
    assert driver.app.context.export_open
    driver.key(ESCAPE)
    assert not driver.app.context.export_open


def test_nothing_moves_when_handles_and_results_come(driver: Driver) -> None:
    app, studio = driver.app, driver.app.studio

    def seen() -> tuple[object, ...]:
        driver.settle()
        assert app.viewport.projection is not None
        places = (app.viewport.projection.view, app.region, drawn_at(driver, "Generate 4 motions"))
        return *(str(place) for place in places), item_at(driver, "InvisibleButton", "##ruler")[0]

    before = seen()
    for rank in (0, 12, 24, 36, 48):
        studio.do("add", commands.add_handle, front_vertex(driver, rank))
        assert seen() == before
    delete = button_at(driver, "Delete key")
    studio.show(commands.select_handle, 0)
    driver.tick()
    start = driver.at_knob(0)
    driver.drag(start, (start[0] + 60, start[1] - 80))
    assert seen() == before
    finish(driver)
    rest(driver)
    assert seen() == before and button_at(driver, "Delete key") == delete
    driver.key(psim.ImGuiKey_F)
    assert seen() != before, "F is what frames the view again"


def test_a_new_handle_is_scrolled_to_in_both_lists(driver: Driver) -> None:
    studio = driver.app.studio
    for rank in range(0, 90, 10):
        studio.do("add", commands.add_handle, front_vertex(driver, rank))
    driver.tick(4)
    last = len(studio.state.document.handles) - 1
    seen: list[tuple[float, float]] = []
    original = psim.InvisibleButton

    def watched(name: str, *given: object) -> bool:
        pressed = original(name, *given)  # type: ignore[arg-type]
        if name == f"##row{last}":
            seen.append((psim.GetItemRectMin()[1], psim.GetItemRectMax()[1]))
        return bool(pressed)

    psim.InvisibleButton = watched  # type: ignore[assignment]
    try:
        driver.tick(1)
    finally:
        psim.InvisibleButton = original  # type: ignore[assignment]
    strip = driver.app._regions(*driver.app._window())["timeline"]
    assert strip.y < seen[0][0] and seen[0][1] <= strip.y + strip.height


def test_the_hint_names_the_frame_under_the_playhead(driver: Driver) -> None:
    studio = driver.app.studio
    driver.click(driver.at_vertex(front_vertex(driver)))
    assert overlay._when(studio.state) == "in the last frame"
    studio.show(commands.set_time, 7.0)
    assert overlay._when(studio.state) == "in frame 7"


def test_export_starts_where_the_last_one_went_and_never_in_the_installation(tmp_path: Path) -> None:
    bundled = replace(ball(), path=str(asset_path("meshes") / "hound.glb"))
    assert folder_for("", bundled) == Path.home()
    assert folder_for("", replace(ball(), path=str(tmp_path / "fox.glb"))) == tmp_path
    assert folder_for(str(tmp_path), bundled) == tmp_path
    assert folder_for(str(tmp_path / "gone"), None) == Path.home()


def test_one_seed_is_written_in_the_singular(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    driver.app.studio.do("seeds", commands.set_seeds, 1)
    forms: list[str] = []
    original = psim.DragInt
    monkeypatch.setattr(psim, "DragInt", lambda *given: (forms.append(given[5]), original(*given))[1])
    driver.tick(1)
    assert "%d seed" in forms and "%d seeds" not in forms


def test_a_handle_that_goes_while_it_is_dragged_ends_the_drag(driver: Driver) -> None:
    add_and_drag(driver)
    finish(driver)
    rest(driver)
    studio, knob = driver.app.studio, driver.at_knob(0)
    driver.drag(knob, (knob[0] + 30, knob[1]), release=False)
    assert driver.app.context.mouse.mode == "handle"
    studio.do("delete", commands.delete_handle, 0)
    after = studio.state.document
    driver.move((knob[0] + 60, knob[1]))
    driver.release()
    assert driver.app.context.mouse.mode is None
    assert studio.state.document is after and not after.handles
    add_and_drag(driver)  # and the next drag is as good as any
    assert len(studio.state.document.handles) == 1
