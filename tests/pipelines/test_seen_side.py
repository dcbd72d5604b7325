"""Where all was seen: found from bodies that fit, and nothing may stand there that no point lies on."""

from __future__ import annotations

import numpy as np
import pytest

from core.geometry.sampling import sample_surface
from core.pipelines.seen_side import COVERED, Extent, SeenSide
from tests.geometry.bodies import capsule

NORMAL = np.array([0.96, 0.28, 0.0])


@pytest.fixture(scope="module")
def sausage() -> np.ndarray:
    vertices = capsule(0.8)[0]
    return np.asarray((vertices - vertices.mean(axis=0)) / np.ptp(vertices, axis=0).max())


@pytest.fixture(scope="module")
def above(sausage: np.ndarray) -> SeenSide:
    """Of points on the sausage above the plane through its middle."""
    points = sample_surface(sausage, capsule()[1], 1200, np.random.default_rng(0)).at(sausage)
    return SeenSide.of(points[points @ NORMAL > 0])


def with_spike(sausage: np.ndarray, count: int) -> np.ndarray:
    """Vertices of the sausage and of something that stands on its seen half."""
    tip = sausage[(sausage @ NORMAL).argmax()]
    return np.concatenate([sausage, tip + np.linspace(0, 0.4, count)[:, None] * np.array([0.0, 1.0, 0.0])])


def test_the_plane_is_found_from_a_body_that_fits(sausage: np.ndarray, above: SeenSide) -> None:
    (side,) = above.of_each([sausage], Extent.CUT)
    assert side is not None and side.normal is not None
    assert side.normal @ NORMAL > np.cos(np.radians(30))  # a thin body says little of the tilt
    assert side.contradicted(sausage).max() < COVERED * above.spacing


def test_what_stands_above_it_contradicts_and_is_drawn_to_the_points(sausage: np.ndarray, above: SeenSide) -> None:
    spiked = with_spike(sausage, 60)
    (side,) = above.of_each([spiked], Extent.CUT)
    assert side is not None
    assert side.contradicted(spiked)[len(sausage) :].max() > 0.2
    rows, places, away = side.strays(spiked)
    assert (rows >= len(sausage)).sum() > 20
    assert (above.tree.query(places)[0] < away).all()


def test_the_body_without_the_spike_is_preferred(sausage: np.ndarray, above: SeenSide) -> None:
    bare = np.concatenate([sausage, sausage[:300]])
    bodies = np.stack([with_spike(sausage, 300), bare])
    spiked, clean = above.contradictions(bodies, Extent.CUT, np.array([1]))
    assert spiked > 2 * clean


def test_what_a_camera_did_not_see_is_not_taken_to_be_empty(sausage: np.ndarray, above: SeenSide) -> None:
    assert above.of_each([sausage], Extent.SIDE) == [None]
    assert above.of_each([sausage], Extent.WHOLE) == [above]
