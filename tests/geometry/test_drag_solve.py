"""The solve behind a drag: what is held stays, what is dragged arrives, nothing stretches, and it is quick."""

from __future__ import annotations

import numpy as np
import pytest

from core.geometry.drag_solve import DragSystem, Grip
from core.quaternions import nearest_rotations

from ..studio.shapes import ball_arrays


@pytest.fixture(scope="module")
def rod() -> tuple[np.ndarray, np.ndarray, DragSystem]:
    """A long body along z, of about 2,400 vertices."""
    vertices, faces = ball_arrays(40, 60)
    vertices = vertices * np.array([0.25, 0.25, 1.0])
    return vertices, faces, DragSystem.of(vertices, faces)


def ends(vertices: np.ndarray) -> tuple[int, int]:
    return int(vertices[:, 2].argmin()), int(vertices[:, 2].argmax())


def grip_ends(rod: tuple[np.ndarray, np.ndarray, DragSystem]) -> tuple[np.ndarray, Grip]:
    vertices, _, system = rod
    return vertices, system.grip(vertices, ends(vertices))


def test_a_handle_that_is_not_moved_changes_nothing(rod: tuple[np.ndarray, np.ndarray, DragSystem]) -> None:
    vertices, grip = grip_ends(rod)
    np.testing.assert_allclose(grip.pose(vertices[list(ends(vertices))]), vertices, atol=1e-5)


def test_loose_parts_of_a_chain_stay_whole_when_it_is_bent() -> None:
    """A robot's limb of separate hulls: the joints give, the hulls do not."""
    ball, faces = ball_arrays(10, 16)
    extent = np.ptp(ball, axis=0).max()
    hulls = [ball * np.array([0.4, 0.4, 1.0]) + np.array([0, 0, 0.95 * extent * place]) for place in range(6)]
    vertices = np.concatenate(hulls)
    every = np.concatenate([faces + number * len(ball) for number in range(6)])
    low, high = ends(vertices)
    grip = DragSystem.of(vertices, every).grip(vertices, [low, high])
    goal = vertices[high] + np.array([2.0, 0.0, -1.0]) * extent
    for share in np.linspace(0.1, 1.0, 10):
        posed = grip.pose(np.stack([vertices[low], vertices[high] + share * (goal - vertices[high])]))
    np.testing.assert_allclose(posed[high], goal, atol=1e-6)
    for number in range(1, 5):  # those that nothing holds
        own = slice(number * len(ball), (number + 1) * len(ball))
        arms, moved = vertices[own] - vertices[own].mean(0), posed[own] - posed[own].mean(0)
        turn = nearest_rotations((moved.T @ arms)[None])[0]
        assert np.linalg.norm(moved - arms @ turn.T, axis=1).max() < 0.03 * extent


def test_handles_arrive_and_edges_keep_their_lengths(rod: tuple[np.ndarray, np.ndarray, DragSystem]) -> None:
    vertices, grip = grip_ends(rod)
    faces = rod[1]
    low, high = ends(vertices)
    goal = vertices[high] + np.array([0.9, 0.6, -0.6])
    for share in np.linspace(0.1, 1.0, 10):  # as the mouse moves
        posed = grip.pose(np.stack([vertices[low], vertices[high] + share * (goal - vertices[high])]))
    np.testing.assert_allclose(posed[[low, high]], np.stack([vertices[low], goal]), atol=1e-6)
    a, b = faces[:, 0], faces[:, 1]
    length = np.linalg.norm(vertices[a] - vertices[b], axis=1)
    change = np.abs(np.linalg.norm(posed[a] - posed[b], axis=1) / length - 1)
    assert change.mean() < 0.15 and np.quantile(change, 0.9) < 0.4
    near = np.linalg.norm(posed[b] - goal, axis=1)
    assert near.min() < 1.5 * length.max(), "the neighbours of the handle came along"


def test_a_rigid_motion_of_all_handles_is_a_rigid_motion_of_the_mesh(
    rod: tuple[np.ndarray, np.ndarray, DragSystem],
) -> None:
    vertices, _, system = rod
    handles = np.linspace(0, len(vertices) - 1, 24).astype(int)
    angle = 0.6
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    grip = system.grip(vertices, handles)
    goals = vertices[handles] @ turn.T + np.array([0.5, 0.1, 0.0])
    for _ in range(6):
        posed = grip.pose(goals)
    apart = np.linalg.norm(posed - vertices @ turn.T - np.array([0.5, 0.1, 0.0]), axis=1)
    assert apart.mean() < 0.01 and apart.max() < 0.1, "of a body of length 3.6"


def test_feet_on_the_ground_stay_there(rod: tuple[np.ndarray, np.ndarray, DragSystem]) -> None:
    vertices, _, system = rod
    top = int(vertices[:, 1].argmax())
    goal = vertices[top] + np.array([0.3, 0.2, 0.0])
    feet = vertices[:, 1] < vertices[:, 1].min() + 0.01
    free = system.grip(vertices, [top]).pose(goal)
    held = system.grip(vertices, [top], vertices[:, 1]).pose(goal)
    slid = lambda posed: np.linalg.norm(posed[feet] - vertices[feet], axis=1).mean()  # noqa: E731
    assert slid(held) < 0.25 * slid(free)


def test_rotations_are_those_of_the_polar_decomposition() -> None:
    matrices = np.random.default_rng(0).normal(size=(200, 3, 3))
    u, _, v = np.linalg.svd(matrices)
    u[:, :, 2] *= np.sign(np.linalg.det(u @ v))[:, None]
    np.testing.assert_allclose(nearest_rotations(matrices), u @ v, atol=2e-3)
