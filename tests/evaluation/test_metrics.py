"""Metrics on motions whose figures are known by hand."""

from __future__ import annotations

import numpy as np
import pytest

from core.evaluation import metrics

RNG = np.random.default_rng(3)
CUBE = np.array([[x, y, z] for x in (0.0, 1.0) for y in (0.0, 1.0) for z in (0.0, 1.0)])
# Two triangles per side, outwards.
CUBE_FACES = np.array(
    [0, 1, 3, 0, 3, 2, 4, 6, 7, 4, 7, 5, 0, 4, 5, 0, 5, 1, 2, 3, 7, 2, 7, 6, 0, 2, 6, 0, 6, 4, 1, 5, 7, 1, 7, 3]
).reshape(12, 3)


def along(x: float, y: float, z: float) -> np.ndarray:
    return np.array([x, y, z])


def still(frames: int = 6, vertices: int = 5) -> np.ndarray:
    return np.broadcast_to(RNG.normal(size=(vertices, 3)), (frames, vertices, 3)).copy()


def test_vertex_error_is_the_mean_distance_over_moving_frames() -> None:
    true = still()
    predicted = true + along(0.3, 0.0, 0.4)
    predicted[0] = true[0] + 100.0  # frame 0 does not count
    assert metrics.vertex_error(predicted, true) == pytest.approx(0.5)
    predicted[1:, 0] = true[1:, 0]
    assert metrics.vertex_error(predicted, true) == pytest.approx(0.5 * 4 / 5)


def test_motion_size_is_the_error_of_not_moving() -> None:
    true = still() + np.arange(6)[:, None, None] * np.array([0.0, 0.0, 2.0])
    assert metrics.motion_size(true) == pytest.approx(2.0 * np.mean([1, 2, 3, 4, 5]))
    assert metrics.motion_size(still()) == 0.0


def test_jitter_of_a_parabola_is_zero_and_of_a_cubic_six() -> None:
    time = np.arange(8.0)[:, None, None]
    start = RNG.normal(size=(1, 4, 3))
    assert metrics.jitter(start + time**2 * [1.0, -2.0, 0.5]) == pytest.approx(0.0, abs=1e-9)
    assert metrics.jitter(start + time**3 * [0.0, 1.0, 0.0]) == pytest.approx(6.0)
    # Alternating by one: third differences are 8.
    assert metrics.jitter(start + (-1.0) ** time * [0.5, 0.0, 0.0]) == pytest.approx(4.0)


def test_pairwise_distance_is_the_mean_over_pairs() -> None:
    true = still()
    seeds = np.stack([true, true + along(1.0, 0, 0), true + along(3.0, 0, 0)])
    assert metrics.mean_pairwise_distance(seeds) == pytest.approx((1 + 3 + 2) / 3)
    assert metrics.mean_pairwise_distance(seeds[:1]) == 0.0


def test_every_seed_has_its_own_error() -> None:
    true = still()
    seeds = np.stack([true + along(0.1, 0, 0), true - along(0.1, 0, 0), true + along(0, 0.4, 0)])
    assert metrics.seed_errors(seeds, true) == pytest.approx([0.1, 0.1, 0.4])
    assert metrics.seed_errors(seeds, true).min() == pytest.approx(0.1)


def test_volume_change_of_scaling_is_cubic() -> None:
    tracks = np.stack([CUBE, CUBE * 1.1, CUBE @ np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]]) + 7.0])
    assert metrics.volume_change(tracks, CUBE_FACES) == pytest.approx((1.1**3 - 1) / 2)


def test_ratio_of_means_weighs_clips_by_size() -> None:
    assert metrics.ratio_of_means([1.0, 0.01], [2.0, 0.0]) == pytest.approx(1.01 / 2.0)
    assert np.isnan(metrics.ratio_of_means([1.0], [0.0]))


def test_iou_of_boxes() -> None:
    x = np.linspace(0, 1, 1001)
    assert metrics.intersection_over_union(x < 0.5, x >= 0.25) == pytest.approx(0.25, abs=2e-3)
    assert metrics.intersection_over_union(x < 0, x < 0) == 1.0


@pytest.mark.parametrize("shape", [(5, 3), (1, 4, 3), (5, 4, 2)])
def test_wrong_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="shape"):
        metrics.motion_size(np.zeros(shape))
    with pytest.raises(ValueError, match="frames"):
        metrics.jitter(np.zeros((3, 4, 3)))
