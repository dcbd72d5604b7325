"""Surfaces of points without normals, and which points belong together."""

import numpy as np

from core.geometry.gauss_surface import GaussField
from core.geometry.point_graph import PointGraph


def ball(count: int, radius: float, center: tuple[float, float, float] = (0, 0, 0), seed: int = 0) -> np.ndarray:
    directions = np.random.default_rng(seed).normal(size=(count, 3))
    return np.asarray(center) + radius * directions / np.linalg.norm(directions, axis=1, keepdims=True)


def test_field_of_a_ball_is_positive_inside_negative_outside_and_zero_on_it() -> None:
    field = GaussField(ball(400, 0.4))
    inside, outside, on = ball(200, 0.3, seed=1), ball(200, 0.5, seed=2), ball(200, 0.4, seed=3)
    assert (field(inside) > 0.1).all()
    assert (field(outside) < -0.1).all()
    assert np.abs(field(on)).mean() < 0.1


def test_field_does_not_depend_on_the_pose() -> None:
    points, turn = ball(200, 0.4) * [1, 0.5, 0.7], np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))[0]
    queries = np.random.default_rng(5).uniform(-0.4, 0.4, size=(100, 3))
    assert np.abs(GaussField(points)(queries) - GaussField(points @ turn.T)(queries @ turn.T)).max() < 1e-3


def test_points_that_part_in_some_frame_are_no_neighbours() -> None:
    line = np.stack([np.linspace(0, 1, 21), np.zeros(21), np.zeros(21)], axis=1)
    beside = line + np.array([0, 0.02, 0])
    together = np.concatenate([line, beside])
    apart = np.concatenate([line, beside + np.array([0, 0.4, 0])])
    tree = PointGraph.of(np.stack([together, apart]))
    across = (tree.edges < 21).sum(axis=1) == 1
    assert across.sum() == 1, "one tree needs one edge between the two"
    assert not tree.joined[across].any() and tree.joined[~across].all()
