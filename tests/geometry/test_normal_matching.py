"""Normals of measured points, and matches with what faces the same way."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.geometry.normal_matching import closest_alike, measured_normals
from core.geometry.sampling import sample_surface
from core.geometry.soft_arap import closest
from tests.evaluation.test_reconstruction_metrics import sphere


def on_a_sphere(count: int) -> NDArray[np.float64]:
    """Points of the unit sphere."""
    points = np.random.default_rng(0).normal(size=(count, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def test_measured_normals_stand_on_the_surface_and_face_the_camera() -> None:
    cloud = on_a_sphere(4000)
    eye = np.array([0.0, 0.0, 5.0])
    front = cloud[cloud[:, 2] > 0.3]
    normals = measured_normals(front, front[::10], eye)
    assert np.einsum("ni,ni->n", normals, front[::10]).min() > 0.97
    inside_out = measured_normals(front, front[::10], np.zeros(3))
    assert np.allclose(inside_out, -normals)


def test_a_cloud_of_a_single_point_has_some_unit_normal() -> None:
    only = np.array([[0.1, 0.2, 0.3]])
    assert np.allclose(np.linalg.norm(measured_normals(only, only, np.zeros(3)), axis=1), 1.0)


def test_a_point_goes_to_the_sheet_that_faces_as_it_does_though_another_is_nearer() -> None:
    square = np.array([[-1.0, -1.0, 0.0], [1.0, -1.0, 0.0], [1.0, 1.0, 0.0], [-1.0, 1.0, 0.0]])
    vertices = np.concatenate([square + 0.1 * np.eye(3)[2], square])
    up, down = [[0, 1, 2], [0, 2, 3]], [[4, 6, 5], [4, 7, 6]]
    faces = np.array(up + down)
    points, normals = np.array([[0.3, 0.1, 0.03]]), np.array([[0.0, 0.0, 1.0]])
    near, alike = (
        closest_alike(vertices, faces, faces, points, normals, length)[0] @ vertices for length in (0.0, 0.2)
    )
    assert near[0, 2] == 0.0
    assert np.isclose(alike[0, 2], 0.1)


def test_without_normals_a_match_is_about_the_nearest_place_among_the_faces_that_may_be_matched() -> None:
    vertices, faces = sphere()
    faces = faces.astype(np.int64)
    points = 1.1 * sample_surface(vertices, faces, 50, np.random.default_rng(1)).at(vertices)
    attachment, distance = closest_alike(vertices, faces, faces, points, points, 0.0)
    exact = closest(vertices, faces, points)[1]
    assert np.allclose(attachment.sum(axis=1), 1.0)
    assert np.allclose(np.linalg.norm(attachment @ vertices - points, axis=1), distance)
    assert (distance >= exact - 1e-9).all() and distance.mean() < exact.mean() + 0.03

    low = faces[(vertices[faces][..., 2] < 0).all(axis=1)]
    attachment, _ = closest_alike(vertices, faces, low, points, points, 0.0)
    assert ((attachment @ vertices)[:, 2] < 0).all()
