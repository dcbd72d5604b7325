"""Scores of reconstructed sequences on shapes whose answer is known."""

from __future__ import annotations

from functools import cache

import igl
import numpy as np
import pytest
from numpy.typing import NDArray

from core.evaluation.evaluation_clips import ClipName, EvaluationClip
from core.evaluation.reconstruction_metrics import (
    Truth,
    chamfer_distance,
    correspondence_error,
    drift,
    half_overlapping_seams,
    half_spread,
    seam_jumps,
)
from core.sequence import MeshSequence


@cache
def sphere(radius: float = 0.5) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """About 600 vertices [V, 3] at that distance from the origin, and outward faces [F, 3]."""
    from skimage.measure import marching_cubes

    axis = np.linspace(-1, 1, 17)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1)
    vertices, faces, _, _ = marching_cubes(0.7 - np.linalg.norm(grid, axis=-1), 0.0)
    directions = vertices / 8 - 1
    return radius * directions / np.linalg.norm(directions, axis=1, keepdims=True), faces.astype(np.int32)


def clip_of(radius: float = 0.5, frames: int = 3, step: float = 0.1) -> EvaluationClip:
    """A sphere that moves along x by `step` a frame."""
    vertices, faces = sphere(radius)
    path = np.arange(frames)[:, None, None] * np.array([step, 0.0, 0.0])
    return EvaluationClip(ClipName("sphere", "procedural", "unseen_identity", "ball"), vertices + path, faces, 24.0)


def as_sequence(clip: EvaluationClip) -> MeshSequence:
    return MeshSequence(clip.vertices.astype(np.float32), clip.faces)


def test_the_truth_scores_full_overlap_and_the_sampling_floor() -> None:
    clip = clip_of()
    truth = Truth(clip, 10_000)
    scores = truth.score(as_sequence(clip)).mean()
    assert scores["iou"] == 1.0
    assert scores["cd"] == pytest.approx(truth.chamfer_floor(), rel=0.1)
    # Half the mean spacing of random points: sqrt(area / count) / 2
    assert truth.chamfer_floor() == pytest.approx(0.5 * np.sqrt(np.pi / 10_000), rel=0.1)
    assert scores["corr"] < 2 * truth.chamfer_floor()


def test_a_smaller_sphere_has_the_known_overlap_and_distance() -> None:
    small, large = clip_of(0.4, frames=2, step=0.0), clip_of(0.5, frames=2, step=0.0)
    scores = Truth(large, 10_000).score(as_sequence(small)).mean()
    assert scores["iou"] == pytest.approx(0.8**3, abs=0.02)
    assert scores["cd"] == pytest.approx(0.1, abs=0.002)
    assert scores["corr"] == pytest.approx(0.1, abs=0.002)


def test_standing_still_is_scored_by_how_far_the_truth_moves() -> None:
    clip = clip_of(frames=3, step=0.2)
    still = MeshSequence(np.repeat(clip.vertices[:1], 3, axis=0).astype(np.float32), clip.faces)
    scores = Truth(clip, 10_000).score(still)
    assert scores.correspondence == pytest.approx((0.0 + 0.2 + 0.4) / 3, abs=0.005)
    assert scores.iou[0] == 1.0 and scores.iou[1] < 0.8 and scores.iou[2] < scores.iou[1]
    with pytest.raises(ValueError, match="3 frames"):
        Truth(clip_of(frames=4), 100).score(still)


def test_overlap_is_taken_in_the_box_only() -> None:
    clip = clip_of(frames=2, step=0.3)
    truth = Truth(clip, 5_000)
    assert truth.share_in_box() < 1.0
    assert truth.score(as_sequence(clip)).mean()["iou"] == 1.0


def test_turning_in_place_keeps_the_surface_and_loses_correspondence() -> None:
    clip = clip_of(frames=2, step=0.0)
    turned = clip.vertices.copy()
    turned[1] = turned[1] @ np.array([[-1.0, 0, 0], [0, 1, 0], [0, 0, -1]])
    scores = Truth(clip, 10_000).score(MeshSequence(turned.astype(np.float32), clip.faces)).mean()
    assert scores["iou"] > 0.95 and scores["cd"] < 0.012
    assert scores["corr"] > 0.3


def test_chamfer_distance_is_symmetric_and_not_squared() -> None:
    first, second = np.zeros((4, 3)), np.tile([0.0, 0.3, 0.0], (7, 1))
    assert chamfer_distance(first, second) == pytest.approx(0.3)
    rng = np.random.default_rng(0)
    a, b = rng.random((50, 3)), rng.random((80, 3))
    brute = np.linalg.norm(a[:, None] - b[None], axis=-1)
    assert chamfer_distance(a, b) == pytest.approx(0.5 * (brute.min(1).mean() + brute.min(0).mean()))
    assert chamfer_distance(a, b) == pytest.approx(chamfer_distance(b, a))


def test_correspondence_follows_the_nearest_point_of_frame_0() -> None:
    tracks = np.array([[[0.0, 0, 0], [1, 0, 0]], [[0, 0, 0], [1, 2, 0]]])
    predicted = np.array([[[0.9, 0.0, 0.0]], [[0.9, 0.0, 0.0]]])
    assert correspondence_error(predicted, tracks) == pytest.approx((0.1 + np.hypot(0.1, 2.0)) / 2)


def test_spread_is_found_in_the_half_where_seeds_differ() -> None:
    vertices, faces = sphere()
    sequences = []
    for stretch in (1.0, 1.2, 1.4):
        moved = vertices * np.where(vertices[:, 1:2] < 0, [1.0, stretch, 1.0], 1.0)
        sequences.append(MeshSequence(np.stack([moved, moved + 0.5]).astype(np.float32), faces))
    halves = half_spread(sequences, (0.0, 1.0, 0.0), 0.0, points=500)
    # Distances to the nearest surface are below the displacement; right above the plane nothing moves.
    assert 0.02 < halves.unseen < 0.2
    assert halves.seen < 1e-5
    same = half_spread([sequences[0]] * 3, (0.0, 1.0, 0.0), 0.0, points=500)
    assert same.unseen < 1e-6
    assert np.isnan(half_spread(sequences[:1], (0.0, 1.0, 0.0), 0.0, points=500).ratio)


def test_drift_compares_both_ends() -> None:
    assert drift(np.r_[np.full(17, 0.01), np.full(30, 0.5), np.full(17, 0.03)]) == pytest.approx(3.0)


def test_a_jump_shows_at_its_seam() -> None:
    seams = half_overlapping_seams(40, 16)
    assert seams == (17, 25, 33)
    path = np.arange(40, dtype=float)
    path[25:] += 2.0
    tracks = np.zeros((40, 5, 3))
    tracks[..., 0] = path[:, None]
    assert seam_jumps(tracks, seams) == pytest.approx([1.0, 3.0, 1.0])


def test_libigl_knows_distances_to_triangles() -> None:
    """The spread relies on it: a point over the middle of a face is at its height, far from every vertex."""
    corners = np.array([[0.0, 0, 0], [4, 0, 0], [0, 4, 0]])
    squared = igl.point_mesh_squared_distance(np.array([[1.0, 1.0, 0.5]]), corners, np.array([[0, 1, 2]]))[0]
    assert np.sqrt(squared) == pytest.approx([0.5])
