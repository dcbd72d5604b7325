"""Iso-surface extraction: closed, right volume, few queries, honest errors."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from core.errors import MeshError
from core.geometry.isosurface import extract_isosurface


def _sphere_logits(points: np.ndarray) -> np.ndarray:
    return 0.4 - np.linalg.norm(points, axis=1)


def _torus_probability(points: np.ndarray) -> np.ndarray:
    ring = np.linalg.norm(points[:, [0, 2]], axis=1) - 0.35
    return 1 / (1 + np.exp(-(0.1 - np.hypot(ring, points[:, 1])) * 60))


@pytest.mark.parametrize(
    ("field", "level", "volume"),
    [(_sphere_logits, 0.0, 4 / 3 * np.pi * 0.4**3), (_torus_probability, 0.5, 2 * np.pi**2 * 0.35 * 0.1**2)],
)
def test_surface_is_closed_and_has_the_shape_s_volume(field, level: float, volume: float) -> None:
    asked = 0

    def counted(points: np.ndarray) -> np.ndarray:
        nonlocal asked
        asked += len(points)
        return field(points)

    vertices, faces = extract_isosurface(counted, resolution=64, level=level)
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(volume, rel=0.02)  # positive: faces turn outward
    assert asked < 0.4 * 65**3


def test_refined_surface_equals_the_full_grid_s() -> None:
    fine, _ = extract_isosurface(_torus_probability, resolution=64, coarse_resolution=16)
    full, _ = extract_isosurface(_torus_probability, resolution=64, coarse_resolution=64)
    assert fine.shape == full.shape
    assert np.allclose(np.sort(fine, axis=0), np.sort(full, axis=0), atol=1e-6)


def test_a_shape_that_leaves_the_box_is_closed_at_its_border() -> None:
    vertices, faces = extract_isosurface(lambda p: (p[:, 0] < 0.1).astype(np.float32), resolution=32)
    assert trimesh.Trimesh(vertices, faces, process=False).is_watertight
    assert np.abs(vertices).max() <= 0.55


@pytest.mark.parametrize(
    ("value", "word"), [(0.0, "outside everywhere"), (1.0, "inside everywhere"), (np.nan, "finite")]
)
def test_nothing_to_extract_is_said(value: float, word: str) -> None:
    with pytest.raises(MeshError, match=word):
        extract_isosurface(lambda points: np.full(len(points), value), resolution=32)


def test_a_resolution_that_cannot_be_reached_by_halving_is_refused() -> None:
    with pytest.raises(ValueError, match="power of two"):
        extract_isosurface(_sphere_logits, resolution=100)


def test_what_is_thinner_than_coarse_cells_is_found_where_it_is_said_to_be() -> None:
    def beads(places: np.ndarray) -> np.ndarray:
        ball = 0.1 - np.linalg.norm(places, axis=1)
        return np.maximum(ball, 0.012 - np.linalg.norm(places - [0.3, 0.017, 0.017], axis=1))

    missed, _ = extract_isosurface(beads, 128, level=0.0)
    found, _ = extract_isosurface(beads, 128, level=0.0, thin=np.array([[0.3, 0.017, 0.017]]))
    assert found[:, 0].max() > 0.3 > missed[:, 0].max()
