"""The gizmo at the selected handle, worked by the mouse in the real window."""

from __future__ import annotations

import numpy as np
import polyscope.imgui as psim
import pytest

from m2v_studio.document import commands
from m2v_studio.driver import Driver

from .hands import CTRL, finish, front_vertex


@pytest.fixture
def held(driver: Driver) -> Driver:
    """One handle with the gizmo at it."""
    driver.click(driver.at_vertex(front_vertex(driver)))
    driver.key(psim.ImGuiKey_W)
    driver.settle()
    return driver


def arrow(driver: Driver, axis: int, along: float) -> tuple[float, float]:
    """The pixel of a point on an arrow, `along` of its length from the handle."""
    from m2v_studio.view.picking import GIZMO_PIXELS

    viewport = driver.app.viewport
    assert viewport.projection is not None
    knob = np.asarray(driver.app.pointer._gizmo.get_position(), dtype=float)  # type: ignore[union-attr]
    _, depth = viewport.projection.project(knob)
    knob[axis] += along * GIZMO_PIXELS * float(depth) / viewport.projection.focal
    pixel, _ = viewport.projection.project(knob)
    return float(pixel[0]), float(pixel[1])


def test_the_gizmo_stands_at_the_selected_handle_and_goes_with_the_selection(held: Driver) -> None:
    viewport, gizmo = held.app.viewport, held.app.pointer._gizmo
    assert gizmo is not None and gizmo.get_enabled()
    handle = held.app.studio.state.document.handles[0]
    np.testing.assert_allclose(gizmo.get_position(), viewport.position(viewport.figures[0], handle.vertex), atol=1e-5)
    held.app.studio.show(commands.select_handle, None)
    held.tick()
    assert not gizmo.get_enabled()


@pytest.mark.parametrize("axis", [0, 1])
def test_a_drag_of_an_arrow_writes_a_key_along_that_axis_alone_and_undo_takes_it_back(held: Driver, axis: int) -> None:
    studio, viewport = held.app.studio, held.app.viewport
    before = studio.state.document
    held.drag(arrow(held, axis, 0.75), arrow(held, axis, 2.5))
    handle = studio.state.document.handles[0]
    assert list(handle.keys) == [16] and [step.label for step in studio.session.past] == ["add handle", "move handle"]
    assert viewport.norm is not None and before.source is not None
    moved = viewport.norm.apply(handle.keys[16]) - viewport.norm.apply(before.source.vertices[handle.vertex])
    assert moved[axis] > 0.05
    np.testing.assert_allclose(np.delete(moved, axis), 0.0, atol=1e-5)
    assert finish(held).results is not None, "a draft of the new pose is made"
    held.key(psim.ImGuiKey_Z, CTRL)
    assert studio.state.document is before and not studio.state.document.handles[0].keys
    studio.show(commands.set_time, 0.0)
    held.tick(3)
    np.testing.assert_allclose(
        held.app.pointer._gizmo.get_position(),  # type: ignore[union-attr]
        viewport.position(viewport.figures[0], handle.vertex),
        atol=1e-5,
    )


def test_the_arrows_are_as_long_on_the_screen_at_every_zoom(held: Driver) -> None:
    held.app.viewport.camera = held.app.viewport.camera.zoomed(-3.0)
    held.settle()
    held.drag(arrow(held, 1, 0.75), arrow(held, 1, 1.5))
    assert list(held.app.studio.state.document.handles[0].keys) == [16]
