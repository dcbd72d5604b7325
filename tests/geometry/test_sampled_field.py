"""Fields through the values of a grid."""

from __future__ import annotations

import numpy as np

from core.geometry.isosurface import refined_grid
from core.geometry.sampled_field import sampled_field

RADIUS = 0.3


def ball(places: np.ndarray) -> np.ndarray:
    return 100 * (RADIUS - np.linalg.norm(places, axis=1))


def test_a_field_meets_its_values_and_is_smooth_between() -> None:
    field = sampled_field(refined_grid(ball, 64, level=0.0))
    rng = np.random.default_rng(0)
    direction = rng.normal(size=(500, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    near = direction * (RADIUS + 0.02 * rng.uniform(-1, 1, size=(500, 1)))
    assert np.abs(field(near) - ball(near)).max() < 0.05  # a two-thousandth of the size


def test_few_places_are_asked_for() -> None:
    asked = 0

    def counted(places: np.ndarray) -> np.ndarray:
        nonlocal asked
        asked += len(places)
        return ball(places)

    grid = refined_grid(counted, 128, level=0.0)
    assert grid.shape == (129, 129, 129)
    assert asked < 0.2 * grid.size
