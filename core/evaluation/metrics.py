"""Metrics of edited motions: plain functions of vertex tracks in normalised space (longest side of frame 0 = 1).

Tracks are [T, V, 3] with frame 0 the reference; several seeds of one request are [S, T, V, 3]. Frame 0 is the rest
shape by definition, so errors are means over the moving frames 1 to T-1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def vertex_error(predicted: ArrayLike, true: ArrayLike) -> float:
    """Mean distance of predicted [T, V, 3] to true vertices over all vertices and moving frames."""
    predicted, true = _pair(predicted, true)
    return float(np.linalg.norm(predicted[1:] - true[1:], axis=-1).mean())


def motion_size(true: ArrayLike) -> float:
    """Mean distance of the vertices [T, V, 3] from frame 0: the error of a static mesh."""
    true = _tracks(true)
    return vertex_error(np.broadcast_to(true[:1], true.shape), true)


def jitter(tracks: ArrayLike) -> float:
    """Mean norm of the third difference in time of tracks [T, V, 3], frame 0 included.

    Raises ValueError for fewer than four frames.
    """
    tracks = _tracks(tracks)
    if len(tracks) < 4:
        raise ValueError(f"A third difference needs four frames, but there are {len(tracks)}.")
    return float(np.linalg.norm(np.diff(tracks, n=3, axis=0), axis=-1).mean())


def mean_pairwise_distance(samples: ArrayLike) -> float:
    """Diversity of seeds [S, T, V, 3]: mean vertex distance over pairs of seeds and moving frames; 0 for one seed."""
    seeds = _samples(samples)[:, 1:]
    pairs = [
        np.linalg.norm(seeds[i] - seeds[j], axis=-1).mean() for i in range(len(seeds)) for j in range(i + 1, len(seeds))
    ]
    return float(np.mean(pairs)) if pairs else 0.0


def seed_errors(samples: ArrayLike, true: ArrayLike) -> NDArray[np.float64]:
    """Vertex error [S] of every seed; its minimum is best of S (coverage), its mean that of a single seed."""
    return np.array([vertex_error(sample, true) for sample in _samples(samples)])


def volume_change(vertices: ArrayLike, faces: ArrayLike) -> float:
    """Mean of |V_t / V_0 - 1| over the moving frames of [T, V, 3], by signed volume; means little on open surfaces."""
    tracks, corners = _tracks(vertices), np.asarray(faces, dtype=np.int64)
    a, b, c = (tracks[:, corners[:, corner]] for corner in range(3))
    volume = np.einsum("tfi,tfi->t", a, np.cross(b, c)) / 6.0
    if abs(volume[0]) < 1e-9:
        return 0.0
    return float(np.abs(volume[1:] / volume[0] - 1.0).mean())


def ratio_of_means(values: ArrayLike, references: ArrayLike) -> float:
    """sum(values) / sum(references). Unlike a mean of ratios, it is not dominated by clips that hardly move."""
    total = float(np.sum(references))
    return float(np.sum(values)) / total if total > 0 else float("nan")


def intersection_over_union(predicted: ArrayLike, true: ArrayLike) -> float:
    """IoU of two inside tests [Q] at the same points; 1 when both are empty."""
    predicted, true = np.asarray(predicted, dtype=bool), np.asarray(true, dtype=bool)
    either = np.count_nonzero(predicted | true)
    return np.count_nonzero(predicted & true) / either if either else 1.0


def _tracks(values: ArrayLike) -> NDArray[np.float64]:
    tracks = np.asarray(values, dtype=np.float64)
    if tracks.ndim != 3 or tracks.shape[-1] != 3 or len(tracks) < 2:
        raise ValueError(f"Tracks need the shape [T, V, 3] with two frames or more, but have {tracks.shape}.")
    return tracks


def _samples(values: ArrayLike) -> NDArray[np.float64]:
    samples = np.asarray(values, dtype=np.float64)
    if samples.ndim != 4 or samples.shape[-1] != 3 or len(samples) < 1:
        raise ValueError(f"Seeds need the shape [S, T, V, 3], but have {samples.shape}.")
    return samples


def _pair(predicted: ArrayLike, true: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    first, second = _tracks(predicted), _tracks(true)
    if first.shape != second.shape:
        raise ValueError(f"Predicted tracks have the shape {first.shape}, but true ones {second.shape}.")
    return first, second
