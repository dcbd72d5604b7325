"""Scans in the real window, worked by real input events without a display."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import polyscope as ps
import polyscope.imgui as psim
import pytest

from core.io.sequence_file import read_sequence
from core.pipelines.request import ReconstructionSet
from m2v_studio.document import commands, scan_commands
from m2v_studio.document.state import State, is_stale
from m2v_studio.driver import Driver
from m2v_studio.view.scan_gizmo import box_in_view
from m2v_studio.view.scan_scene import clouds

from ..studio.shapes import ball, scans
from ..studio.test_scan_files import write_scans
from ..studio.test_scans import pictures
from .hands import CTRL, button_at

PATIENCE = 300.0


@pytest.fixture
def hands(driver: Driver) -> Driver:
    """Hands on the window with scans opened, their truth known."""
    driver.app.studio.session.reset(scan_commands.open_scans(driver.app.studio.state, scans(truth=True)))
    driver.move((500.0, 60.0))
    driver.settle()
    return driver


def complete(driver: Driver) -> State:
    """Press Ctrl+Enter and wait for the meshes and their distances from the truth."""
    studio = driver.app.studio
    driver.key(psim.ImGuiKey_Enter, CTRL)
    driver.until(lambda: studio.state.results is not None and studio.state.results.truth_error is not None, PATIENCE)
    return studio.state


def knob(driver: Driver, index: int) -> tuple[float, float]:
    box, projection = box_in_view(driver.app), driver.app.viewport.projection
    assert box is not None and projection is not None
    pixel, _ = projection.project(box.knobs()[index])
    return float(pixel[0]), float(pixel[1])


def points_of(cloud: ps.PointCloud) -> np.ndarray:
    """The first few points, as Polyscope has them."""
    buffer = cloud.get_buffer("points")
    return np.array([buffer.get_value(index).as_tuple() for index in range(4)])


def shown_clouds(driver: Driver) -> list[str]:
    return sorted(name for name, shown in driver.app.scan_view._shown.items() if shown.cloud.is_enabled())


def test_a_dropped_folder_opens_as_scans(driver: Driver, tmp_path: Path) -> None:
    studio = driver.app.studio
    folder = write_scans(tmp_path / "läufer scans", truth=True)
    driver.app._dropped([str(folder)])
    driver.until(lambda: studio.state.document.scans is not None or studio.state.notice is not None, PATIENCE)
    driver.settle()
    assert studio.state.notice is None
    assert studio.state.document.scans is not None and studio.state.document.scans.truth is not None
    assert studio.state.document.source is None and shown_clouds(driver) == ["scan"]
    assert studio.settings.recent[0] == str(folder.resolve())


@pytest.mark.parametrize("content", ["empty", "one point", "text"])
def test_scans_that_cannot_be_used_are_a_dialog_and_what_was_open_stays(
    driver: Driver, tmp_path: Path, content: str
) -> None:
    studio, folder = driver.app.studio, tmp_path / "bad"
    folder.mkdir()
    if content == "one point":
        (folder / "a.xyz").write_text("1 2 3\n", encoding="utf-8")
    elif content == "text":
        (folder / "a.ply").write_text("not points at all\n", encoding="utf-8")
    before = studio.state.document
    driver.app._dropped([str(folder)])
    driver.until(lambda: studio.state.notice is not None, PATIENCE)
    driver.tick()
    assert studio.state.notice is not None and not studio.state.notice.detail
    driver.key(psim.ImGuiKey_Escape)
    assert studio.state.notice is None and studio.state.document is before


def test_scrubbing_moves_the_points_without_registering_them_again(
    hands: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio = hands.app.studio
    monkeypatch.setattr(ps, "register_point_cloud", lambda *a, **k: pytest.fail("registered again"))
    cloud = hands.app.scan_view._shown["scan"].cloud
    before = points_of(cloud)
    hands.key(psim.ImGuiKey_Period)
    hands.key(psim.ImGuiKey_Period)
    assert studio.state.view.time == 2.0
    after = points_of(cloud)
    assert np.abs(after - before).max() > 0.1
    hands.key(psim.ImGuiKey_Space)
    assert studio.state.view.playing
    before_tick = studio.state.view.time
    hands.tick(1, 1.0 / 12)
    assert studio.state.view.time == pytest.approx(before_tick + 1.0)
    hands.key(psim.ImGuiKey_Space)


def test_the_lowest_points_lie_on_the_floor_and_not_half_in_it(hands: Driver) -> None:
    viewport, opened = hands.app.viewport, hands.app.studio.state.document.scans
    assert opened is not None and viewport.norm is not None
    lowest = min(float(viewport.norm.apply(points)[:, 1].min()) for points in opened.sequence.points)
    (cloud,) = clouds(hands.app.studio.state, ())
    assert cloud.radius > 0 and lowest - 2 * cloud.radius < viewport._floor.height <= lowest - cloud.radius


def test_pictures_stand_at_the_back_of_the_box(driver: Driver) -> None:
    studio = driver.app.studio
    studio.session.reset(scan_commands.open_scans(studio.state, pictures()))
    driver.settle()
    card = ps.get_surface_mesh("m2v image")
    assert card.is_enabled() and shown_clouds(driver) == []
    driver.key(psim.ImGuiKey_Period)
    shade = card.get_quantity_buffer("pixels", "colors").get_value(0).as_tuple()
    np.testing.assert_allclose(shade, 0.2, atol=1e-6)
    studio.session.reset(commands.open_source(studio.state, ball()))
    driver.settle()
    assert not card.is_enabled() and studio.state.notice is None


def test_a_row_of_the_timeline_goes_to_its_frame(hands: Driver) -> None:
    from m2v_studio.view.timeline import LABELS, ROW, RULER

    region = hands.app._regions(*ps.get_window_size())["timeline"]
    style = psim.GetStyle()
    left, right = region.x + style.WindowPadding[0] + LABELS, region.x + region.width - style.WindowPadding[0] - 16
    bar = style.FontSizeBase + 2 * style.FramePadding[1]
    y = region.y + style.WindowPadding[1] + 2 * bar + 3 * style.ItemSpacing[1] + 1 + RULER + ROW / 2
    hands.click((left + (right - left) * 3 / 5, y))
    assert hands.app.studio.state.view.time == 3.0


def test_clicks_add_no_handles(hands: Driver) -> None:
    complete(hands)
    hands.settle()
    hands.click(hands.at_vertex(40))
    hands.click(hands.at_vertex(60), shift=True)
    assert hands.app.studio.state.document.handles == () and hands.app.studio.state.job is None


def test_the_box_is_moved_resized_and_undone(hands: Driver) -> None:
    studio = hands.app.studio
    guess = studio.state.document.alignment
    assert guess is not None
    hands.key(psim.ImGuiKey_W)
    hands.settle()
    start = knob(hands, 0)
    hands.drag(start, (start[0] + 40, start[1] - 25), steps=2)
    moved = studio.state.document.alignment
    projection, view = hands.app.viewport.projection, hands.app.viewport.norm
    assert moved is not None and projection is not None and view is not None
    offset = view.apply(moved.center) - view.apply(guess.center)
    assert offset @ projection.view[0, :3] > 0.02 and offset @ projection.view[1, :3] > 0.01
    assert abs(offset @ projection.view[2, :3]) < 1e-6 and moved.scale == guess.scale
    hands.settle()
    # The second arrow is the up axis of the view: nothing else changes.
    start = knob(hands, 2)
    hands.drag(start, (start[0] + 5, start[1] - 30), steps=2)
    lifted = studio.state.document.alignment
    assert lifted is not None and lifted.center[1] > moved.center[1]
    np.testing.assert_allclose(lifted.center[[0, 2]], moved.center[[0, 2]], atol=1e-9)
    hands.settle()
    start, middle = knob(hands, 4), knob(hands, 0)
    hands.drag(start, (start[0] + 0.5 * (middle[0] - start[0]), start[1] + 0.5 * (middle[1] - start[1])), steps=2)
    smaller = studio.state.document.alignment
    assert smaller is not None and smaller.scale == pytest.approx(0.5 * guess.scale, rel=0.02)
    np.testing.assert_array_equal(smaller.center, lifted.center)
    assert [step.label for step in studio.session.past] == ["move the box", "move the box", "resize the box"]
    for _ in range(3):
        hands.key(psim.ImGuiKey_Z, CTRL)
    assert studio.state.document.alignment is guess


def test_the_camera_turns_beside_the_box_and_not_on_its_knobs(hands: Driver) -> None:
    hands.key(psim.ImGuiKey_W)
    hands.settle()
    camera = hands.app.viewport.camera
    start = knob(hands, 0)
    hands.drag(start, (start[0] + 30, start[1]), steps=2)
    assert hands.app.viewport.camera == camera
    region = hands.app.region
    hands.drag((region.x + 20, region.y + 20), (region.x + 80, region.y + 20), steps=2)
    assert hands.app.viewport.camera.yaw != camera.yaw


def test_turning_the_up_axis_turns_the_points(hands: Driver) -> None:
    hands.app.studio.do("up axis", scan_commands.set_alignment, up_axis="z")
    hands.settle()
    assert hands.app.viewport.norm is not None and hands.app.viewport.norm.up_axis == "z"
    assert shown_clouds(hands) == ["scan"]
    hands.key(psim.ImGuiKey_Z, CTRL)
    hands.settle()
    assert hands.app.viewport.norm.up_axis == "y"


def test_meshes_are_compared_alone_side_by_side_and_overlaid(hands: Driver) -> None:
    state = complete(hands)
    viewport = hands.app.viewport
    assert state.results is not None and isinstance(state.results.samples, ReconstructionSet)
    hands.settle()
    assert [figure.name for figure in viewport.figures] == ["result-0"] and shown_clouds(hands) == ["scan"]
    hands.key(psim.ImGuiKey_S)
    hands.settle()
    assert len(viewport.figures) == 4 and len(shown_clouds(hands)) == 4
    counts = [ps.get_surface_mesh(f"m2v result-{row}").n_vertices() for row in range(4)]
    assert counts == [sample.sequence.vertices.shape[1] for sample in state.results.samples.samples]
    assert len(set(counts)) == 4
    places = {ps.get_point_cloud(f"m2v scan-result-{row}").get_transform().tobytes() for row in range(4)}
    assert len(places) == 4, "the points stand beside each mesh"
    hands.key(psim.ImGuiKey_O)
    hands.settle()
    assert all(figure.cell is None for figure in viewport.figures) and shown_clouds(hands) == ["scan"]
    hands.key(psim.ImGuiKey_2)
    hands.app.studio.show(commands.with_view, points=False)
    hands.settle()
    assert [figure.name for figure in viewport.figures] == ["result-1"] and shown_clouds(hands) == []
    assert hands.app.studio.state.notice is None


def test_heat_maps_have_a_value_for_each_vertex(hands: Driver) -> None:
    complete(hands)
    studio = hands.app.studio
    studio.show(commands.set_time, 3.0)
    keys = {"to_scan": psim.ImGuiKey_1, "disagreement": psim.ImGuiKey_3, "truth_error": psim.ImGuiKey_2}
    for color, key in keys.items():
        studio.show(commands.set_color, color)
        hands.key(key)
        figure = hands.app.viewport.figures[0]
        assert figure.heat is not None and figure.heat.shape == (len(figure.positions),) and figure.heat_max > 0
        assert hands.app.viewport._shown[figure.name].heat_on
    assert studio.state.notice is None


def test_another_body_is_one_press(hands: Driver) -> None:
    complete(hands)
    studio = hands.app.studio
    first = studio.state.results
    hands.click(button_at(hands, "Another body"))
    hands.until(lambda: studio.state.results is not first and studio.state.job is None, PATIENCE)
    assert studio.state.document.other_bodies == ("Horse",)
    assert not is_stale(studio.state)
    hands.settle()
    hands.click(button_at(hands, "Any body again"))
    assert studio.state.document.other_bodies == () and is_stale(studio.state)


def test_a_preview_is_shown_and_escape_cancels(hands: Driver) -> None:
    step = threading.Semaphore(0)
    hands.animator.gate = lambda: step.acquire(timeout=20)  # type: ignore[attr-defined]
    studio = hands.app.studio
    hands.key(psim.ImGuiKey_Enter, CTRL)
    for _ in range(3):
        step.release()
    hands.until(lambda: studio.state.job is not None and studio.state.job.done == 3, PATIENCE)
    hands.tick()
    assert hands.app.viewport.figures[0].label.endswith("being generated")
    hands.key(psim.ImGuiKey_Escape)
    assert studio.state.job is None and studio.state.results is None
    hands.tick()
    assert hands.app.viewport.figures == ()
    for _ in range(30):
        step.release()


def test_a_body_that_is_being_fitted_is_a_ghost_until_the_result_takes_its_place(hands: Driver) -> None:
    step = threading.Semaphore(0)
    hands.animator.gate = lambda: step.acquire(timeout=20)  # type: ignore[attr-defined]
    studio, viewport = hands.app.studio, hands.app.viewport
    hands.key(psim.ImGuiKey_Enter, CTRL)
    for done in (1, 2):
        step.release()
        hands.until(lambda done=done: studio.state.job is not None and studio.state.job.done == done, PATIENCE)
    hands.settle()
    (ghost,) = viewport.figures
    assert ghost.label == "Horse, a body that is being fitted" and ghost.opacity < 1.0
    assert viewport._shown[ghost.name].mesh.get_transparency() == pytest.approx(ghost.opacity)
    assert viewport.transparent and shown_clouds(hands) == ["scan"]
    for _ in range(30):
        step.release()
    hands.until(lambda: studio.state.results is not None and studio.state.job is None, PATIENCE)
    hands.settle()
    assert not viewport._shown[ghost.name].mesh.is_enabled() and not viewport.transparent
    assert all(figure.name != ghost.name and figure.opacity == 1.0 for figure in viewport.figures)


def test_all_meshes_are_exported(hands: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = complete(hands)
    app = hands.app
    monkeypatch.setattr(app.export_dialog, "every", True)  # and back: the window is that of all tests
    hands.key(psim.ImGuiKey_E, CTRL)
    assert app.context.export_open and "walk-mesh" in app.export_dialog.place.path
    app.export_dialog.place.path = str(tmp_path / "walk.npz")
    hands.tick(2)
    app.export_dialog._export(app.context)
    hands.until(lambda: not app.studio.tasks.busy and len(list(tmp_path.glob("walk-seed*.npz"))) == 4, PATIENCE)
    assert state.results is not None
    for sample in state.results.samples.samples:
        written = read_sequence(tmp_path / f"walk-seed{sample.seed}.npz")
        np.testing.assert_array_equal(written.faces, sample.sequence.faces)
        np.testing.assert_allclose(written.vertices, sample.sequence.vertices, rtol=1e-6)


def test_a_mesh_after_scans_and_scans_after_a_mesh(hands: Driver) -> None:
    studio = hands.app.studio
    complete(hands)
    studio.session.reset(commands.open_source(studio.state, ball()))
    hands.settle()
    assert shown_clouds(hands) == [] and [figure.name for figure in hands.app.viewport.figures] == ["source"]
    studio.session.reset(scan_commands.open_scans(studio.state, scans()))
    hands.settle()
    assert shown_clouds(hands) == ["scan"] and hands.app.viewport.figures == ()
    assert studio.state.notice is None


def test_every_panel_fits_at_twice_the_text_size(hands: Driver) -> None:
    complete(hands)
    hands.app.context.set_text_scale(2.0)
    hands.tick(3)
    assert hands.app.studio.state.notice is None
    hands.app.context.set_text_scale(1.0)
    hands.tick(3)
