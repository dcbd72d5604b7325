"""Denoised tracks: closer to the truth when noisy, the same when exact, and parts are not mixed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import Cancelled
from core.pipelines import tracks as module
from core.pipelines.tracks import denoised_tracks


def sheet(frames: int = 17, count: int = 400) -> np.ndarray:
    """A waving surface, tracks [T, N, 3]."""
    rng = np.random.default_rng(0)
    flat = rng.uniform(-0.5, 0.5, (count, 2))
    time = np.linspace(0, 1, frames)[:, None]
    height = 0.1 * np.sin(3 * flat[:, 0] + 4 * time) * time
    return np.concatenate([np.broadcast_to(flat, (frames, count, 2)), height[..., None]], axis=-1)


def noisy(true: np.ndarray, sigma: float, seed: int = 1) -> np.ndarray:
    return true + sigma * np.random.default_rng(seed).standard_normal(true.shape)


def jitter(tracks: np.ndarray) -> float:
    return float(np.square(np.diff(tracks, n=3, axis=0)).sum(axis=-1).mean())


def error(tracks: np.ndarray, true: np.ndarray) -> float:
    return float(np.linalg.norm(tracks - true, axis=-1).mean())


@pytest.mark.parametrize("sigma", [0.001, 0.01])
def test_noise_shrinks_in_every_frame_and_with_it_the_jitter(sigma: float) -> None:
    true = sheet()
    raw = noisy(true, sigma)
    found = denoised_tracks(raw)
    for frame in range(len(true)):
        assert error(found[frame], true[frame]) < 0.5 * error(raw[frame], true[frame])
    assert jitter(found - true) < 0.02 * jitter(raw - true)


def test_exact_tracks_stay() -> None:
    assert np.abs(denoised_tracks(sheet()) - sheet()).max() < 1e-4


def test_parts_that_move_apart_are_not_mixed() -> None:
    true = sheet()
    left = true[0, :, 0] < 0
    true[:, left, 2] += np.linspace(0, 0.5, 17)[:, None]  # the left half is torn off
    assert np.abs(denoised_tracks(true) - true).max() < 1e-3
    raw = noisy(true, 0.004)
    assert error(denoised_tracks(raw), true) < 0.6 * error(raw, true)


def test_a_sudden_turn_is_kept() -> None:
    true = sheet()
    true[8:, :, 1] += 0.2
    raw = noisy(true, 0.002)
    assert error(denoised_tracks(raw)[7:9], true[7:9]) < 0.8 * error(raw[7:9], true[7:9])


@pytest.mark.parametrize(("frames", "count"), [(3, 400), (17, 8), (2, 2)])
def test_too_little_to_judge_noise_by_stays(frames: int, count: int) -> None:
    assert np.array_equal(denoised_tracks(sheet(frames, count)), sheet(frames, count))


def test_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = noisy(sheet(), 0.005)
    whole = denoised_tracks(raw)
    monkeypatch.setattr(module, "CHUNK", 1)
    assert np.allclose(denoised_tracks(raw), whole, atol=1e-12)


def test_it_can_be_cancelled_between_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def stop_later() -> None:
        calls.append(1)
        if len(calls) > 2:
            raise Cancelled

    monkeypatch.setattr(module, "CHUNK", 1)
    with pytest.raises(Cancelled):
        denoised_tracks(noisy(sheet(), 0.005), stop_later)
    assert len(calls) == 3


@settings(max_examples=20, deadline=None)
@given(shift=st.floats(-5, 5), scale=st.floats(0.1, 10), order=st.randoms(use_true_random=False))
def test_place_size_and_order_do_not_matter(shift: float, scale: float, order: object) -> None:
    raw = noisy(sheet(8, 60), 0.005)
    rows = list(range(60))
    order.shuffle(rows)  # type: ignore[attr-defined]
    found = denoised_tracks((raw * scale + shift)[:, rows])
    assert np.allclose((found - shift) / scale, denoised_tracks(raw)[:, rows], atol=1e-6)


def test_points_on_one_place_do_no_harm() -> None:
    still = np.zeros((10, 50, 3))
    assert np.array_equal(denoised_tracks(still), still)
    half = sheet(10, 60)
    half[:, :30] = half[:, :1]
    assert np.isfinite(denoised_tracks(noisy(half, 0.001) * np.array([1, 1, 0]))).all()
