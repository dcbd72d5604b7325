"""Faces that cut through each other, on shapes where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from core.evaluation.self_intersections import crossing_faces

TRIANGLE = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def two(offset: tuple[float, float, float]) -> int:
    """A triangle in the plane z = 0 and an upright one at an offset."""
    upright = np.array([[0.0, 0.0, -0.5], [0.1, 0.0, 0.5], [0.0, 0.1, 0.5]]) + offset
    return crossing_faces(np.concatenate([TRIANGLE, upright]), np.array([[0, 1, 2], [3, 4, 5]]))


def sphere(rings: int = 12) -> tuple[np.ndarray, np.ndarray]:
    polar, around = np.meshgrid(np.linspace(0.1, 3.0, rings), np.linspace(0, 2 * np.pi, rings, endpoint=False))
    points = np.stack([np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)], axis=-1)
    faces = []
    for i in range(rings):
        for j in range(rings - 1):
            a, b = i * rings + j, (i + 1) % rings * rings + j
            faces += [[a, b, a + 1], [b, b + 1, a + 1]]
    return points.reshape(-1, 3), np.array(faces)


def test_two_triangles() -> None:
    assert two((0.2, 0.2, 0.0)) == 2  # through the middle
    assert two((0.9, 0.9, 0.0)) == 0  # boxes overlap, triangles do not
    assert two((0.2, 0.2, 0.7)) == 0  # above


def test_neighbours_do_not_count() -> None:
    points, faces = sphere()
    assert crossing_faces(points, faces) == 0


@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_two_spheres_cut_each_other_along_a_circle(scale: float) -> None:
    points, faces = sphere()
    both = np.concatenate([points, points + np.array([1.0, 0.0, 0.1])]) * scale
    count = crossing_faces(both, np.concatenate([faces, faces + len(points)]))
    assert 20 < count < len(faces)
    apart = np.concatenate([points, points + np.array([2.5, 0.0, 0.0])]) * scale
    assert crossing_faces(apart, np.concatenate([faces, faces + len(points)])) == 0


def test_every_pair_is_found_as_by_trying_all() -> None:
    rng = np.random.default_rng(0)
    corners = rng.normal(size=(60, 1, 3)) + 0.6 * rng.normal(size=(60, 3, 3)) * rng.uniform(0.1, 2.0, (60, 1, 1))
    faces = np.arange(180).reshape(60, 3)
    alone = np.zeros(60, dtype=bool)
    for one in range(60):
        for other in range(one):
            pair = np.concatenate([corners[one], corners[other]])
            alone[[one, other]] |= crossing_faces(pair, np.array([[0, 1, 2], [3, 4, 5]])) == 2
    assert crossing_faces(corners.reshape(-1, 3), faces) == alone.sum() > 10
