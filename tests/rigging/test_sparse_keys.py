"""Keys: few, and never farther from the motion than asked."""

from __future__ import annotations

import numpy as np
import pytest

from core.quaternions import quaternions_of, rotation_matrices, slerp, turned_by, unit_quaternions
from core.rigging.sparse_keys import sparse_keys


def angles(a, b):
    return 2 * np.arccos(np.clip(np.abs((a * b).sum(-1)), 0, 1))


def test_an_even_turn_needs_two_keys() -> None:
    ends = unit_quaternions(np.array([[0.0, 0, 0, 1], [0.3, 0.1, -0.5, 0.6]]))
    turn = slerp(ends[:1], ends[1:], np.linspace(0, 1, 25)[:, None])
    turn[1::2] *= -1  # the same rotations
    keys = sparse_keys(turn, 1e-4)
    np.testing.assert_array_equal(keys.frames, [0, 24])
    assert angles(keys.at(np.arange(25.0)), turn).max() < 1e-4


def test_standing_still_needs_one() -> None:
    assert len(sparse_keys(np.tile([0.0, 0, 0, 1], (9, 1)), 1e-6).frames) == 1
    assert len(sparse_keys(np.ones((9, 3)), 1e-6).frames) == 1


@pytest.mark.parametrize("tolerance", [0.3, 0.03, 0.003])
def test_no_frame_is_missed_by_more_than_the_tolerance(tolerance) -> None:
    rng = np.random.default_rng(3)
    wander = np.cumsum(rng.normal(size=(60, 3)), axis=0) * 0.05
    turns = quaternions_of(turned_by(wander))
    keys = sparse_keys(turns, tolerance)
    assert angles(keys.at(np.arange(60.0)), turns).max() <= tolerance + 1e-6
    shifts = sparse_keys(wander, tolerance)
    assert np.linalg.norm(shifts.at(np.arange(60.0)) - wander, axis=1).max() <= tolerance
    assert len(keys.frames) < 60 or tolerance == 0.003


def test_matrices_and_quaternions_are_one_thing() -> None:
    rng = np.random.default_rng(4)
    vectors = rng.normal(size=(200, 3)) * np.linspace(0, 3, 200)[:, None]
    vectors[:3] = np.pi * np.eye(3)  # half turns, where the real part vanishes
    matrices = turned_by(vectors)
    np.testing.assert_allclose(matrices @ matrices.transpose(0, 2, 1), np.tile(np.eye(3), (200, 1, 1)), atol=1e-12)
    np.testing.assert_allclose(rotation_matrices(quaternions_of(matrices)), matrices, atol=1e-12)
    # The axis stays, and a small turn is the cross product.
    np.testing.assert_allclose(np.einsum("nij,nj->ni", matrices, vectors), vectors, atol=1e-9)
    small = turned_by(np.array([[1e-6, 0, 0]]))[0] @ np.array([0.0, 1.0, 0.0])
    np.testing.assert_allclose(small, [0, 1, 1e-6], atol=1e-12)
