"""A line drawn around a part of the shape makes it a handle: circled, moved and turned by the mouse."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import polyscope.imgui as psim

from m2v_studio.document import commands
from m2v_studio.document.project import load_project, save_project
from m2v_studio.document.state import shown_pose
from m2v_studio.driver import Driver, Point
from m2v_studio.view.overlay import RING

from .hands import CTRL, SHIFT, finish, front_vertex


def circle(driver: Driver, center: Point, radius: float, modifier: int | None = None) -> None:
    """Ask for the lasso by its key, and draw a circle with it."""
    driver.key(psim.ImGuiKey_C)
    at = lambda share: (  # noqa: E731
        center[0] + radius * math.cos(2 * math.pi * share),
        center[1] + radius * math.sin(2 * math.pi * share),
    )
    driver.move(at(0.0))
    if modifier is not None:
        driver.hold(modifier, True)
    driver.press()
    for step in range(1, 25):
        driver.move(at(step / 24), frames=1)
    driver.release()
    if modifier is not None:
        driver.hold(modifier, False)


def far_end(driver: Driver) -> int:
    """The vertex at the end of the ball that is on the right of the view."""
    source, viewport = driver.app.studio.state.document.source, driver.app.viewport
    assert source is not None and viewport.norm is not None
    return int(np.argmax(viewport.norm.apply(source.vertices) @ viewport.camera.axes()[0]))


def test_a_circled_part_becomes_one_rigid_handle_that_moves_and_turns(driver: Driver, tmp_path: Path) -> None:
    studio = driver.app.studio
    studio._prepare_drags(studio.state.document.source)
    driver.until(lambda: studio.posing.system is not None)
    source = studio.state.document.source
    assert source is not None
    circle(driver, driver.at_vertex(far_end(driver)), 80.0)
    handle = studio.state.document.handles[0]
    assert handle.name == "region 1" and 6 < len(handle.region) < 0.5 * len(source.vertices)
    assert driver.app.viewport.figures[0].tint is not None
    x, y = driver.at_knob(0)
    driver.drag((x, y), (x + 30, y - 40), release=False)
    pose = shown_pose(studio.state)
    assert pose is not None
    moved = pose.track[0][handle.region] - source.vertices[handle.region]
    np.testing.assert_allclose(moved, np.tile(moved[0], (len(moved), 1)), atol=1e-4)
    driver.release()
    finish(driver)
    studio.show(commands.set_time, 16.0)
    studio.show(commands.with_view, playing=False)
    driver.settle()
    x, y = driver.at_knob(0)
    driver.drag((x - RING, y), (x, y + RING), release=False)
    turned = shown_pose(studio.state)
    turn = studio.state.document.handles[0].turns[16]
    assert turned is not None and 60 < np.linalg.norm(turn) < 120
    apart = lambda shape: np.linalg.norm(shape[handle.region] - shape[handle.vertex], axis=1)  # noqa: E731
    np.testing.assert_allclose(apart(turned.track[0]), apart(source.vertices), atol=1e-4)
    driver.release()
    finish(driver)
    save_project(studio.state, tmp_path / "region.m2v")
    kept = load_project(tmp_path / "region.m2v")[0].handles[0]
    assert kept.region.tolist() == handle.region.tolist() and list(kept.turns) == [16]


def test_shift_adds_to_a_region_and_ctrl_takes_away_and_undo_brings_back(driver: Driver) -> None:
    studio = driver.app.studio
    end = driver.at_vertex(far_end(driver))
    circle(driver, end, 70.0)
    first = studio.state.document.handles[0].region
    circle(driver, (end[0] - 70, end[1]), 60.0, SHIFT)
    grown = studio.state.document.handles[0].region
    assert len(studio.state.document.handles) == 1 and set(first) < set(grown)
    circle(driver, (end[0] - 80, end[1]), 50.0, CTRL)
    assert len(studio.state.document.handles[0].region) < len(grown)
    driver.key(psim.ImGuiKey_Z, CTRL)
    assert studio.state.document.handles[0].region is grown


def test_a_circle_around_nothing_says_so_and_escape_puts_the_lasso_away(driver: Driver) -> None:
    studio, region = driver.app.studio, driver.app.region
    circle(driver, (region.x + 60.0, region.y + 60.0), 30.0)
    assert studio.state.notice is not None and not studio.state.document.handles
    studio.show(commands.notify, None)
    driver.key(psim.ImGuiKey_C)
    driver.key(psim.ImGuiKey_Escape)
    assert not driver.app.context.mouse.lasso_next


def test_a_brush_paints_a_region_that_grows_and_shrinks_by_strokes(driver: Driver) -> None:
    studio, mouse = driver.app.studio, driver.app.context.mouse
    driver.key(psim.ImGuiKey_C, SHIFT)
    assert mouse.brush
    end = driver.at_vertex(far_end(driver))
    driver.move((end[0] - 50, end[1]))
    size = mouse.brush_size
    driver.wheel(3.0)
    assert mouse.brush_size > size and driver.app.viewport.camera.zoom == 1.0, "the wheel is the brush's"
    driver.drag((end[0] - 50, end[1] - 40), (end[0] - 50, end[1] + 40), release=False)
    assert psim.IsMouseDown(0) and len(studio.state.document.handles) == 1, "it is seen while it is painted"
    assert driver.app.viewport.figures[0].tint is not None
    driver.release()
    handle = studio.state.document.handles[0]
    first = set(handle.region) | {handle.vertex}
    source, viewport = studio.state.document.source, driver.app.viewport
    assert source is not None and viewport.norm is not None and len(first) > 8
    facing = viewport.norm.apply(source.vertices) @ viewport.camera.axes()[2]
    assert facing[list(first)].min() > -0.15, "what is hidden stays out"
    driver.drag((end[0] - 130, end[1] - 40), (end[0] - 130, end[1] + 40))
    grown = set(studio.state.document.handles[0].region)
    assert len(studio.state.document.handles) == 1 and grown > first - {handle.vertex}
    driver.move((end[0] - 130, end[1] - 40))
    driver.hold(CTRL, True)
    driver.drag((end[0] - 130, end[1] - 40), (end[0] - 130, end[1] + 40))
    driver.hold(CTRL, False)
    assert len(studio.state.document.handles[0].region) < len(grown)
    assert [step.label for step in studio.session.past] == ["paint region", "grow region", "shrink region"]
    for _ in range(3):
        driver.key(psim.ImGuiKey_Z, CTRL)
    assert not studio.state.document.handles
    before, corner = driver.app.viewport.camera, (driver.app.region.x + 40.0, driver.app.region.y + 60.0)
    driver.drag(corner, (corner[0] + 60, corner[1]))
    assert driver.app.viewport.camera != before and not studio.state.document.handles, "beside the shape it turns"
    driver.key(psim.ImGuiKey_Escape)
    driver.click(driver.at_vertex(front_vertex(driver)))
    assert not mouse.brush and not len(studio.state.document.handles[0].region), "a click is a handle again"
