"""Distances along a surface: what bends keeps them, what only comes close stays far, and no mesh upsets them."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from core.geometry import surface_distance
from core.geometry.sampling import SurfaceSamples, sample_surface
from core.geometry.surface_distance import REACH, SurfaceGraph


def plate(cells: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """A unit square in the plane z = 0."""
    x, y = np.meshgrid(np.linspace(0, 1, cells + 1), np.linspace(0, 1, cells + 1), indexing="ij")
    index = np.arange((cells + 1) ** 2).reshape(cells + 1, -1)
    a, b, c, d = index[:-1, :-1].ravel(), index[1:, :-1].ravel(), index[1:, 1:].ravel(), index[:-1, 1:].ravel()
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    return np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1), faces


def folded(points: np.ndarray, gap: float) -> np.ndarray:
    """The plate folded over at x = 0.5, its halves a gap apart; distances along it stay nearly the same."""
    x, y, _ = points.T
    far = x > 0.5
    return np.stack([np.where(far, 1.0 - x, x), y, np.where(far, gap, 0.0)], axis=1)


def samples_of(points: np.ndarray, faces: np.ndarray, count: int = 200) -> SurfaceSamples:
    return sample_surface(points, faces, count, np.random.default_rng(0))


def test_a_flat_plate_has_straight_distances() -> None:
    points, faces = plate()
    samples = samples_of(points, faces)
    graph = SurfaceGraph(points, faces, samples)
    places = np.concatenate([points, samples.at(points)])
    chosen = np.arange(0, len(places), 7)
    straight = np.linalg.norm(places[chosen][:, None] - places[None], axis=-1)
    found = graph.distances(chosen)
    near = straight < 0.8 * REACH
    assert (found >= straight - 1e-5).all()
    assert (found - straight)[near].mean() < 0.07 * straight[near].mean()
    assert np.allclose(found[:, chosen], found[:, chosen].T, atol=1e-5)


def test_what_is_folded_together_stays_far_apart() -> None:
    points, faces = plate()
    shape = folded(points, 0.01)
    graph = SurfaceGraph(shape, faces, samples_of(shape, faces))
    row = lambda x, y: int(np.argmin(np.linalg.norm(points[:, :2] - [x, y], axis=1)))  # noqa: E731
    one, opposite, neighbour = row(0.1, 0.5), row(0.9, 0.5), row(0.2, 0.5)
    found = graph.distances(np.array([one]))[0]
    assert np.linalg.norm(shape[one] - shape[opposite]) < 0.02
    assert found[opposite] > REACH > 2 * found[neighbour]


def test_components_are_as_far_as_they_look() -> None:
    points, faces = plate(6)
    both = np.concatenate([points, points + np.array([0.0, 0.0, 0.05])])
    corners = np.concatenate([faces, faces + len(points)])
    found = SurfaceGraph(both, corners, samples_of(both, corners)).distances(np.array([0]))[0]
    assert found[len(points)] == pytest.approx(0.05, abs=1e-5)


def test_seams_do_not_tear() -> None:
    """Vertices repeated for their texture coordinates are one place."""
    points, faces = plate(8)
    torn = points[faces].reshape(-1, 3)
    corners = np.arange(len(torn)).reshape(-1, 3)
    whole = SurfaceGraph(points, faces, samples_of(points, faces)).distances(np.array([0]))[0, : len(points)]
    apart = SurfaceGraph(torn, corners, samples_of(torn, corners)).distances(
        np.array([int(np.flatnonzero(faces.ravel() == 0)[0])])
    )[0, : len(torn)]
    assert np.allclose(apart, whole[faces.ravel()], atol=1e-5)


def test_lines_through_the_inside_are_straight() -> None:
    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.12)
    both = trimesh.util.concatenate([ball, ball.copy().apply_translation([0.26, 0.0, 0.0])])
    points, faces = np.asarray(both.vertices), np.asarray(both.faces)
    joined = np.concatenate([faces, [[int(np.argmin(points[:, 1])), len(points) - 1, 0]]])  # one component
    graph = SurfaceGraph(points, joined, samples_of(points, joined))
    left, right = int(np.argmin(points[:642, 0])), int(np.argmax(points[:642, 0]))
    other = 642 + int(np.argmin(points[642:, 0]))
    chosen = np.array([left, right, other])
    solid, surface = graph.solid_distances(chosen), graph.distances(chosen)[:, chosen]
    assert solid[0, 1] == pytest.approx(0.24, abs=1e-3) and surface[0, 1] > 0.3  # through the ball
    assert solid[1, 2] == surface[1, 2] > 0.1  # through the air between the balls
    assert np.array_equal(solid, solid.T)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), faces=st.integers(1, 60))
def test_soups_of_triangles_have_finite_distances(seed: int, faces: int) -> None:
    """Non-manifold, overlapping, degenerate: every distance is finite and none is shorter than the straight one."""
    rng = np.random.default_rng(seed)
    points = rng.random((20, 3)) - 0.5
    corners = rng.integers(0, 20, (faces, 3))
    corners[0] = [0, 1, 2]
    samples = samples_of(points, corners, 30)
    found = SurfaceGraph(points, corners, samples).distances(np.arange(50))
    places = np.concatenate([points, samples.at(points)])
    straight = np.linalg.norm(places[:, None] - places[None], axis=-1)
    assert found.shape == (50, 50) and np.isfinite(found).all()
    assert (found >= straight - 1e-5).all() and (np.diag(found) < 1e-5).all()


def test_a_sphere_has_arcs() -> None:
    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.5)
    points, faces = np.asarray(ball.vertices), np.asarray(ball.faces)
    found = SurfaceGraph(points, faces, samples_of(points, faces)).distances(np.array([0]))[0, : len(points)]
    arc = 0.5 * np.arccos(np.clip(points @ points[0] / 0.25, -1, 1))
    near = (arc > 0.05) & (arc < 0.9 * REACH)
    assert np.abs(found[near] / arc[near] - 1).mean() < 0.06


def test_distances_do_not_depend_on_what_was_asked_before(monkeypatch: pytest.MonkeyPatch) -> None:
    points, faces = plate()
    samples = samples_of(points, faces)
    fresh = lambda: SurfaceGraph(points, faces, samples)  # noqa: E731
    first, second = np.arange(0, 60), np.arange(30, 400, 3)
    graph = fresh()
    graph.distances(first)
    expected = fresh().distances(second)
    np.testing.assert_array_equal(graph.distances(second), expected)
    np.testing.assert_array_equal(graph.distances(second, second), expected[:, second])
    monkeypatch.setattr(surface_distance, "_KEPT_BYTES", 0)  # nothing is kept
    np.testing.assert_array_equal(fresh().distances(second), expected)
    monkeypatch.setattr(surface_distance, "dijkstra", None)  # and nothing known is searched again
    np.testing.assert_array_equal(graph.distances(second[:9]), expected[:9])
