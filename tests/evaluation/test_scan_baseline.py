"""The Poisson and ARAP pipeline that reconstructions are compared with."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy.spatial import cKDTree

from core.errors import DataError
from core.evaluation.scan_baseline import (
    BaselineSettings,
    poisson_surface,
    reconstruct_classically,
    track,
    voxel_surface,
)
from core.geometry.sampling import sample_surface
from core.geometry.soft_arap import closest
from core.sequence import ScanSequence
from tests.geometry.bodies import capsule

QUICK = BaselineSettings(rounds=1, rough_depth=4, depth=5)


@pytest.mark.parametrize("tracked", [True, False])
def test_a_bending_body_is_followed(tracked: bool) -> None:
    vertices, faces = capsule()
    samples = sample_surface(vertices, faces, 400, np.random.default_rng(0))
    truth = np.stack([capsule(bend)[0] for bend in (0.0, 0.3, 0.6)])
    clouds = list(samples.at(truth))
    if not tracked:
        clouds = [np.random.default_rng(1).permutation(cloud) for cloud in clouds]
    found = track(vertices, faces, clouds, tracked, BaselineSettings())
    surface_error = closest(found[2], faces, samples.at(truth[2]))[1].mean()
    assert surface_error < 0.1 * closest(truth[0], faces, samples.at(truth[2]))[1].mean()
    if tracked:
        still = np.linalg.norm(truth[2] - truth[0], axis=1).mean()
        assert np.linalg.norm(found[2] - truth[2], axis=1).mean() < 0.05 * still
    assert (found[0] == vertices).all()


def test_a_frame_without_points_keeps_the_pose_before_it() -> None:
    vertices, faces = capsule()
    cloud = sample_surface(vertices, faces, 100, np.random.default_rng(0)).at(vertices)
    found = track(vertices, faces, [cloud, cloud + 0.05, np.zeros((0, 3))], False, BaselineSettings())
    assert (found[2] == found[1]).all()
    assert np.abs(found[1] - found[0]).max() > 0.02


def test_voxels_become_a_surface_in_the_scans_units() -> None:
    axis = (np.arange(32) + 0.5) / 32 * 2.2 - 1.1
    grid = np.linalg.norm(np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1) - [0.2, 0.0, 0.0], axis=-1) < 0.6
    empty = (np.zeros((0, 3), np.float32),) * 2
    scans = ScanSequence(
        empty, modality="voxels", dense=np.stack([grid, grid]), voxel_center=(1.0, 2.0, 3.0), voxel_side=2.2
    )
    vertices, _ = voxel_surface(scans, 0)
    assert np.allclose(np.linalg.norm(vertices - [1.2, 2.0, 3.0], axis=1), 0.6, atol=0.05)
    sequence = reconstruct_classically(scans)
    assert sequence.vertices.shape[0] == 2
    assert np.abs(sequence.vertices[1] - sequence.vertices[0]).max() < 0.05
    hollow = ScanSequence(empty, modality="voxels", dense=np.zeros((2, 32, 32, 32), bool))
    with pytest.raises(DataError, match="empty"):
        reconstruct_classically(hollow)


def test_points_become_a_closed_surface() -> None:
    vertices, faces = capsule()
    points = sample_surface(vertices, faces, 300, np.random.default_rng(0)).at(vertices)
    surface, corners = poisson_surface(points, QUICK)
    distance = closest(surface, corners, points)[1]
    assert distance.mean() < 0.02
    edges = np.sort(np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]]), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()
    scans = ScanSequence(tuple((points + shift).astype(np.float32) for shift in (0.0, 0.1)), tracked=True)
    sequence = reconstruct_classically(scans, QUICK)
    assert np.abs(sequence.vertices[1] - sequence.vertices[0] - 0.1).max() < 0.02


def test_a_one_sided_scan_gives_the_side_that_was_seen() -> None:
    vertices, faces = capsule()
    points = sample_surface(vertices, faces, 800, np.random.default_rng(0)).at(vertices)
    front = points[points[:, 2] > 0.03].astype(np.float32)
    scans = ScanSequence((front, front[::-1]), modality="depth", partial=True, viewpoint=(0.0, 0.0, 3.0))
    sequence = reconstruct_classically(scans, QUICK)
    surface, corners = sequence.vertices[0], sequence.faces.astype(np.int64)
    assert closest(surface, corners, front)[1].mean() < 0.02
    assert np.max(cKDTree(front).query(surface)[0]) < QUICK.trim
    area = surface[corners[:, 1]] - surface[corners[:, 0]], surface[corners[:, 2]] - surface[corners[:, 0]]
    assert np.cross(*area)[:, 2].sum() > 0  # outward is towards the camera
    assert np.abs(sequence.vertices[1] - surface).mean() < 0.02


def test_what_cannot_be_used_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="10 or more"):
        poisson_surface(np.zeros((3, 3)), QUICK)
    with pytest.raises(DataError, match="no points"):
        reconstruct_classically(ScanSequence((np.zeros((0, 3), np.float32),), modality="images"))
    monkeypatch.setitem(sys.modules, "pymeshlab", None)
    with pytest.raises(DataError, match="evaluation"):
        poisson_surface(np.random.default_rng(0).random((20, 3)), QUICK)
