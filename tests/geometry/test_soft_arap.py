"""Soft as-rigid-as-possible fits and nearest surface points."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from core.geometry.soft_arap import Sliding, SoftArap, closest, simplified
from tests.evaluation.test_reconstruction_metrics import sphere
from tests.geometry.bodies import capsule


def test_soft_arap_recovers_a_rigid_motion_exactly() -> None:
    vertices, faces = capsule()
    turn = Rotation.from_rotvec([0.2, -0.5, 0.9]).as_matrix()
    moved = vertices @ turn.T + [0.3, 0.1, -0.2]
    body = SoftArap(vertices, faces)
    rows = np.arange(0, len(vertices), 20)
    attachment, distance = closest(vertices, faces, vertices[rows])
    assert distance.max() < 1e-7
    found = body.fit(vertices, body.attached(attachment, np.ones(len(rows))), moved[rows], 60)
    assert np.linalg.norm(found - moved, axis=1).mean() < 2e-3


def test_attachments_give_the_nearest_surface_points() -> None:
    vertices, faces = sphere()
    points = np.random.default_rng(0).normal(size=(30, 3))
    attachment, distance = closest(vertices, faces, points)
    assert np.allclose(np.asarray(attachment.sum(axis=1)).ravel(), 1.0)
    assert np.allclose(np.linalg.norm(attachment @ vertices - points, axis=1), distance)
    assert (distance <= cKDTree(vertices).query(points)[0] + 1e-9).all()


def test_a_pose_at_rest_stays_where_nothing_pulls() -> None:
    vertices, faces = capsule()
    bent = capsule(0.7)[0]
    body = SoftArap(vertices, faces).at_rest_in(bent)
    attachment, _ = closest(bent, faces, bent[:50])
    assert np.abs(body.fit(bent, body.attached(attachment, np.ones(50)), bent[:50], 5) - bent).max() < 1e-6


def test_a_sliding_fit_goes_across_the_surface_and_not_along_it() -> None:
    ball, faces = sphere()
    body = SoftArap(ball, faces)
    rows = np.arange(0, len(ball), 3)
    attached = body.attached(closest(ball, faces, ball[rows])[0], np.ones(len(rows)))
    sliding = Sliding(ball[rows] / np.linalg.norm(ball[rows], axis=1, keepdims=True), 0.0)
    turned = ball @ Rotation.from_rotvec([0.0, 0.1, 0.0]).as_matrix().T
    held, free = (body.fit(ball, attached, turned[rows], 30, slides) - ball for slides in (None, sliding))
    assert np.linalg.norm(free, axis=1).mean() < 0.2 * np.linalg.norm(held, axis=1).mean()
    moved = body.fit(ball, attached, ball[rows] + [0.0, 0.1, 0.0], 60, sliding) - ball
    assert np.abs(moved.mean(axis=0) - [0.0, 0.1, 0.0]).max() < 0.01


def test_stretch_is_the_change_of_length_of_edges_wherever_they_turn() -> None:
    vertices, faces = capsule()
    larger = 1.2 * vertices @ Rotation.from_rotvec([0.2, -0.5, 0.9]).as_matrix().T
    assert abs(SoftArap(vertices, faces).stretch(larger) - 0.2) < 1e-9


def test_a_simplified_surface_stays_near() -> None:
    vertices, faces = capsule()
    fewer, left = simplified(vertices, faces, 300)
    assert len(left) <= 300
    assert closest(fewer, left, vertices)[1].max() < 0.02
    assert simplified(vertices, faces, len(faces)) == (vertices, faces)
