"""An animator's habits: many keys and handles at once, by the mouse, by menus and by keys, in the real window."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import polyscope.imgui as psim
import pytest

from core.assets import config_folder
from m2v_studio.document import commands, selection
from m2v_studio.driver import Driver, Point
from m2v_studio.view import actions, menus
from m2v_studio.view.key_strip import ROW

from .hands import CTRL, SHIFT, finish, front_vertex, middle, rest

ALT = psim.ImGuiMod_Alt


@pytest.fixture
def keyed(driver: Driver) -> Iterator[Driver]:
    """Two handles in sight with keys in frames 4 and 8, and 12."""
    studio = driver.app.studio
    for row, (rank, frames) in enumerate(((0, (4, 8)), (40, (12,)))):
        studio.do("add", commands.add_handle, front_vertex(driver, rank))
        place = studio.state.document.source.vertices[studio.state.document.handles[row].vertex]  # type: ignore[union-attr]
        for frame in frames:
            studio.do("key", commands.set_key, row, frame, place + 0.01 * frame)
    studio.show(selection.choose_nothing)
    driver.settle()
    yield driver


def strip(driver: Driver) -> tuple[float, float, float]:
    """Left and right end of the rows in the timeline and the first row's top, read off while a frame is drawn."""
    seen = []
    original = driver.app.timeline.rows.draw
    driver.app.timeline.rows.draw = lambda context, given: (seen.append(given), original(context, given))  # type: ignore[method-assign]
    try:
        driver.tick(1)
    finally:
        driver.app.timeline.rows.draw = original  # type: ignore[method-assign]
    return seen[0].left, seen[0].right, seen[0].top


def at_key(driver: Driver, row: int, frame: int) -> Point:
    left, right, top = strip(driver)
    last = driver.app.studio.state.document.frames - 1
    return left + (right - left) * frame / last, top + (row + 0.5) * ROW


def frames(driver: Driver) -> list[list[int]]:
    return [list(handle.keys) for handle in driver.app.studio.state.document.handles]


def chosen(driver: Driver) -> tuple[tuple[int, int], ...]:
    return selection.chosen_keys(driver.app.studio.state)


@contextmanager
def held(driver: Driver, key: int) -> Iterator[None]:
    driver.hold(key, True)
    yield
    driver.hold(key, False)


def choose_from_menu(driver: Driver, title: str, *through: str) -> None:
    """Press a line of the open menu, after the menus it lies in."""
    for name in (*through, title):
        driver.move(line_at(driver, name))
        driver.tick(3)
        if name == title:
            driver.press()
            driver.release()


def line_at(driver: Driver, title: str) -> Point:
    found: list[Point] = []

    def watched(original):  # type: ignore[no-untyped-def]
        def call(label: str, *given: object) -> object:
            result = original(label, *given)
            if label.split("##")[0] == title:
                low, high = psim.GetItemRectMin(), psim.GetItemRectMax()
                found.append(((low[0] + high[0]) / 2, (low[1] + high[1]) / 2))
            return result

        return call

    kept = psim.MenuItem, psim.BeginMenu
    psim.MenuItem, psim.BeginMenu = watched(kept[0]), watched(kept[1])  # type: ignore[assignment]
    try:
        driver.tick(2)
    finally:
        psim.MenuItem, psim.BeginMenu = kept  # type: ignore[assignment]
    assert found, f"no line {title!r} in an open menu"
    return found[-1]


def test_a_box_in_the_timeline_chooses_keys_that_then_move_together(keyed: Driver) -> None:
    low, high = at_key(keyed, 0, 3), at_key(keyed, 1, 13)
    keyed.drag((low[0], low[1] - 6), (high[0], high[1] + 6))
    assert chosen(keyed) == ((0, 4), (0, 8), (1, 12))
    keyed.drag(at_key(keyed, 0, 8), at_key(keyed, 0, 10))
    assert frames(keyed) == [[6, 10], [14]] and chosen(keyed) == ((0, 6), (0, 10), (1, 14))
    assert keyed.app.studio.session.past[-1].label == "move keys"
    keyed.key(psim.ImGuiKey_Z, CTRL)
    assert frames(keyed) == [[4, 8], [12]], "one gesture, one step"


def test_shift_and_ctrl_click_add_keys_and_alt_drag_scales_them_in_time(keyed: Driver) -> None:
    keyed.click(at_key(keyed, 0, 4))
    keyed.click(at_key(keyed, 0, 8), shift=True)
    assert chosen(keyed) == ((0, 4), (0, 8))
    with held(keyed, CTRL):
        keyed.click(at_key(keyed, 1, 12))
    assert chosen(keyed) == ((0, 4), (0, 8), (1, 12)) and frames(keyed) == [[4, 8], [12]]
    with held(keyed, ALT):
        keyed.drag(at_key(keyed, 1, 12), at_key(keyed, 1, 16))
    assert frames(keyed) == [[4, 10], [16]]


def test_ctrl_drag_copies_the_chosen_keys(keyed: Driver) -> None:
    keyed.click(at_key(keyed, 0, 4))
    keyed.click(at_key(keyed, 0, 8), shift=True)
    with held(keyed, CTRL):
        keyed.drag(at_key(keyed, 0, 8), at_key(keyed, 0, 11))
    assert frames(keyed)[0] == [4, 7, 8, 11]


def test_keys_are_copied_pasted_and_deleted_from_the_keyboard(keyed: Driver) -> None:
    studio = keyed.app.studio
    keyed.key(psim.ImGuiKey_A, CTRL)
    assert chosen(keyed) == ((0, 4), (0, 8), (1, 12))
    keyed.key(psim.ImGuiKey_C, CTRL)
    studio.show(commands.set_time, 7.0)
    keyed.key(psim.ImGuiKey_V, CTRL)
    assert frames(keyed) == [[4, 7, 8, 11], [12, 15]]
    assert chosen(keyed) == ((0, 7), (0, 11), (1, 15))
    keyed.key(psim.ImGuiKey_Delete)
    assert frames(keyed) == [[4, 8], [12]]


def test_a_right_click_in_the_timeline_offers_the_same(keyed: Driver) -> None:
    at = at_key(keyed, 0, 8)
    keyed.move(at)
    keyed.press(1)
    keyed.release(1)
    keyed.tick(2)
    assert chosen(keyed) == ((0, 8),), "what is under the mouse is chosen"
    choose_from_menu(keyed, "One frame later", "Keys in time")
    assert frames(keyed)[0] == [4, 9]


def test_a_right_click_in_the_view_offers_commands_and_a_right_drag_moves_the_view(keyed: Driver) -> None:
    studio, viewport = keyed.app.studio, keyed.app.viewport
    studio.show(commands.set_time, 6.0)
    rest(keyed)
    before = viewport.camera
    keyed.move(keyed.at_knob(0))
    keyed.press(1)
    keyed.release(1)
    keyed.tick(2)
    assert viewport.camera == before and studio.state.view.selected == 0
    choose_from_menu(keyed, "Key the rest pose")
    assert frames(keyed) == [[4, 6, 8], [12]]
    rest(keyed)
    keyed.move(keyed.app.region.center)
    keyed.press(1)
    keyed.move((keyed.app.region.center[0] + 50, keyed.app.region.center[1]))
    keyed.release(1)
    assert viewport.camera.pan != before.pan and keyed.app.context.menu_asked == ""


def test_the_pose_is_keyed_as_it_is_shown(keyed: Driver) -> None:
    studio = keyed.app.studio
    studio.request_draft()
    finish(keyed)
    studio.show(commands.set_time, 6.0)
    rest(keyed)
    shown = keyed.app.viewport.figures[0].positions.copy()
    keyed.key(psim.ImGuiKey_K)
    handles = studio.state.document.handles
    assert frames(keyed) == [[4, 6, 8], [6, 12]]
    for handle in handles:
        np.testing.assert_allclose(handle.keys[6], shown[handle.vertex], atol=1e-6)


def test_a_box_in_the_view_chooses_handles_that_are_then_dragged_together(keyed: Driver) -> None:
    studio = keyed.app.studio
    rest(keyed)
    a, b = keyed.at_knob(0), keyed.at_knob(1)
    low = min(a[0], b[0]) - 25, min(a[1], b[1]) - 25
    high = max(a[0], b[0]) + 25, max(a[1], b[1]) + 25
    camera = keyed.app.viewport.camera
    with held(keyed, CTRL):
        keyed.drag(low, high)
    assert selection.chosen_rows(studio.state) == (0, 1) and keyed.app.viewport.camera == camera
    studio.show(commands.set_time, 6.0)
    rest(keyed)
    start = keyed.at_knob(0)
    keyed.drag(start, (start[0] + 40, start[1] - 30))
    assert frames(keyed) == [[4, 6, 8], [6, 12]]
    assert studio.session.past[-1].label == "move handles"
    # The same once more, from the menu instead of with Ctrl.
    studio.show(selection.choose_nothing)
    keyed.key(psim.ImGuiKey_B)
    rest(keyed)
    keyed.drag((low[0], low[1] - 60), (high[0] + 60, high[1]))
    assert selection.chosen_rows(studio.state) == (0, 1)


def test_shift_click_chooses_more_handles_and_mirror_goes_to_the_other_side(keyed: Driver) -> None:
    studio = keyed.app.studio
    rest(keyed)
    keyed.click(keyed.at_knob(0))
    keyed.click(keyed.at_knob(1), shift=True)
    assert selection.chosen_rows(studio.state) == (0, 1)
    assert not any(handle.pinned for handle in studio.state.document.handles)
    keyed.key(psim.ImGuiKey_M, CTRL)
    assert studio.session.past[-1].label == "mirror" and len(studio.state.document.handles) >= 3


def _names_in(entries: tuple[menus.Entry, ...]) -> set[str]:
    """All commands of a menu and of the menus in it."""
    found: set[str] = set()
    for entry in entries:
        found |= _names_in(entry.entries) if isinstance(entry, menus.Submenu) else {entry} if entry else set()
    return found


def test_every_command_is_in_a_menu() -> None:
    """Nothing is reached by a key alone. Esc is also the Cancel button and *Deselect all*."""
    in_bar = [entry for entries in menus.MENUS.values() for entry in entries]
    every = (*menus.FILE_FIRST, *menus.FILE_REST, *menus.IN_VIEW, *menus.IN_TIMELINE, *menus.RESULT, *in_bar)
    assert {action.name for action in actions.ACTIONS} - _names_in(every) == {"escape"}


def test_no_two_commands_have_the_same_key() -> None:
    chords = [chord for action in actions.ACTIONS for chord in action.keys]
    assert len(chords) == len(set(chords))


def test_the_list_of_shortcuts_is_searched(driver: Driver) -> None:
    driver.key(psim.ImGuiKey_F1)
    driver.tick(2)
    driver.type("paste")  # no click is needed first
    assert driver.app.context.help_words == "paste"
    seen: list[str] = []
    original = psim.TextUnformatted
    psim.TextUnformatted = lambda text: (seen.append(text), original(text))[1]  # type: ignore[assignment]
    try:
        driver.tick(1)
    finally:
        psim.TextUnformatted = original  # type: ignore[assignment]
    assert "Paste keys at the playhead" in seen and "Overlay" not in seen
    driver.key(psim.ImGuiKey_Escape)
    assert driver.app.context.help_words == "" and driver.app.context.help_open
    driver.key(psim.ImGuiKey_Escape)
    assert not driver.app.context.help_open
    for _ in range(2):  # F1 also closes it, whatever the cursor is in
        driver.key(psim.ImGuiKey_F1)
        driver.tick(2)
    assert not driver.app.context.help_open


def test_shift_is_still_a_pin_on_bare_skin(driver: Driver) -> None:
    with held(driver, SHIFT):
        driver.click(driver.at_vertex(front_vertex(driver)))
    assert driver.app.studio.state.document.handles[0].pinned


def items_of_the_row(driver: Driver) -> dict[str, tuple[Point, Point]]:
    """Corners of the fields and check boxes under the player, read off while a frame is drawn."""
    found: dict[str, tuple[Point, Point]] = {}

    def watched(original):  # type: ignore[no-untyped-def]
        def call(name: str, *given: object) -> object:
            result = original(name, *given)
            found.setdefault(name, (psim.GetItemRectMin(), psim.GetItemRectMax()))
            return result

        return call

    names = ("DragInt", "DragFloat", "BeginCombo", "Checkbox")
    kept = {name: getattr(psim, name) for name in names}
    for name in names:
        setattr(psim, name, watched(kept[name]))
    try:
        driver.tick(1)
    finally:
        for name in names:
            setattr(psim, name, kept[name])
    return {name: found[name] for name in ("##Length", "##Rate", "##speed", "Loop", "Feet") if name in found}


def test_length_rate_speed_loop_and_feet_are_in_one_row(driver: Driver) -> None:
    studio = driver.app.studio
    row = {name: middle(corners) for name, corners in items_of_the_row(driver).items()}
    heights, places = [y for _, y in row.values()], [x for x, _ in row.values()]
    assert max(heights) - min(heights) < 6.0 and places == sorted(places)
    driver.click(row["Loop"])
    driver.click(row["Feet"])
    assert studio.state.document.loop and not studio.state.document.contacts
    assert [step.label for step in studio.session.past] == ["seamless loop", "feet on the ground"]


def test_the_row_fits_large_text(driver: Driver) -> None:
    driver.app.studio.settings = replace(driver.app.studio.settings, text_scale=1.4)
    driver.settle()
    strip_region = driver.app._regions(*driver.app._window())["timeline"]
    _, (right, _) = items_of_the_row(driver)["Feet"]
    assert right <= strip_region.x + strip_region.width


def test_keys_of_ones_own_replace_the_given_ones_and_faults_are_said_once(driver: Driver) -> None:
    app, studio = driver.app, driver.app.studio
    path = config_folder() / "keys.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("repeat: K\ngizmo: []\nwalk: W\n")
    try:
        app._read_keys()
        before = studio.state.view.loop
        driver.tick(2)
        assert studio.state.notice is not None and "no command 'walk'" in studio.state.notice.message
        driver.key(psim.ImGuiKey_Escape)
        driver.tick(2)
        assert studio.state.notice is None
        driver.key(psim.ImGuiKey_K)
        driver.key(psim.ImGuiKey_W)
        driver.key(psim.ImGuiKey_L)
        assert studio.state.view.loop != before and not studio.state.view.gizmo
    finally:
        path.unlink()
        app._read_keys()
