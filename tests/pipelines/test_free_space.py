"""What a depth camera saw to be empty: before and beside the points, never behind them."""

from __future__ import annotations

import numpy as np
import pytest

from core.assets import asset_path
from core.config import load_config
from core.data.scan_simulation import simulate_depth
from core.io.mesh.mesh_reader import read_mesh
from core.pipelines.devices import choose_device
from core.pipelines.free_space import FreeSpace
from core.pipelines.scan_input import ScanInput
from core.sequence import Normalization

VIEWPOINT = np.array([0.0, 0.0, 2.0])


def front_of_a_ball(radius: float = 0.4) -> np.ndarray:
    """Points of the half that faces the camera, seen as evenly as a camera does."""
    x, y = np.meshgrid(np.linspace(-radius, radius, 81), np.linspace(-radius, radius, 81))
    inside = x**2 + y**2 < (0.97 * radius) ** 2
    x, y = x[inside], y[inside]
    return np.stack([x, y, np.sqrt(radius**2 - x**2 - y**2)], axis=1)


def test_empty_is_what_the_rays_crossed() -> None:
    space = FreeSpace(front_of_a_ball(), VIEWPOINT)
    before, beside = [[0.0, 0.0, 0.5], [0.1, -0.2, 1.0]], [[0.6, 0.0, 0.0], [0.0, -0.5, 0.2], [0.7, 0.0, -1.0]]
    behind = [[0.0, 0.0, 0.0], [0.0, 0.0, -0.4], [0.1, 0.1, -0.9], [0.0, 0.0, 0.39]]
    assert bool((space.clearance(np.array(before + beside)) > 0.02).all())
    assert bool((space.clearance(np.array(behind)) < 0).all())
    assert space.clearance(np.array([[0.0, 0.0, 0.9]]))[0] == pytest.approx(0.5 - 0.025, abs=0.01)


def test_logits_become_outside_only_there_and_without_a_step() -> None:
    space = FreeSpace(front_of_a_ball(), VIEWPOINT)
    depth = np.linspace(-0.3, 1.2, 301)
    places = np.stack([np.zeros_like(depth), np.zeros_like(depth), depth], axis=1)
    carved = space.carved(np.full(301, 5.0), places)
    assert bool((carved[depth > 0.44] < 0).all()) and bool((carved[depth < 0.36] > 1.0).all())
    assert np.abs(np.diff(carved)).max() < 1.0
    outside = np.full(301, -9.0)
    np.testing.assert_array_equal(space.carved(outside, places), outside)


def test_a_scanned_shape_is_not_cut() -> None:
    mesh = read_mesh(asset_path("meshes", "hound.glb"))
    rest = (mesh.vertices - mesh.vertices.mean(axis=0)) / mesh.size
    scans = simulate_depth(np.stack([rest, rest]), mesh.faces, sigma=0.001, seed=3)
    observed = ScanInput(scans, Normalization(np.zeros(3), 1.0), load_config("tiny"), choose_device("cpu"))
    space = observed.free_space()
    assert space is not None
    assert float((space.clearance(rest) > 0).mean()) < 0.002
    # Half of the box around it is seen to be empty, at least.
    box = np.random.default_rng(0).uniform(-0.5, 0.5, (2000, 3))
    assert float((space.clearance(box) > 0).mean()) > 0.5
