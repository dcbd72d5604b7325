"""The pose fit finds a pose that it was not told, with and without shifts."""

from __future__ import annotations

import numpy as np
import pytest

from core.quaternions import turned_by
from core.rigging.pose_fit import Pose, fit_pose

PARENTS = np.array([-1, 0, 1, 1])
PLACES = np.array([[0.0, 0, 0], [0.5, 0.1, 0], [1.0, 0, 0], [0.9, 0.4, 0.1]])


def posed(shifting: bool):
    rng = np.random.default_rng(5)
    rest = rng.uniform(-0.2, 1.3, (80, 3))
    weights = rng.dirichlet(np.full(4, 0.3), 80)
    rotations = turned_by(rng.normal(size=(3, 4, 3)) * 0.4)
    shifts = np.zeros((3, 4, 3))
    shifts[:, 0] = rng.normal(size=(3, 3)) * 0.3
    if shifting:
        shifts[:, 1:] = rng.normal(size=(3, 3, 3)) * 0.05
    pose = Pose(PARENTS, PLACES, rotations, shifts)
    rotation, translation = pose.maps()
    moved = np.einsum("sb,tbij,sj->tsi", weights, rotation, rest) + np.einsum("sb,tbi->tsi", weights, translation)
    return rest, weights, pose, moved


@pytest.mark.parametrize("shifting", [False, True])
def test_a_pose_is_found_again(shifting) -> None:
    rest, weights, pose, moved = posed(shifting)
    start = Pose(PARENTS, PLACES, np.tile(np.eye(3), (3, 4, 1, 1)), np.zeros((3, 4, 3)))
    found = fit_pose(start, rest, moved, weights, 30, np.full(4, shifting), 0.0)
    np.testing.assert_allclose(found.rotations, pose.rotations, atol=2e-3)
    np.testing.assert_allclose(found.shifts, pose.shifts, atol=2e-3)


def test_a_shift_that_costs_is_smaller() -> None:
    rest, weights, pose, moved = posed(True)
    sizes = [
        np.abs(fit_pose(pose, rest, moved, weights, 10, np.ones(4, bool), price).shifts[:, 1:]).mean()
        for price in (0.0, 0.1, 10.0)
    ]
    assert sizes[0] > sizes[1] > sizes[2]
