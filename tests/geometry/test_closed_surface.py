"""Closed surfaces around meshes with holes, overlaps and sheets."""

import numpy as np
import pytest

from core.errors import MeshError
from core.geometry.closed_surface import closed_surface
from core.geometry.occupancy import is_inside
from tests.evaluation.test_reconstruction_metrics import sphere


def closed(faces: np.ndarray) -> bool:
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    return bool((np.unique(edges, axis=0, return_counts=True)[1] % 2 == 0).all())


def test_overlapping_parts_become_one_surface_with_few_vertices() -> None:
    vertices, faces = sphere()
    vertices = vertices / np.ptp(vertices, axis=0).max()
    two = np.concatenate([vertices * 0.6 - [0.2, 0, 0], vertices * 0.6 + [0.2, 0, 0]])
    surface, triangles = closed_surface(two, np.concatenate([faces, faces + len(vertices)]), 300)
    assert closed(triangles) and 250 < len(surface) < 350
    inside = is_inside(
        surface, triangles, np.array([[-0.2, 0, 0], [0.2, 0, 0], [0, 0, 0], [0, 0.29, 0], [0.49, 0.2, 0]])
    )
    assert inside.tolist() == [True, True, True, False, False]


def test_a_sheet_gets_a_thickness() -> None:
    corner = np.array([[-0.5, 0, -0.5], [0.5, 0, -0.5], [0.5, 0, 0.5], [-0.5, 0, 0.5]])
    surface, triangles = closed_surface(corner, np.array([[0, 1, 2], [0, 2, 3]]), 200)
    assert closed(triangles)
    assert np.ptp(surface, axis=0) == pytest.approx([1.0, 0.008, 1.0], abs=0.012)


def test_nothing_inside_is_named() -> None:
    vertices = np.array([[0, 0, 0], [1e-9, 0, 0], [0, 1e-9, 0]])
    with pytest.raises(MeshError):
        closed_surface(vertices, np.array([[0, 0, 1]]), 100)
