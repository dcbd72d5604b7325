"""What several handles miss, the body misses too: as a whole, by its own poses, and not where only one is dragged."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from core.pipelines.handle_posterior import MOST_HANDLES, follow_handles
from core.pipelines.living_motion import settle
from core.pipelines.moving_body import KeyedHandles, MovingBody

from .test_living_motion import body, still  # noqa: F401  a fixture

FRAMES = 9


def poses_of(body: MovingBody, mode: np.ndarray, count: int = 40) -> np.ndarray:  # noqa: F811
    """Displacements [N, P, 3] of a body that does nothing but `mode` [P, 3], more and less."""
    return np.linspace(-1, 1, count)[:, None, None] * mode


def sway(body: MovingBody) -> np.ndarray:  # noqa: F811
    """Both ends aside, in opposite directions, the more the farther they are from the middle."""
    axis = np.ptp(body.nodes, axis=0).argmax()
    along = body.nodes[:, axis] / np.ptp(body.nodes[:, axis])
    mode = np.zeros_like(body.nodes)
    mode[:, (axis + 1) % 3] = along**3
    return mode


def tracked(body: MovingBody, count: int, displacement) -> KeyedHandles:  # noqa: F811
    rows = np.linspace(5, len(body.rest) - 5, count).round().astype(int)
    seats = body.seats(rows)
    amount = np.linspace(0, 1, FRAMES)[None, :, None]
    targets = seats.places[:, None] + amount * displacement(seats.places)[:, None]
    return KeyedHandles(seats, targets.astype(float), np.ones((count, FRAMES), bool))


def test_one_dragged_point_leaves_the_borrowed_motion_as_it_is(body):  # noqa: F811
    handles = tracked(body, 1, lambda places: np.full_like(places, 0.2))
    before = still(body)
    assert follow_handles(body, before, poses_of(body, sway(body)), handles) is before


def test_a_leap_of_three_points_is_the_bodys(body):  # noqa: F811
    leap = np.array([0.0, 0.3, 0.1])
    handles = tracked(body, 3, lambda places: np.broadcast_to(leap, places.shape))
    led = follow_handles(body, still(body), poses_of(body, sway(body)), handles)
    moved, _ = settle(body, led, handles, 24.0)
    np.testing.assert_allclose(moved.positions[0, -1] - body.nodes, np.broadcast_to(leap, body.nodes.shape), atol=0.03)


def test_a_body_that_is_turned_over_turns_as_a_whole(body):  # noqa: F811
    """Four points that go round by a right angle, on a body that hardly bends: no sum of displacements does that."""
    turn = Rotation.from_rotvec([0.0, 0.0, np.pi / 2])
    seats = tracked(body, 4, lambda places: np.zeros_like(places)).seats
    poses = poses_of(body, 0.1 * sway(body))
    angles = np.linspace(0, np.pi / 2, FRAMES)
    targets = np.stack([Rotation.from_rotvec([0, 0, angle]).apply(seats.places) for angle in angles], axis=1)
    led = follow_handles(body, still(body), poses, KeyedHandles(seats, targets, np.ones((4, FRAMES), bool)))
    error = np.linalg.norm(led.positions[0, -1].numpy() - turn.apply(body.nodes), axis=-1)
    assert error.mean() < 0.1 * np.linalg.norm(turn.apply(body.nodes) - body.nodes, axis=-1).mean()
    about = led.rotations[0, -1].numpy() @ turn.as_matrix().T
    assert np.degrees(Rotation.from_matrix(about).magnitude()).mean() < 15


def test_what_the_poses_do_together_follows_from_one_end(body):  # noqa: F811
    """Handles near one end and at the middle: the other end goes where it goes in the poses."""
    mode = 0.3 * sway(body)
    axis = np.ptp(body.nodes, axis=0).argmax()
    order = body.rest[:, axis].argsort()
    seats = body.seats(order[[len(order) // 2, -20, -1]])
    at = np.einsum("kp,pa->ka", seats.shares / seats.shares.sum(axis=1, keepdims=True), mode)
    targets = seats.places[:, None] + np.linspace(0, 1, FRAMES)[None, :, None] * at[:, None]
    handles = KeyedHandles(seats, targets.astype(float), np.ones((3, FRAMES), bool))
    led = follow_handles(body, still(body), poses_of(body, mode), handles)
    far = body.nodes[:, axis].argmin()
    np.testing.assert_allclose(led.positions[0, -1, far].numpy() - body.nodes[far], mode[far], atol=0.03)


def test_keys_pull_between_themselves_and_the_rest_pose_stays(body):  # noqa: F811
    handles = tracked(body, 3, lambda places: np.broadcast_to([0.0, 0.2, 0.0], places.shape))
    handles.keyframe_mask[:, 1:-1] = False
    led = follow_handles(body, still(body), poses_of(body, sway(body)), handles)
    height = (led.positions[0] - torch.from_numpy(body.nodes))[..., 1].mean(dim=1)
    assert height[0] == pytest.approx(0) and height[-1] == pytest.approx(0.2, abs=0.02)
    assert (torch.diff(height) > 0).all()
    np.testing.assert_array_equal(led.rotations[0, 0], np.broadcast_to(np.eye(3), led.rotations[0, 0].shape))


def test_many_handles_are_as_good_as_a_choice_of_them(body):  # noqa: F811
    leap = np.array([0.0, 0.3, 0.0])
    handles = tracked(body, MOST_HANDLES + 9, lambda places: np.broadcast_to(leap, places.shape))
    led = follow_handles(body, still(body, seeds=1), poses_of(body, sway(body)), handles)
    np.testing.assert_allclose(led.positions[0, -1] - body.nodes, np.broadcast_to(leap, body.nodes.shape), atol=0.03)


def test_poses_that_do_not_move_leave_the_rest_to_smooth_fields(body):  # noqa: F811
    handles = tracked(body, 3, lambda places: np.broadcast_to([0.0, 0.2, 0.0], places.shape))
    led = follow_handles(body, still(body), np.zeros((5, *body.nodes.shape)), handles)
    assert torch.isfinite(led.positions).all()
    assert (led.positions[0, -1] - torch.from_numpy(body.nodes))[:, 1].mean() == pytest.approx(0.2, abs=0.05)
