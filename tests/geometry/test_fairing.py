"""Fair surfaces near measured points."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from core.geometry.fairing import REACH, faired, without_stairs

RADIUS = 0.4
CAMERA = np.array([0.0, 0.0, 3.0])


@pytest.fixture(scope="module")
def bumpy() -> tuple[np.ndarray, np.ndarray]:
    """A ball whose surface is up to 2% too far in or out."""
    ball = trimesh.creation.icosphere(4, RADIUS)
    vertices = np.asarray(ball.vertices)
    bumps = 0.02 * np.prod(np.sin(40 * vertices), axis=1, keepdims=True)
    return vertices * (1 + bumps), np.asarray(ball.faces, dtype=np.int64)


def measured(radius: float = RADIUS, noise: float = 0.001) -> np.ndarray:
    """What the camera sees of a ball."""
    rng = np.random.default_rng(0)
    points = rng.standard_normal((8000, 3))
    points *= radius / np.linalg.norm(points, axis=1, keepdims=True)
    return points[points[:, 2] > 0.2 * radius] + noise * rng.standard_normal(3)


def error(vertices: np.ndarray, rows: np.ndarray, radius: float = RADIUS) -> float:
    return float(np.abs(np.linalg.norm(vertices[rows], axis=1) - radius).mean())


def test_bumps_go_on_both_sides(bumpy: tuple[np.ndarray, np.ndarray]) -> None:
    vertices, faces = bumpy
    smooth = faired(vertices, faces, measured(noise=0.0), CAMERA)
    near, far = vertices[:, 2] > 0.3 * RADIUS, vertices[:, 2] < -0.3 * RADIUS
    assert error(smooth, near) < 0.5 * error(vertices, near)
    assert error(smooth, far) < 0.9 * error(vertices, far)


def test_the_seen_side_goes_to_the_points_and_the_other_stays(bumpy: tuple[np.ndarray, np.ndarray]) -> None:
    vertices, faces = bumpy
    smooth = faired(vertices, faces, measured(RADIUS + 0.5 * REACH, 0.0), CAMERA)
    near, far = vertices[:, 2] > 0.5 * RADIUS, vertices[:, 2] < -0.5 * RADIUS
    assert error(smooth, near, RADIUS + 0.5 * REACH) < 0.1 * REACH
    assert error(smooth, far) < 0.1 * REACH


def test_points_that_are_far_away_draw_nothing(bumpy: tuple[np.ndarray, np.ndarray]) -> None:
    vertices, faces = bumpy
    smooth = faired(vertices, faces, measured(RADIUS + 3 * REACH, 0.0), CAMERA)
    assert error(smooth, np.ones(len(vertices), dtype=bool)) < 0.01


def test_stairs_go_and_the_volume_stays() -> None:
    axis = np.arange(-20, 21)
    inside = np.linalg.norm(np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1), axis=-1) < 15.3
    mesh = trimesh.voxel.ops.matrix_to_marching_cubes(inside)
    middle = mesh.vertices.mean(axis=0)
    smooth = without_stairs(mesh.vertices - middle, np.asarray(mesh.faces, dtype=np.int64))
    before, after = (np.linalg.norm(vertices, axis=1).std() for vertices in (mesh.vertices - middle, smooth))
    assert after < 0.6 * before
    assert trimesh.Trimesh(smooth, mesh.faces).volume == pytest.approx(mesh.volume, rel=0.01)
