"""Matches of a surface with the points of a scan: by place, by how things face, and both ways."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.geometry.sampling import orientation, sample_surface, vertex_normals
from core.pipelines.scan_matching import MOST_MATCHED, ScanCloud, matched, measured_normals
from tests.geometry.bodies import capsule

VERTICES, FACES = capsule()
SLAB = VERTICES * [0.3, 0.3, 0.02]  # thinner than it is moved below
CORNERS = FACES.astype(np.int64)
OUT = orientation(VERTICES, FACES)
BODY, THIN = (ScanCloud(vertices, OUT * vertex_normals(vertices, FACES)) for vertices in (VERTICES, SLAB))
TURN = 0.05


def test_places_on_the_surface_match_themselves() -> None:
    points = sample_surface(VERTICES, FACES, 300, np.random.default_rng(0)).at(VERTICES)
    found = matched(BODY, CORNERS, ScanCloud(points))
    assert found.attachment.shape == (300, len(VERTICES))
    assert np.allclose(found.attachment @ VERTICES, points, atol=1e-9) and found.distance.max() < 1e-9
    assert (found.importance == 1).all()


def test_normals_keep_the_sides_of_a_thin_shape_apart() -> None:
    raised = SLAB + np.array([0.0, 0.0, 0.03])
    normals = OUT * vertex_normals(SLAB, FACES)
    upper = normals[:, 2] > 0.9
    below = normals[:, 2] < -0.9
    for turned, wrong in ((None, True), (normals, False)):
        found = matched(THIN, CORNERS, ScanCloud(raised, turned), TURN)
        places = found.attachment @ SLAB
        assert (places[below, 2].mean() > 0) == wrong, "by place alone, the far side is matched with the near one"
        assert places[upper, 2].mean() > 0
    ignored = matched(THIN, CORNERS, ScanCloud(raised, normals), 0.0).attachment @ SLAB
    assert ignored[below, 2].mean() > 0


def test_normals_that_say_nothing_leave_the_places() -> None:
    raised = SLAB + np.array([0.0, 0.0, 0.03])
    unsure = matched(THIN, CORNERS, ScanCloud(raised, np.zeros_like(raised), whole=True), TURN)
    places = unsure.attachment[: len(raised)] @ SLAB
    away = np.linalg.norm(places - raised, axis=1)
    assert np.allclose(unsure.distance[: len(raised)], away) and away.max() < 0.04
    towards = np.linalg.norm(unsure.targets - unsure.attachment @ SLAB, axis=1)
    assert np.allclose(unsure.distance, towards)


def test_of_a_whole_shape_every_place_of_the_surface_has_a_point() -> None:
    head = VERTICES[VERTICES[:, 1] > np.median(VERTICES[:, 1])]
    found = matched(BODY, CORNERS, ScanCloud(head, whole=True))
    assert found.attachment.shape[0] == len(head) + len(VERTICES)
    assert np.array_equal((found.attachment @ VERTICES)[len(head) :], VERTICES)
    foot = len(head) + int(VERTICES[:, 1].argmin())
    assert np.allclose(found.targets[foot], head[np.linalg.norm(head - VERTICES[foot - len(head)], axis=1).argmin()])
    assert 0 < found.importance[len(head) :].sum() < found.importance[: len(head)].sum()


def test_many_points_are_thinned_but_the_surface_looks_among_all() -> None:
    points = sample_surface(VERTICES, FACES, 3 * MOST_MATCHED, np.random.default_rng(0)).at(VERTICES)
    found = matched(BODY, CORNERS, ScanCloud(points, whole=True))
    assert found.attachment.shape[0] == MOST_MATCHED + len(VERTICES)
    nearest = np.linalg.norm(points[None] - VERTICES[:20, None], axis=-1).min(axis=1)
    assert np.allclose(found.distance[MOST_MATCHED : MOST_MATCHED + 20], nearest)


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
    faces = np.array([[0, 1, 2], [0, 2, 3], [4, 6, 5], [4, 7, 6]])
    sheets = ScanCloud(vertices, np.repeat([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]], 4, axis=0))
    point = ScanCloud(np.array([[0.3, 0.1, 0.03]]), np.array([[0.0, 0.0, 1.0]]))
    near, alike = (matched(sheets, faces, point, turn).attachment @ vertices for turn in (0.0, 0.2))
    assert near[0, 2] == 0.0
    assert np.isclose(alike[0, 2], 0.1)
    upper = matched(sheets, faces[:2], point, 0.0).attachment @ vertices
    assert np.isclose(upper[0, 2], 0.1), "only faces that can be seen are matched"


def test_what_a_camera_saw_is_thinned_with_its_normals() -> None:
    front = on_a_sphere(4000)
    front = front[front[:, 2] > 0.3]
    seen = ScanCloud.seen(front, np.array([0.0, 0.0, 5.0]))
    assert seen.normals is not None and len(seen) <= MOST_MATCHED
    assert np.einsum("ni,ni->n", seen.normals, seen.points).min() > 0.97
    assert len(ScanCloud.seen(front[:0], np.zeros(3))) == 0
