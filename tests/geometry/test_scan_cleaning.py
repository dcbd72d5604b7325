"""What of a scan is not the shape: lone points and floors are found, thin limbs and flat bottoms are none of them."""

import numpy as np
import pytest

from core.geometry.scan_cleaning import floor_plane, stray_points

UP = np.array([0.0, 1.0, 0.0])
TILT = np.pi / 6


def ball(count: int, radius: float = 0.3, height: float = 0.35, seed: int = 0) -> np.ndarray:
    directions = np.random.default_rng(seed).normal(size=(count, 3))
    return radius * directions / np.linalg.norm(directions, axis=1, keepdims=True) + np.array([0, height, 0])


def plane(count: int, side: float, seed: int = 1) -> np.ndarray:
    flat = np.random.default_rng(seed).uniform(-side / 2, side / 2, (count, 3))
    flat[:, 1] = np.random.default_rng(seed + 1).normal(scale=0.001, size=count)
    return flat


def test_outliers_are_found_and_the_shape_is_kept() -> None:
    shape = ball(600)
    outliers = np.random.default_rng(3).uniform(-1, 1, (30, 3)) + np.array([0, 0.35, 0])
    far = np.abs(np.linalg.norm(outliers - np.array([0, 0.35, 0]), axis=1) - 0.3) > 0.2
    found = stray_points(np.concatenate([shape, outliers]))
    assert not found[:600].any()
    assert found[600:][far].mean() > 0.9


def test_a_thin_limb_is_no_outlier() -> None:
    limb = np.stack([np.linspace(0.33, 0.7, 10), np.full(10, 0.35), np.zeros(10)], axis=1)
    assert not stray_points(np.concatenate([ball(400), limb])).any()


@pytest.mark.parametrize("lean", [0.0, 0.2])
def test_a_floor_is_found_however_it_leans_a_little(lean: float) -> None:
    turn = np.array([[1, 0, 0], [0, np.cos(lean), -np.sin(lean)], [0, np.sin(lean), np.cos(lean)]])
    found = floor_plane(np.concatenate([ball(800), plane(900, 1.6)]) @ turn.T, UP, TILT)
    assert found is not None
    normal, level, thick = found
    assert np.degrees(np.arccos(np.clip(normal @ (turn @ UP), -1, 1))) < 1.5
    assert abs(level) < thick


def test_the_bottom_of_a_box_and_the_soles_of_feet_are_no_floor() -> None:
    sides = np.random.default_rng(5).uniform(-0.5, 0.5, (1200, 3))
    axis = np.random.default_rng(6).integers(0, 3, 1200)
    sides[np.arange(1200), axis] = np.where(sides[np.arange(1200), axis] > 0, 0.5, -0.5)
    assert floor_plane(sides, UP, TILT) is None
    assert floor_plane(np.concatenate([ball(800, height=0.6), plane(150, 0.2)]), UP, TILT) is None


def test_few_points_are_left_alone() -> None:
    assert not stray_points(ball(10)).any()
    assert floor_plane(ball(20), UP, TILT) is None
