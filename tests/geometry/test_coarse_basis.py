"""Fields of a large mesh as mixtures of a few vertices: constants and slopes are kept, threads and scraps too."""

from __future__ import annotations

import numpy as np
import trimesh

from core.geometry.coarse_basis import coarse_basis, contracted_faces
from core.geometry.operators import surface_operator


def basis_of(vertices: np.ndarray, faces: np.ndarray, keep: np.ndarray, count: int):
    operator = surface_operator(vertices, faces)
    return operator, coarse_basis(operator.points, operator.faces, operator.laplacian, keep, count)


def test_constants_and_slopes_are_kept() -> None:
    ball = trimesh.creation.icosphere(4)
    vertices, faces = np.asarray(ball.vertices) * [1, 0.6, 0.4], np.asarray(ball.faces)
    keep = np.array([7, 1500])
    operator, basis = basis_of(vertices, faces, keep, 300)
    assert 150 < basis.shape[1] < 700
    assert np.allclose(basis.sum(axis=1), 1)
    values = np.linalg.lstsq(basis.toarray(), operator.points, rcond=None)[0]
    assert np.abs(basis @ values - operator.points).max() < 0.01


def test_a_thread_thinner_than_a_patch_is_followed_along() -> None:
    tube = trimesh.creation.cylinder(radius=0.002, height=1, sections=6).subdivide_to_size(0.01)
    vertices, faces = np.asarray(tube.vertices), np.asarray(tube.faces)
    operator, basis = basis_of(vertices, faces, np.zeros(0, np.int64), 40)
    assert basis.shape[1] < len(vertices) / 4
    values = np.linalg.lstsq(basis.toarray(), operator.points, rcond=None)[0]
    assert np.abs(basis @ values - operator.points).max() < 0.02


def test_scraps_and_loose_vertices_have_mixtures_too() -> None:
    rng = np.random.default_rng(0)
    middles = rng.uniform(size=(400, 1, 3))
    vertices = np.concatenate([(middles + 0.002 * rng.normal(size=(400, 3, 3))).reshape(-1, 3), [[2, 2, 2]]])
    faces = np.arange(1200).reshape(-1, 3)
    _, basis = basis_of(vertices, faces, np.array([5]), 50)
    assert np.isfinite(basis.data).all()
    assert np.allclose(basis.sum(axis=1), 1)
    assert basis.shape[1] <= 101


def test_faces_are_contracted_once_each() -> None:
    owner = np.array([0, 0, 1, 2, 2])
    faces = np.array([[0, 2, 3], [1, 3, 2], [0, 1, 2], [2, 3, 4]])
    assert contracted_faces(owner, faces).tolist() == [[0, 1, 2]]
