"""The real window, worked by real input events without a display."""

from __future__ import annotations

import threading

import numpy as np
import polyscope as ps
import polyscope.imgui as psim
import pytest

from m2v_studio import app
from m2v_studio.document import commands
from m2v_studio.driver import Driver
from m2v_studio.view import gl_sync

from .hands import CTRL, SHIFT, add_and_drag, field_at, finish, front_vertex, generate, middle, rest


def test_a_click_adds_a_handle_at_the_vertex_under_the_mouse(driver: Driver) -> None:
    vertex = front_vertex(driver)
    driver.click(driver.at_vertex(vertex))
    handles = driver.app.studio.state.document.handles
    assert [handle.vertex for handle in handles] == [vertex]
    assert driver.app.studio.state.view.selected == 0


def test_a_click_beside_the_creature_adds_nothing(driver: Driver) -> None:
    region = driver.app.region
    driver.click((region.x + 30, region.y + 60))
    assert driver.app.studio.state.document.handles == ()


def test_a_drag_writes_a_key_in_the_last_frame_and_a_draft_plays(driver: Driver) -> None:
    vertex = add_and_drag(driver, (60.0, -80.0))
    state = driver.app.studio.state
    handle = state.document.handles[0]
    # The draft may already be playing on from frame 16.
    assert list(handle.keys) == [16] and state.view.key == 16
    assert [step.label for step in driver.app.studio.session.past] == ["add handle", "move handle"]
    # The key is where the mouse let go, in the plane through the vertex that faces the camera.
    projection, norm = driver.app.viewport.projection, driver.app.viewport.norm
    source = state.document.source
    assert projection is not None and norm is not None and source is not None
    offset = norm.apply(handle.keys[16]) - norm.apply(source.vertices[vertex])
    assert abs(offset @ projection.view[2, :3]) < 1e-3
    assert offset @ projection.view[0, :3] > 0.03 and offset @ projection.view[1, :3] > 0.04
    state = finish(driver)
    assert state.results is not None and state.results.quality == "draft" and state.view.playing
    reached = state.results.samples.samples[0].sequence.vertices[16, vertex]
    assert np.abs(reached - handle.keys[16]).max() < 1e-3


def test_the_mouse_leaving_the_window_does_not_throw_the_handle_away(driver: Driver) -> None:
    vertex = front_vertex(driver)
    driver.click(driver.at_vertex(vertex))
    start = driver.at_knob(0)
    driver.drag(start, (start[0] + 40, start[1] - 40), release=False)
    before = driver.app.studio.state.document.handles[0].keys[16]
    driver.move((-3.4e38, -3.4e38))
    driver.release()
    np.testing.assert_allclose(driver.app.studio.state.document.handles[0].keys[16], before)


def test_shift_click_pins_and_undo_takes_it_back(driver: Driver) -> None:
    driver.click(driver.at_vertex(front_vertex(driver)), shift=True)
    assert driver.app.studio.state.document.handles[0].pinned
    driver.key(psim.ImGuiKey_Z, CTRL)
    assert driver.app.studio.state.document.handles == ()
    driver.key(psim.ImGuiKey_Z, CTRL, SHIFT)
    assert driver.app.studio.state.document.handles[0].pinned


def test_a_drag_beside_a_handle_turns_the_camera_and_adds_nothing(driver: Driver) -> None:
    before = driver.app.viewport.camera
    start = driver.at_vertex(front_vertex(driver))
    driver.drag(start, (start[0] + 80, start[1] + 10))
    after = driver.app.viewport.camera
    assert after.yaw != before.yaw and driver.app.studio.state.document.handles == ()
    driver.move(driver.app.region.center)
    driver.wheel(2.0)
    assert driver.app.viewport.camera.zoom < after.zoom
    driver.key(psim.ImGuiKey_F)
    assert driver.app.viewport.camera.zoom == 1.0


def test_the_creature_stays_clear_of_the_panels(driver: Driver) -> None:
    projection, norm, region = driver.app.viewport.projection, driver.app.viewport.norm, driver.app.region
    source = driver.app.studio.state.document.source
    assert projection is not None and norm is not None and source is not None
    pixels, _ = projection.project(norm.apply(source.vertices))
    assert pixels.min(0)[0] > region.x and pixels.min(0)[1] > region.y
    assert pixels.max(0)[0] < region.x + region.width and pixels.max(0)[1] < region.y + region.height
    assert np.ptp(pixels[:, 0]) > 0.5 * region.width or np.ptp(pixels[:, 1]) > 0.5 * region.height


def test_generate_solo_side_by_side_overlay_and_all(driver: Driver) -> None:
    generate(driver)
    studio = driver.app.studio
    asked = [call.quality for call in driver.animator.calls]  # type: ignore[attr-defined]
    assert set(asked[:-1]) == {"draft"} and asked[-1] == "normal"
    driver.key(psim.ImGuiKey_3)
    assert (studio.state.view.layout, studio.state.view.solo) == ("one", 2)
    assert [figure.name for figure in driver.app.viewport.figures] == ["result-2"]
    driver.key(psim.ImGuiKey_S)
    driver.settle()
    cells = list(driver.app.viewport.cells.values())
    assert len(cells) == 4 and len({(cell.x, cell.y) for cell in cells}) == 4
    for index, figure in enumerate(driver.app.viewport.figures):
        x, y = driver.at_vertex(0, index)
        assert driver.app.viewport.cells[figure.name].contains((x, y))
    driver.key(psim.ImGuiKey_O)
    assert studio.state.view.layout == "overlay" and len(driver.app.viewport.figures) == 4
    driver.key(psim.ImGuiKey_1)
    driver.key(psim.ImGuiKey_0)
    assert studio.state.view.layout == "side"


def test_editing_goes_on_while_generating_and_escape_cancels(driver: Driver) -> None:
    go = threading.Event()
    add_and_drag(driver)
    finish(driver)
    rest(driver)
    driver.animator.gate = lambda: go.wait(20)  # type: ignore[attr-defined]
    driver.key(psim.ImGuiKey_Enter, CTRL)
    studio = driver.app.studio
    assert studio.state.job is not None and studio.state.job.quality == "normal"
    studio.show(commands.set_time, 0.0)
    driver.settle()
    other = front_vertex(driver, 12)
    driver.click(driver.at_vertex(other))
    assert len(studio.state.document.handles) == 2
    driver.key(psim.ImGuiKey_Escape)
    assert studio.state.job is None
    go.set()
    driver.tick(4)
    assert studio.state.results is not None and studio.state.results.quality == "draft"


def test_a_preview_is_shown_while_it_is_generated(driver: Driver) -> None:
    step = threading.Semaphore(0)
    add_and_drag(driver)
    finish(driver)
    rest(driver)
    driver.animator.gate = lambda: step.acquire(timeout=20)  # type: ignore[attr-defined]
    driver.key(psim.ImGuiKey_Enter, CTRL)
    studio = driver.app.studio
    for _ in range(3):
        step.release()
    driver.until(lambda: studio.state.job is not None and studio.state.job.done == 3)
    driver.tick()
    assert driver.app.viewport.figures[0].label.endswith("being generated")
    for _ in range(20):
        step.release()
    assert len(finish(driver).results.samples.samples) in (1, 4)  # type: ignore[union-attr]


def test_the_timeline_scrubs_and_moves_copies_and_deletes_keys(driver: Driver) -> None:
    studio = driver.app.studio
    add_and_drag(driver)
    finish(driver)
    rest(driver)
    studio.show(commands.with_view, playing=False)
    studio.show(commands.select_handle, None)
    driver.tick()
    left, right, ruler, row = timeline_geometry(driver)
    at = lambda frame: left + (right - left) * frame / 16  # noqa: E731
    driver.drag((at(2), ruler), (at(9), ruler))
    assert studio.state.view.time == 9.0
    driver.drag((at(16), row), (at(6), row))
    assert list(studio.state.document.handles[0].keys) == [6]
    driver.hold(CTRL, True)
    driver.drag((at(6), row), (at(12), row))
    driver.hold(CTRL, False)
    assert list(studio.state.document.handles[0].keys) == [6, 12]
    driver.click((at(6), row))
    driver.key(psim.ImGuiKey_Delete)
    assert list(studio.state.document.handles[0].keys) == [12]
    for _ in range(3):
        driver.key(psim.ImGuiKey_Z, CTRL)
    assert list(studio.state.document.handles[0].keys) == [16]


def timeline_geometry(driver: Driver) -> tuple[float, float, float, float]:
    """Pixels of frame 0, the last frame, the ruler and the first row, found from the frame under the mouse."""
    from m2v_studio.view.timeline import LABELS, ROW, RULER

    region = driver.app._regions(*ps.get_window_size())["timeline"]
    style = psim.GetStyle()
    x = region.x + style.WindowPadding[0]
    width = region.width - 2 * style.WindowPadding[0] - style.ScrollbarSize
    bar = style.FontSizeBase + 2 * style.FramePadding[1]
    top = region.y + style.WindowPadding[1] + 2 * bar + 3 * style.ItemSpacing[1] + 1
    return x + LABELS, x + width - 16, top + 8, top + RULER + ROW / 2


def test_space_plays_and_the_playhead_moves(driver: Driver) -> None:
    add_and_drag(driver)
    finish(driver)
    rest(driver)
    studio = driver.app.studio
    studio.show(commands.set_time, 0.0)
    driver.key(psim.ImGuiKey_Space)
    assert studio.state.view.playing
    before = studio.state.view.time
    driver.tick(1, 2.0 / 24)
    assert studio.state.view.time == pytest.approx(before + 2.0)
    driver.key(psim.ImGuiKey_Space)
    driver.key(psim.ImGuiKey_Period)
    driver.key(psim.ImGuiKey_Home)
    assert not studio.state.view.playing and studio.state.view.time == 0.0


def test_only_what_changed_is_sent(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    add_and_drag(driver)
    finish(driver)
    rest(driver)
    studio = driver.app.studio
    studio.show(commands.set_time, 4.0)
    driver.tick(3)
    sent: list[int] = []
    original = ps.SurfaceMesh.update_vertex_positions

    def counted(mesh: ps.SurfaceMesh, vertices: np.ndarray) -> None:
        sent.append(1)
        original(mesh, vertices)

    monkeypatch.setattr(ps.SurfaceMesh, "update_vertex_positions", counted)
    driver.tick(5, 0.0)
    assert not sent
    studio.show(commands.set_time, 5.0)
    driver.tick(3, 0.0)
    assert len(sent) == 1


def test_the_shadows_of_a_looped_motion_are_worked_out_once(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    generate(driver)
    studio, floor = driver.app.studio, driver.app.viewport._floor
    worked_out: list[int] = []
    original = floor._shadow
    monkeypatch.setattr(floor, "_shadow", lambda *given: (worked_out.append(1), original(*given))[1])
    seen = {}
    for frame in (3.0, 7.0, 11.0, 3.0, 7.0, 11.0):
        studio.show(commands.set_time, frame)
        driver.tick(1, 0.0)
        colors = floor._colors(floor._stamp, driver.app.viewport.figures, driver.app.viewport._fast)
        assert seen.setdefault(frame, colors) is colors
    assert len(worked_out) <= 3 and not np.array_equal(seen[3.0], seen[11.0])
    driver.key(psim.ImGuiKey_2)
    assert len(floor._kept) == 1, "those of another motion have replaced them"


def test_without_a_display_each_frame_is_drawn_before_the_next(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    assert gl_sync._finish() is not None, "OpenGL draws this window, so it can be waited for"
    waited: list[int] = []
    monkeypatch.setattr(app, "wait_until_drawn", lambda: (waited.append(1), gl_sync.wait_until_drawn()))
    driver.tick(4)
    assert len(waited) == 4


def test_a_behaviour_is_chosen_undone_and_asked_for(driver: Driver) -> None:
    studio = driver.app.studio
    driver.click(middle(field_at(driver, "##behaviour", "BeginCombo")))
    driver.tick(3)
    corners: dict[str, tuple[float, float]] = {}
    original = psim.Selectable

    def watched(label: str, *given: object) -> object:
        pressed = original(label, *given)  # type: ignore[arg-type]
        corners[label.split("##")[0]] = middle((psim.GetItemRectMin(), psim.GetItemRectMax()))
        return pressed

    psim.Selectable = watched  # type: ignore[assignment]
    try:
        driver.tick(1)
    finally:
        psim.Selectable = original  # type: ignore[assignment]
    driver.click(corners["eat"])
    assert studio.state.document.behaviour == "eat"
    driver.key(psim.ImGuiKey_Z, CTRL)
    assert studio.state.document.behaviour == ""
    driver.key(psim.ImGuiKey_Z, CTRL, SHIFT)
    generate(driver)
    assert driver.animator.calls[-1].behaviour == "eat"  # type: ignore[attr-defined]


def test_heat_maps_change_with_the_frame(driver: Driver) -> None:
    generate(driver)
    studio = driver.app.studio
    studio.show(commands.set_color, "disagreement")
    for frame in (3.0, 8.0):
        studio.show(commands.set_time, frame)
        driver.tick()
        figure = driver.app.viewport.figures[0]
        assert studio.state.results is not None
        np.testing.assert_array_equal(figure.heat, studio.state.results.samples.disagreement[int(frame)])
    studio.show(commands.set_color, "none")
    driver.tick()
    assert driver.app.viewport.figures[0].heat is None
