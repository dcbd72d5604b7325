"""As rigid as the handles allow: what a shape without a model gets, and a second opinion beside borrowed motion."""

import copy

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from core.bank.borrowing import Borrowed
from core.pipelines.as_rigid import (
    Structure,
    as_rigid,
    as_rigid_share,
    bending_motions,
    left_out_errors,
    turning_alike,
    with_second_opinion,
)
from core.pipelines.handle_posterior import follow_handles
from core.pipelines.moving_body import KeyedHandles, MovingBody

from .test_living_motion import body, still  # noqa: F401  a fixture

FPS = 24.0


def dragged(body: MovingBody) -> KeyedHandles:  # noqa: F811
    """One end of the tube, moved by a fifth of its length in the middle of the clip."""
    seats = body.seats(np.array([5]))
    targets = np.repeat(seats.places[:, None].astype(float), 9, axis=1)
    targets[0, 4] += [0.0, 0.15, 0.1]
    mask = np.zeros((1, 9), bool)
    mask[0, [0, 4]] = True
    return KeyedHandles(seats, targets, mask)


def curled(body: MovingBody):  # noqa: F811
    """Eight handles of a tube that curls into a half circle, and where its nodes go [T, P, 3]."""
    seats = body.seats(np.linspace(5, len(body.rest) - 5, 8).round().astype(int))

    def curl(points: np.ndarray, angle: float) -> np.ndarray:
        if angle == 0:
            return points.astype(float)
        along, up = angle * (points[:, 0] + 0.5), 1 / angle - points[:, 1]
        return np.stack([up * np.sin(along) - 0.5, 1 / angle - up * np.cos(along), points[:, 2]], axis=-1)

    angles = np.linspace(0, np.pi, 9)
    targets = np.stack([curl(seats.places, angle) for angle in angles], axis=1)
    truth = np.stack([curl(body.nodes, angle) for angle in angles])
    return KeyedHandles(seats, targets, np.ones((8, 9), bool)), truth


def no_poses(body: MovingBody) -> np.ndarray:  # noqa: F811
    return np.zeros((4, len(body.nodes), 3))


def test_a_dragged_end_bends_the_body_without_carrying_it_along(body):  # noqa: F811
    handles = dragged(body)
    bent = bending_motions(body, handles, FPS, range(4))
    np.testing.assert_allclose(bent.positions[:, 0], np.broadcast_to(body.nodes, (4, *body.nodes.shape)), atol=1e-6)
    surface = body.surface(handles.seats, False)
    carried = surface.carried(bent.positions[:, 4].movedim(1, 0)[None], bent.rotations[:, 4].movedim(1, 0)[None])
    np.testing.assert_allclose(carried[0, 0], np.broadcast_to(handles.targets[0, 4], (4, 3)), atol=1e-4)
    away = np.linalg.norm(bent.positions[:, 4] - body.nodes, axis=-1)
    assert away.mean() < 0.7 * np.linalg.norm([0.15, 0.1])
    assert body.stretch(body.carry(bent.positions[0], bent.rotations[0])) < 0.1


def test_seeds_bend_differently_and_the_same_seed_the_same(body):  # noqa: F811
    handles = dragged(body)
    first = bending_motions(body, handles, FPS, [3, 4])
    again = bending_motions(body, handles, FPS, [4])
    assert torch.equal(first.rotations[1], again.rotations[0])
    assert (first.positions[0] - first.positions[1]).norm(dim=-1).mean() > 0.005


def test_without_handles_the_body_sways_where_it_is(body):  # noqa: F811
    bent = bending_motions(body, body.without_handles(9), FPS, [0])
    away = (bent.positions[0] - torch.from_numpy(body.nodes)).norm(dim=-1)
    assert 0 < away[1:].mean() < 0.05 and not away[0].any()
    steps = (bent.positions[0, 1:] - bent.positions[0, :-1]).norm(dim=-1).mean(dim=1)
    assert steps.max() < 4 * steps.mean()  # slow: nothing jumps


def test_where_handles_predict_each_other_as_on_a_rigid_body_it_is_believed(body):  # noqa: F811
    handles, truth = curled(body)
    errors = left_out_errors(body, still(body), no_poses(body), handles, [Structure()])
    assert errors.shape == (2, 7), "the end that stays is not asked for"
    assert errors[0].mean() < 0.7 * errors[1].mean()
    assert as_rigid_share(errors)[1] > 0.9
    told = follow_handles(body, still(body), no_poses(body), handles)
    checked = with_second_opinion(body, told, still(body), no_poses(body), handles)
    before, after = (np.linalg.norm(x.positions[0, -1].numpy() - truth[-1], axis=-1).mean() for x in (told, checked))
    assert after < 0.7 * before


def test_a_limb_that_swings_far_does_not_end_up_bent_backwards(body):  # noqa: F811
    """Half the tube swings by 160 degrees: smoothly interpolated handles alone start the steps from a crumpled half."""
    seats = body.seats(np.linspace(5, len(body.rest) - 5, 5).round().astype(int))

    def swung(points: np.ndarray, angle: float) -> np.ndarray:
        return np.where(points[:, :1] > 0, points @ Rotation.from_euler("z", angle).as_matrix().T, points)

    angles = np.linspace(0, 2.8, 17)
    paths = np.stack([swung(seats.places, angle) for angle in angles], axis=1)
    moved = as_rigid(body, seats.shares[None], seats.places[None], paths[None])[0][0].numpy()
    truth = np.stack([swung(body.nodes, angle) for angle in angles])
    assert np.linalg.norm(moved - truth, axis=-1).mean() < 0.05


def test_loose_parts_part_where_their_links_are_strained(body):  # noqa: F811
    """Two halves, not connected: one stays, the other turns away about an axis of its own."""
    seats = body.seats(np.linspace(5, len(body.rest) - 5, 8).round().astype(int))
    halves = copy.copy(body)
    halves.node_component = (body.nodes[:, 0] > 0).astype(np.int64)

    def opened(points: np.ndarray, angle: float) -> np.ndarray:
        axis = np.array([0.6, 0.0, 0.0])
        turned = (points - axis) @ Rotation.from_euler("y", angle).as_matrix().T + axis
        return np.where(points[:, :1] > 0, turned, points)

    angles = np.linspace(0, 1.5, 9)
    paths = np.stack([opened(seats.places, angle) for angle in angles], axis=1)
    truth = np.stack([opened(body.nodes, angle) for angle in angles])
    errors = []
    for loose in (False, True):
        moved = as_rigid(halves, seats.shares[None], seats.places[None], paths[None], structure=Structure(loose=loose))
        errors.append(np.linalg.norm(moved[0][0].numpy() - truth, axis=-1).mean())
    assert errors[1] < 0.4 * errors[0]


def test_motion_that_predicts_the_handles_is_kept(body):  # noqa: F811
    """Handles of a body of which one half shrinks: nothing rigid does that, the borrowed motion does it exactly."""
    seats = body.seats(np.linspace(5, len(body.rest) - 5, 8).round().astype(int))
    amount = np.linspace(0, 1, 9)[:, None, None]
    shrunk = lambda x: x * (1 - 0.6 * amount * (x[..., :1] > 0) * (x[..., 1:2] > -9))  # noqa: E731
    positions = torch.from_numpy(shrunk(np.broadcast_to(body.nodes, (9, *body.nodes.shape)))).float()[None]
    exact = Borrowed(positions, torch.eye(3).expand(1, 9, len(body.nodes), 3, 3).clone())
    carried = np.einsum("kp,tpa->kta", seats.shares / seats.shares.sum(1, keepdims=True), positions[0].numpy())
    targets = carried - carried[:, :1] + seats.places[:, None]
    mask = np.ones((8, 9), bool)
    handles = KeyedHandles(seats, targets.astype(float), mask)
    assert as_rigid_share(left_out_errors(body, exact, no_poses(body), handles, [Structure()]))[1] < 0.1
    led = exact._replace(positions=exact.positions.clone())
    kept = with_second_opinion(body, led, exact, no_poses(body), handles)
    assert float((kept.positions - positions).norm(dim=-1).max()) < 0.05


def test_one_handle_that_nothing_predicts_does_not_decide_alone():
    rigid, borrowed = np.full(8, 0.01), np.full(8, 0.02)
    rigid[0], borrowed[0] = 0.5, 0.25
    assert rigid.sum() > borrowed.sum()
    assert as_rigid_share(np.stack([rigid, borrowed]))[1] > 0.9


def test_the_structure_that_predicts_most_handles_is_chosen():
    errors = np.array([[0.02, 0.02, 0.3], [0.01, 0.01, 0.4], [0.05, 0.05, 0.05]])
    best, share = as_rigid_share(errors)
    assert best == 1 and share > 0.5


def test_errors_too_small_to_matter_tell_nothing():
    assert as_rigid_share(np.array([[1e-5, 0.0], [1e-9, 1e-4]])) == (0, 0.5)


def test_nodes_that_turned_alike_in_poses_are_found_and_still_ones_tell_nothing(body):  # noqa: F811
    upper = body.nodes[:, 0] > 0
    bent = [
        np.where(upper[:, None], body.nodes @ Rotation.from_euler("z", angle).as_matrix().T, body.nodes) - body.nodes
        for angle in (0.5, 1.0)
    ]
    alike = turning_alike(body, np.stack(bent))[0].numpy()
    inner = np.abs(body.nodes[:, 0]) > 0.2  # away from the bend
    same = (upper[:, None] == upper[None]) & inner[:, None] & inner[None]
    apart = (upper[:, None] != upper[None]) & inner[:, None] & inner[None]
    assert alike[same].min() > 0.5 > 0.05 > alike[apart].max()
    assert np.array_equal(turning_alike(body, no_poses(body))[0].numpy(), np.eye(len(body.nodes)))


@pytest.mark.parametrize("count", [1, 4])
def test_few_handles_have_no_second_opinion(body, count):  # noqa: F811
    seats = body.seats(np.linspace(5, len(body.rest) - 5, count).round().astype(int))
    targets = np.repeat(seats.places[:, None].astype(float), 9, axis=1)
    targets[:, 1:] += 0.1
    handles, led = KeyedHandles(seats, targets, np.ones((count, 9), bool)), still(body)
    assert with_second_opinion(body, led, led, no_poses(body), handles) is led
