"""Calmed tracks: closer to the truth when noisy, the same when exact, and parts are not mixed."""

from __future__ import annotations

import numpy as np
import pytest

from core.pipelines.tracks import calmed_tracks, smoothed, third_difference


def sheet(frames: int = 17, count: int = 400) -> np.ndarray:
    """A waving surface, tracks [T, N, 3]."""
    rng = np.random.default_rng(0)
    flat = rng.uniform(-0.5, 0.5, (count, 2))
    time = np.linspace(0, 1, frames)[:, None]
    height = 0.1 * np.sin(3 * flat[:, 0] + 4 * time) * time
    return np.concatenate([np.broadcast_to(flat, (frames, count, 2)), height[..., None]], axis=-1).astype(np.float32)


ROWS = np.arange(0, 400, 10)


@pytest.mark.parametrize("sigma", [0.001, 0.004])
def test_noise_shrinks_and_with_it_the_jitter(sigma: float) -> None:
    true = sheet()
    noisy = (true + sigma * np.random.default_rng(1).standard_normal(true.shape)).astype(np.float32)
    wanted, raw, calm = (true - true[:1])[:, ROWS], (noisy - noisy[:1])[:, ROWS], calmed_tracks(noisy, ROWS)
    error = lambda found: np.linalg.norm(found - wanted, axis=-1).mean()  # noqa: E731
    assert error(calm) < 0.8 * error(raw)
    assert third_difference(calm).mean() < 0.3 * third_difference(raw).mean()
    assert np.array_equal(calm[0], np.zeros_like(calm[0]))


def test_exact_tracks_stay() -> None:
    true = sheet()
    assert np.abs(calmed_tracks(true, ROWS) - (true - true[:1])[:, ROWS]).max() < 2e-3


def test_a_point_does_not_follow_another_part() -> None:
    true = sheet()
    left = true[0, :, 0] < 0
    true[:, left, 2] += np.linspace(0, 0.5, 17)[:, None]  # the left half is torn off
    found = calmed_tracks(true, ROWS) - (true - true[:1])[:, ROWS]
    assert np.abs(found).max() < 0.02


@pytest.mark.parametrize(("frames", "count"), [(3, 400), (17, 8), (2, 2)])
def test_too_little_to_judge_noise_by_stays(frames: int, count: int) -> None:
    true = sheet(frames, count)
    rows = np.arange(min(4, count))
    assert np.array_equal(calmed_tracks(true, rows), (true - true[:1])[:, rows])


def test_smoothing_keeps_a_steady_motion() -> None:
    line = np.linspace(0, 1, 9)[:, None, None] * np.ones((1, 2, 3))
    assert np.allclose(smoothed(line), line)
