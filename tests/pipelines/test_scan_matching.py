"""Matches of a surface with the points of a scan: by place, by how things face, and both ways."""

from __future__ import annotations

import numpy as np

from core.geometry.sampling import orientation, sample_surface, vertex_normals
from core.pipelines.scan_matching import MOST_MATCHED, ScanCloud, matched
from tests.geometry.bodies import capsule

VERTICES, FACES = capsule()
SLAB = VERTICES * [0.3, 0.3, 0.02]  # thinner than it is moved below
CORNERS = FACES.astype(np.int64)
OUT = orientation(VERTICES, FACES)


def test_places_on_the_surface_match_themselves() -> None:
    points = sample_surface(VERTICES, FACES, 300, np.random.default_rng(0)).at(VERTICES)
    found = matched(VERTICES, CORNERS, OUT, ScanCloud(points))
    assert found.attachment.shape == (300, len(VERTICES))
    assert np.allclose(found.attachment @ VERTICES, points, atol=1e-9) and found.distance.max() < 1e-9
    assert (found.importance == 1).all()


def test_normals_keep_the_sides_of_a_thin_shape_apart() -> None:
    raised = SLAB + np.array([0.0, 0.0, 0.03])
    normals = OUT * vertex_normals(SLAB, FACES)
    upper = normals[:, 2] > 0.9
    below = normals[:, 2] < -0.9
    for turned, wrong in ((None, True), (normals, False)):
        found = matched(SLAB, CORNERS, OUT, ScanCloud(raised, turned))
        places = found.attachment @ SLAB
        assert (places[below, 2].mean() > 0) == wrong, "by place alone, the far side is matched with the near one"
        assert places[upper, 2].mean() > 0
    inside_out = matched(SLAB, CORNERS[:, ::-1], -OUT, ScanCloud(raised, normals))
    assert np.allclose(inside_out.attachment @ SLAB, places)


def test_normals_that_say_nothing_leave_the_places() -> None:
    raised = SLAB + np.array([0.0, 0.0, 0.03])
    unsure = matched(SLAB, CORNERS, OUT, ScanCloud(raised, np.zeros_like(raised), whole=True))
    places = unsure.attachment[: len(raised)] @ SLAB
    away = np.linalg.norm(places - raised, axis=1)
    assert np.allclose(unsure.distance[: len(raised)], away) and away.max() < 0.04
    towards = np.linalg.norm(unsure.targets - unsure.attachment @ SLAB, axis=1)
    assert np.allclose(unsure.distance, towards)


def test_of_a_whole_shape_every_place_of_the_surface_has_a_point() -> None:
    head = VERTICES[VERTICES[:, 1] > np.median(VERTICES[:, 1])]
    found = matched(VERTICES, CORNERS, OUT, ScanCloud(head, whole=True))
    assert found.attachment.shape[0] == len(head) + len(VERTICES)
    assert np.array_equal((found.attachment @ VERTICES)[len(head) :], VERTICES)
    foot = len(head) + int(VERTICES[:, 1].argmin())
    assert np.allclose(found.targets[foot], head[np.linalg.norm(head - VERTICES[foot - len(head)], axis=1).argmin()])
    assert 0 < found.importance[len(head) :].sum() < found.importance[: len(head)].sum()


def test_many_points_are_thinned_but_the_surface_looks_among_all() -> None:
    points = sample_surface(VERTICES, FACES, 3 * MOST_MATCHED, np.random.default_rng(0)).at(VERTICES)
    found = matched(VERTICES, CORNERS, OUT, ScanCloud(points, whole=True))
    assert found.attachment.shape[0] == MOST_MATCHED + len(VERTICES)
    nearest = np.linalg.norm(points[None] - VERTICES[:20, None], axis=-1).min(axis=1)
    assert np.allclose(found.distance[MOST_MATCHED : MOST_MATCHED + 20], nearest)
