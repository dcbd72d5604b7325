"""Guessing where the whole shape lies from whole, one-sided, half and noisy scans."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from core.errors import DataError
from core.geometry.scan_normalization import guess_normalization, guess_up_axis, main_clusters
from core.sequence import ScanSequence


def ellipsoid(count: int = 3000, axes: tuple[float, float, float] = (0.5, 0.3, 0.25)) -> NDArray[np.float64]:
    direction = np.random.default_rng(0).normal(size=(count, 3))
    return direction / np.linalg.norm(direction, axis=1, keepdims=True) * axes


def scans_of(points: NDArray, **fields: object) -> ScanSequence:
    return ScanSequence((points.astype(np.float32),), **fields)  # type: ignore[arg-type]


def test_a_whole_shape_gives_its_own_box() -> None:
    found = guess_normalization(scans_of(ellipsoid() * 20 + [5, 6, 7], up_axis="z"))
    np.testing.assert_allclose(found.center, [5, 6, 7], atol=0.1)
    assert found.scale == pytest.approx(20, rel=0.01)
    assert found.up_axis == "z"


@pytest.mark.parametrize("count", [64, 512, 5000])
def test_points_far_away_do_not_count(count: int) -> None:
    points = ellipsoid(count)
    stray = np.array([[30, 0, 0], [0, -9, 0], [1e6, 1e6, 1e6]])[: max(1, count // 200)]
    clean, noisy = guess_normalization(scans_of(points)), guess_normalization(scans_of(np.concatenate([points, stray])))
    np.testing.assert_allclose(noisy.center, clean.center, atol=1e-5)
    assert noisy.scale == pytest.approx(clean.scale, rel=1e-4)


def test_parts_that_stand_apart_count() -> None:
    limb = ellipsoid(400, (0.1, 0.05, 0.05)) + np.array([0, 1, 0])
    assert main_clusters(np.concatenate([ellipsoid(), limb])).all()


@pytest.mark.parametrize("count", [600, 20_000])
@pytest.mark.parametrize(
    ("viewpoint", "left"), [((0.0, 0.0, 3.0), 0.75), ((-3.0, 0.0, 0.0), 0.75), ((0.0, 1.0, 3.0), 0.9)]
)
def test_the_hidden_side_is_added(count: int, viewpoint: tuple[float, float, float], left: float) -> None:
    axes = np.array([0.5, 0.4, 0.45])
    points = ellipsoid(count, tuple(axes))
    normals = points / axes**2
    seen = points[((np.array(viewpoint) - points) * normals).sum(axis=1) > 0]
    own = (seen.min(axis=0) + seen.max(axis=0)) / 2
    found = guess_normalization(scans_of(seen, modality="depth", partial=True, viewpoint=viewpoint))
    assert np.linalg.norm(found.center) < left * np.linalg.norm(own)
    assert 0.85 < found.scale < 1.05


def test_below_a_half_body_there_is_more() -> None:
    points = ellipsoid(axes=(0.2, 0.5, 0.2))
    half = points[points[:, 1] > 0]
    found = guess_normalization(scans_of(half, tracked=True, partial=True))
    np.testing.assert_allclose(found.center, 0, atol=0.06)
    assert found.scale == pytest.approx(0.9, abs=0.02)
    assert guess_normalization(scans_of(half, tracked=True)).scale == pytest.approx(0.5, abs=0.02)


def test_voxels_take_their_grid_unless_the_shape_does_not_fill_it() -> None:
    grid = np.zeros((1, 32, 32, 32), bool)
    grid[0, 2:31, 10:22, 10:22] = True
    cells = (np.argwhere(grid[0]) - 15.5) * 2.2 / 32 + [1, 2, 3]
    box = {"modality": "voxels", "voxel_side": 2.2, "voxel_center": (1.0, 2.0, 3.0)}
    found = guess_normalization(scans_of(cells, dense=grid, **box))
    assert found.center.tolist() == [1, 2, 3]
    assert found.scale == pytest.approx(2.0)
    corner = np.zeros_like(grid)
    corner[0, :8, :4, :4] = True
    cells = (np.argwhere(corner[0]) - 15.5) * 2.2 / 32 + [1, 2, 3]
    small = guess_normalization(scans_of(cells, dense=corner, **box))
    assert small.scale == pytest.approx(8 * 2.2 / 32)
    np.testing.assert_allclose(small.center, np.array([4, 2, 2]) * 2.2 / 32 - 1.1 + [1, 2, 3])


def test_pictures_and_nothing() -> None:
    nothing = np.zeros((0, 3))
    found = guess_normalization(scans_of(nothing, modality="images", dense=np.zeros((1, 4, 4, 3), np.uint8)))
    assert (found.scale, found.center.tolist()) == (1.0, [0, 0, 0])
    with pytest.raises(DataError, match="no points in any frame"):
        guess_normalization(scans_of(nothing))
    with pytest.raises(DataError, match="coincide"):
        guess_normalization(scans_of(np.ones((9, 3))))


def test_up_is_z_only_for_what_stands_on_it() -> None:
    tall = ellipsoid(axes=(0.2, 0.2, 0.5))
    assert guess_up_axis(scans_of(tall + np.array([0, 0, 0.5]))) == "z"
    assert guess_up_axis(scans_of(tall)) == "y"
    assert guess_up_axis(scans_of(tall + np.array([0, 0.2, 0.5]))) == "y"
    assert guess_up_axis(scans_of(tall[:, [0, 2, 1]] + np.array([0, 0.5, 0]))) == "y"
