"""The ring around a handle, dragged by the mouse in the real window: what is around the handle is turned with it."""

from __future__ import annotations

import math

import numpy as np
import polyscope.imgui as psim
import pytest

from core.handle_paths import quaternion_of_degrees
from core.quaternions import nearest_rotations, rotation_matrices
from m2v_studio.document import commands, selection, turning
from m2v_studio.document.state import shown_pose
from m2v_studio.driver import Driver, Point
from m2v_studio.view.overlay import RING
from m2v_studio.view.turn_ring import AXIS_RADIUS, rings_of

from .hands import CTRL, SHIFT, field_at, finish, front_vertex, middle, rest
from .test_losses import type_into


@pytest.fixture
def held(driver: Driver) -> Driver:
    """The ball with a handle in front, ready to be posed."""
    studio = driver.app.studio
    studio._prepare_drags(studio.state.document.source)
    driver.until(lambda: studio.posing.system is not None)
    driver.click(driver.at_vertex(front_vertex(driver)))
    return driver


def on_ring(driver: Driver, degrees: float, radius: float = RING) -> Point:
    x, y = driver.at_knob(0)
    return x + radius * math.cos(math.radians(degrees)), y - radius * math.sin(math.radians(degrees))


def turn_by(driver: Driver, start: float, degrees: float, release: bool = True) -> None:
    driver.move(on_ring(driver, start))
    driver.press()
    for step in range(1, 9):
        driver.move(on_ring(driver, start + degrees * step / 8), frames=1)
    driver.tick()
    if release:
        driver.release()


def angle_between(turn: np.ndarray, matrix: np.ndarray) -> float:
    asked = rotation_matrices(quaternion_of_degrees(turn))
    return math.degrees(math.acos(min((np.trace(asked.T @ matrix) - 1) / 2, 1.0)))


def test_the_ring_turns_the_mesh_in_the_hand_about_the_line_of_sight(held: Driver) -> None:
    studio, viewport = held.app.studio, held.app.viewport
    before, source = studio.state.document, studio.state.document.source
    assert source is not None
    vertex = before.handles[0].vertex
    turn_by(held, 200.0, 60.0, release=False)
    pose = shown_pose(studio.state)
    handle = studio.state.document.handles[0]
    assert pose is not None and psim.IsMouseDown(0) and list(handle.turns) == [16]
    back = viewport.camera.axes()[2]
    np.testing.assert_allclose(handle.turns[16], 60.0 * back, atol=1.5)
    np.testing.assert_allclose(handle.keys[16], source.vertices[vertex], atol=1e-5)
    near = np.argsort(np.linalg.norm(source.vertices - source.vertices[vertex], axis=1))[:7]
    arms = [shape[near] - shape[near].mean(axis=0) for shape in (source.vertices, pose.track[0])]
    assert angle_between(handle.turns[16], nearest_rotations((arms[1].T @ arms[0])[None])[0]) < 6.0
    held.release()
    finish(held)
    assert [step.label for step in studio.session.past] == ["add handle", "turn handle"]
    held.key(psim.ImGuiKey_Z, CTRL)
    assert studio.state.document is before


def test_shift_turns_in_steps_and_a_second_turn_goes_on_from_the_first(held: Driver) -> None:
    held.move(on_ring(held, 100.0))
    held.press()
    held.hold(SHIFT, True)
    for degrees in (110.0, 120.0, 130.0, 142.0):
        held.move(on_ring(held, degrees))
    held.release()
    held.hold(SHIFT, False)
    finish(held)
    rest(held)
    turn = held.app.studio.state.document.handles[0].turns[16]
    assert np.linalg.norm(turn) == pytest.approx(45.0, abs=0.01)
    held.app.studio.show(commands.set_time, 16.0)
    held.settle()
    turn_by(held, 100.0, 30.0)
    turn = held.app.studio.state.document.handles[0].turns[16]
    assert np.linalg.norm(turn) == pytest.approx(75.0, abs=1.5)


def test_the_gizmo_has_a_ring_for_each_axis(held: Driver) -> None:
    held.key(psim.ImGuiKey_W)
    held.settle()
    projection = held.app.viewport.projection
    assert projection is not None
    upright = rings_of(held.app.context)[2]
    assert upright.radius == pytest.approx(rings_of(held.app.context)[1].radius) and AXIS_RADIUS > RING
    front = upright.pixels(projection)
    toward = np.argmax((upright.points(np.linspace(0, 2 * np.pi, 73)) - upright.center) @ projection.view[2, :3])
    start, end = front[(toward + 10) % 72], front[(toward + 16) % 72]
    held.drag((start[0], start[1]), (end[0], end[1]))
    turn = held.app.studio.state.document.handles[0].turns[16]
    assert abs(turn[1]) == pytest.approx(30.0, abs=4.0) and np.abs(turn[[0, 2]]).max() < 1e-6


def test_a_click_on_the_ring_changes_nothing_and_r_hides_it(held: Driver) -> None:
    before = held.app.studio.state.document
    held.click(on_ring(held, 180.0))
    assert held.app.studio.state.document is before
    held.key(psim.ImGuiKey_R)
    assert rings_of(held.app.context) == []


def test_copied_keys_bring_their_turn_along(held: Driver) -> None:
    studio = held.app.studio
    turn_by(held, 200.0, 40.0)
    finish(held)
    rest(held)
    held.key(psim.ImGuiKey_C, CTRL)
    studio.show(commands.set_time, 8.0)
    held.key(psim.ImGuiKey_V, CTRL)
    turns = studio.state.document.handles[0].turns
    assert set(turns) == {8, 16}
    np.testing.assert_allclose(turns[8], turns[16])


def test_a_turn_is_typed_beside_the_place_and_poses_the_mesh_at_once(held: Driver) -> None:
    studio, source = held.app.studio, held.app.studio.state.document.source
    assert source is not None
    studio.show(commands.set_time, 9.0)
    held.settle()
    type_into(held, "##turn Z", "40")
    assert not studio.state.document.handles[0].turns, "not before Enter"
    held.key(psim.ImGuiKey_Enter)
    handle = studio.state.document.handles[0]
    np.testing.assert_allclose(handle.turns[9], [0.0, 0.0, 40.0], atol=0.2)
    np.testing.assert_allclose(handle.keys[9], source.vertices[handle.vertex], atol=1e-5)
    finish(held)
    rest(held)
    studio.show(commands.set_time, 9.0)
    held.settle()
    at = middle(field_at(held, "##turn X"))
    held.drag(at, (at[0] + 50, at[1]), release=False)
    pose = shown_pose(studio.state)
    assert pose is not None and psim.IsMouseDown(0), "the mesh follows the number before the button is let go"
    held.release()
    angles = turning.angles_of(studio.state.document.handles[0].turns[9], [20.0, 0.0, 40.0])
    assert angles[0] > 5.0 and abs(angles[1]) < 0.2 and abs(angles[2] - 40.0) < 0.2
    assert [step.label for step in studio.session.past] == ["add handle", "turn handle", "turn handle"]


def test_the_ring_takes_all_chosen_handles_around_its_own(held: Driver) -> None:
    studio, source = held.app.studio, held.app.studio.state.document.source
    assert source is not None
    first = studio.state.document.handles[0].vertex
    held.app.studio.do("add", commands.add_handle, front_vertex(held, 60))
    studio.show(selection.choose_handles, (0, 1))
    held.settle()
    turn_by(held, 200.0, 60.0)
    rows = studio.state.document.handles
    assert all(list(handle.turns) == [16] for handle in rows) and len(studio.session.past) == 3
    axis = held.app.viewport.camera.axes()[2]
    for handle in rows:
        np.testing.assert_allclose(handle.turns[16], 60.0 * axis, atol=2.0)
    matrix = rotation_matrices(quaternion_of_degrees(rows[0].turns[16]))
    arm = source.vertices[rows[1].vertex] - source.vertices[first]
    np.testing.assert_allclose(rows[0].keys[16], source.vertices[first], atol=1e-5)
    np.testing.assert_allclose(rows[1].keys[16] - rows[0].keys[16], matrix @ arm, atol=1e-3)
