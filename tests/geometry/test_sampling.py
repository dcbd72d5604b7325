"""Surface samples: uniform by area, on the surface, tracked; normals; winding-number occupancy."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from core.errors import MeshError
from core.geometry.occupancy import is_inside, uniform_box_points, winding_number
from core.geometry.sampling import face_normals, sample_surface, vertex_normals


def _sphere(radius: float = 0.4, subdivisions: int = 3) -> tuple[np.ndarray, np.ndarray]:
    mesh = trimesh.creation.icosphere(subdivisions, radius)
    return np.asarray(mesh.vertices), np.asarray(mesh.faces)


def test_samples_are_uniform_by_area_and_never_on_a_face_without_area() -> None:
    vertices = np.array([[0, 0, 0], [3, 0, 0], [0, 3, 0], [10, 0, 0], [11, 0, 0], [10, 1, 0.0]])
    faces = np.array([[0, 1, 2], [0, 0, 1], [3, 4, 5], [0, 1, 1]])
    samples = sample_surface(vertices, faces, 20_000, np.random.default_rng(0))
    share = np.bincount(samples.face, minlength=4) / 20_000
    assert share[0] == pytest.approx(0.9, abs=0.01)
    assert share[1] == share[3] == 0
    assert samples.at(vertices)[samples.face == 0].mean(0) == pytest.approx([1, 1, 0], abs=0.03)


def test_samples_follow_the_surface_through_a_motion() -> None:
    vertices, faces = _sphere()
    samples = sample_surface(vertices, faces, 200, np.random.default_rng(1))
    turn = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]])
    motion = np.stack([vertices, vertices @ turn.T + 2.0])
    tracked = samples.at(motion)
    assert tracked.shape == (2, 200, 3)
    assert np.allclose(tracked[0], samples.at(vertices))
    assert np.allclose(tracked[1], tracked[0] @ turn.T + 2.0)
    assert samples.at(motion.astype(np.float32)).dtype == np.float32


def test_the_same_generator_state_gives_the_same_samples() -> None:
    vertices, faces = _sphere(subdivisions=1)
    first, second = (sample_surface(vertices, faces, 50, np.random.default_rng(7)).at(vertices) for _ in range(2))
    assert np.array_equal(first, second)


def test_a_mesh_without_area_cannot_be_sampled() -> None:
    with pytest.raises(MeshError, match="no surface area"):
        sample_surface(np.zeros((3, 3)), np.array([[0, 1, 2]]), 5, np.random.default_rng(0))


def test_normals_of_a_sphere_point_outward() -> None:
    vertices, faces = _sphere()
    unit = vertices / np.linalg.norm(vertices, axis=1, keepdims=True)
    assert ((vertex_normals(vertices, faces) * unit).sum(1) > 0.999).all()
    assert ((face_normals(vertices, faces) * unit[faces].mean(1)).sum(1) > 0.98).all()
    frames = np.stack([vertices, 2 * vertices])
    assert np.allclose(vertex_normals(frames, faces)[1], vertex_normals(vertices, faces))


def test_normals_of_degenerate_faces_and_loose_vertices_are_zero_not_nan() -> None:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 5, 5.0]])
    faces = np.array([[0, 1, 2], [1, 1, 2]])
    assert np.array_equal(face_normals(vertices, faces), [[0, 0, 1], [0, 0, 0]])
    assert np.array_equal(vertex_normals(vertices, faces)[3], [0, 0, 0])


def test_inside_is_known_on_a_sphere_whichever_way_it_is_turned() -> None:
    vertices, faces = _sphere(subdivisions=4)
    queries = uniform_box_points(5_000, np.random.default_rng(2))
    assert np.abs(queries).max() <= 0.55
    radius = np.linalg.norm(queries, axis=1)
    clear = np.abs(radius - 0.4) > 0.01
    for turned in (faces, faces[:, ::-1]):
        assert np.array_equal(is_inside(vertices, turned, queries)[clear], radius[clear] < 0.4)


def test_open_and_overlapping_and_degenerate_meshes_have_an_inside() -> None:
    vertices, faces = _sphere()
    hole = faces[vertices[faces].mean(1)[:, 1] < 0.36]  # the top cap is missing
    assert len(hole) < len(faces)
    both = np.concatenate([vertices, vertices + np.array([0.3, 0, 0])])
    overlapping = np.concatenate([hole, hole + len(vertices), [[0, 0, 1]]])
    queries = np.array([[0, 0, 0], [0.15, 0, 0], [0.3, 0, 0], [-0.5, 0, 0], [0.15, 0.5, 0.5]])
    assert is_inside(both, overlapping, queries).tolist() == [True, True, True, False, False]
    assert np.isfinite(winding_number(both, overlapping, queries)).all()
    assert len(winding_number(both, overlapping, np.zeros((0, 3)))) == 0
