"""Denoises tracked points by what neighbouring points and frames have in common.

The tracks of a neighbourhood form a matrix of low rank, since it moves nearly as a whole (Tomasi and Kanade 1992). Its
singular values are shrunk by the amount that white noise adds (Gavish and Donoho 2017). The motion along each singular
vector, whose noise is still white, is smoothed over time by a penalised spline (Whittaker 1923), as much as Stein's
unbiased risk estimate (1981) says. The noise level is estimated from the small singular values, so exact tracks do not
change, and points of different parts keep their motions.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

NEIGHBOURS = 24  # best of 12 to 48 on clips of unseen motions
FEWEST_FRAMES = 4
COMPARED_FRAMES = 9  # frames, spread over the clip, in which neighbours stay close
STIFFNESS = np.concatenate([[0.0], np.logspace(-2, 6, 17)])  # of the spline over time
LEAST_NOISE = 1e-7
CHUNK = 2**19  # numbers of neighbourhoods processed at once


def denoised_tracks(
    tracks: NDArray[np.floating], check_cancelled: Callable[[], None] = lambda: None
) -> NDArray[np.float64]:
    """Tracks [T, N, 3] with less noise in all frames; unchanged if there are too few frames or points.

    `check_cancelled` is called often.
    """
    points = np.asarray(tracks, dtype=np.float64)
    frames, count = points.shape[:2]
    if frames < FEWEST_FRAMES or count < NEIGHBOURS:
        return points
    near, nearness = _neighbourhoods(points)
    step = max(1, CHUNK // (NEIGHBOURS * frames * 3))
    chunks = [slice(start, start + step) for start in range(0, count, step)]
    levels = []
    for rows in chunks:
        check_cancelled()
        levels.append(_noise(_centred(points, near[rows])[1]))
    sigma = float(np.median(np.concatenate(levels)))
    if sigma < LEAST_NOISE:
        return points
    total, weight = np.zeros((count, 3, frames)), np.zeros(count)
    for rows in chunks:
        check_cancelled()
        denoised = _denoised_paths(*_centred(points, near[rows]), sigma)
        np.add.at(total, near[rows], nearness[rows][..., None, None] * denoised)
        np.add.at(weight, near[rows], nearness[rows])
    return np.moveaxis(total / weight[:, None, None], 2, 0)


def _neighbourhoods(points: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Each point's nearest points over all frames [N, n], itself included, and their weights [N, n]."""
    chosen = np.linspace(0, len(points) - 1, min(COMPARED_FRAMES, len(points))).round().astype(np.int64)
    paths = np.moveaxis(points[chosen], 0, 1).reshape(points.shape[1], -1)
    distance, near = (np.asarray(found) for found in KDTree(paths).query(paths, NEIGHBOURS))
    return near, np.exp(-2.0 * (distance / distance[:, -1:].clip(1e-12)) ** 2)


def _centred(points: NDArray[np.float64], near: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean paths of neighbourhoods [N, 3, T], and their points' positions relative to it [N, n, 3 x T]."""
    paths = np.moveaxis(points, 0, 2)[near]  # [N, n, 3, T]
    mean = paths.mean(axis=1)
    return mean, (paths - mean[:, None]).reshape(*paths.shape[:2], -1)


def _noise(centred: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard deviation [N] of a coordinate's noise: the median singular value over that of unit noise."""
    small, large = _sides(centred)
    values = np.linalg.eigvalsh(centred @ np.swapaxes(centred, 1, 2))[:, -small:].clip(0.0)
    result: NDArray[np.float64] = np.sqrt(np.median(values, axis=1) / (large * _median_of_noise(small / large)))
    return result


def _denoised_paths(mean: NDArray[np.float64], centred: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """Paths [N, n, 3, T] of neighbourhoods, low in rank and smooth over time."""
    count, size = centred.shape[:2]
    square, vectors = np.linalg.eigh(centred @ np.swapaxes(centred, 1, 2))  # [N, n], [N, n, n]
    along = (np.swapaxes(vectors, 1, 2) @ centred).reshape(count, size, 3, -1)
    # The mean is one more direction; scaled to unit length, it has the same noise as the others.
    every = np.concatenate([mean[:, None] * np.sqrt(size), along], axis=1)
    smooth = _smoothed(every, sigma)
    kept = _shrinkage(square, sigma, *_sides(centred))
    around = vectors @ (smooth[:, 1:] * kept[..., None, None]).reshape(count, size, -1)
    result: NDArray[np.float64] = around.reshape(count, size, 3, -1) + smooth[:, :1] / np.sqrt(size)
    return result


def _sides(centred: NDArray[np.float64]) -> tuple[int, int]:
    """The smaller and the larger side of a neighbourhood's matrix, without the direction of its mean."""
    small, large = sorted((centred.shape[1] - 1, centred.shape[2]))
    return small, large


def _shrinkage(square: NDArray[np.float64], sigma: float, small: int, large: int) -> NDArray[np.float64]:
    """The factor for singular values (given by their squares) in the optimal shrinkage for the Frobenius norm."""
    ratio = small / large
    value = square.clip(0.0) / (sigma**2 * large)
    factor = np.sqrt(((value - ratio - 1) ** 2 - 4 * ratio).clip(0.0)) / value.clip(1e-12)
    return np.where(value > (1 + np.sqrt(ratio)) ** 2, factor, 0.0)


@lru_cache
def _median_of_noise(ratio: float) -> float:
    """Median of the Marchenko-Pastur distribution, of squared singular values of noise over the larger side."""
    low, high = (1 - np.sqrt(ratio)) ** 2, (1 + np.sqrt(ratio)) ** 2
    values = np.linspace(low, high, 20_002)[1:-1]
    density = np.sqrt((high - values) * (values - low)) / values
    share = np.cumsum(density)
    return float(values[np.searchsorted(share, share[-1] / 2)])


def _smoothed(paths: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """Paths [N, K, T, 3], each with the stiffness that Stein's estimate of its error prefers."""
    roughness, waves = _roughness(paths.shape[-1])
    passed = 1 / (1 + STIFFNESS[:, None] * roughness)  # [stiffness, T]
    spectrum = paths @ waves
    lost = (spectrum**2).sum(axis=2) @ ((1 - passed) ** 2).T
    best = (lost + 2 * 3 * sigma**2 * passed.sum(axis=1)).argmin(axis=-1)
    result: NDArray[np.float64] = (spectrum * passed[best][:, :, None]) @ waves.T
    return result


@lru_cache
def _roughness(frames: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Eigenvalues [T] and eigenvectors [T, T] of the sum of squared second differences over time."""
    differences = np.diff(np.eye(frames), n=2, axis=0)
    values, vectors = np.linalg.eigh(differences.T @ differences)
    return values.clip(0.0), vectors
