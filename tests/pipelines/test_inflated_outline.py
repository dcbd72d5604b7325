"""What an outline says of a shape's thickness."""

from __future__ import annotations

import numpy as np

from core.geometry.image_camera import FRONT, VIEW_SIDE, camera_axes
from core.pipelines.inflated_outline import MOST_SHARE, STEEPNESS, InflatedOutline

CELLS = 96
RADIUS = 0.25
BAD, GOOD = 2.0, -2.0  # disagreements of bodies that say nothing, and everything


def disc() -> np.ndarray:
    """The outline of a ball around the origin."""
    rows, columns = np.indices((CELLS, CELLS)) - (CELLS - 1) / 2
    return np.hypot(rows, columns) * VIEW_SIDE / CELLS < RADIUS


def deep(away: float, across: float = 0.0) -> np.ndarray:
    """A place [1, 3] on the ray through the image, `across` from the middle at the origin's depth."""
    right, _, forward = camera_axes()
    return (forward * away + right * across * (1 + away / FRONT[2]))[None]


def outline(middle: float) -> InflatedOutline:
    """The disc, with bodies that are likely to have something at one place only."""
    return InflatedOutline.of(disc(), deep(middle), np.array([500.0]))


def nothing(places: np.ndarray) -> np.ndarray:
    return np.full(len(places), -1.0)


def everything(places: np.ndarray) -> np.ndarray:
    return np.full(len(places), 6.0)


def test_a_disc_becomes_an_ellipsoid() -> None:
    field = outline(0.0).beside(nothing, BAD)
    for away in (0.0, 0.6 * RADIUS, -0.6 * RADIUS):
        assert field(deep(away))[0] > 0
    for away in (RADIUS, -RADIUS):
        assert field(deep(away))[0] < 0
    assert field(deep(0.6 * RADIUS, 0.8 * RADIUS))[0] < 0


def test_its_middle_is_where_bodies_have_theirs() -> None:
    field = outline(0.2).beside(nothing, BAD)
    assert field(deep(0.2))[0] > 0 > field(deep(-0.15))[0]


def test_bodies_count_as_much_as_they_agree_with_the_image() -> None:
    found = outline(0.0)
    assert np.isclose(found.beside(nothing, GOOD)(deep(0.0))[0], -1.0, atol=1e-3)
    shares = [found.beside(nothing, misfit)(deep(0.0))[0] for misfit in (GOOD, 0.55, 0.6, 0.65, BAD)]
    assert shares == sorted(shares)
    assert np.isclose(shares[-1], (1 - MOST_SHARE) * -1.0 + MOST_SHARE * 6.0, atol=1e-3)


def test_nothing_stands_beyond_the_outline() -> None:
    field = outline(0.0).beside(everything, GOOD)
    beyond = 0.1
    assert field(deep(0.0, 0.5 * RADIUS))[0] > 0
    assert np.isclose(field(deep(0.0, RADIUS + beyond))[0], -STEEPNESS * beyond, atol=STEEPNESS * VIEW_SIDE / CELLS)
    assert field(deep(0.3, RADIUS + beyond))[0] < 0
