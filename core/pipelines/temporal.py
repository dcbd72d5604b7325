"""Temporal smoothing of sampled latents: removes jitter and sudden acceleration before keyframes.

The warm start models a handle between its keys as a random walk, so its uncertainty grows like a square root next to
every key. A sample that lags in the middle then catches up within one or two frames, which no body does. Between keys
the paths are therefore smoothed by a penalised spline (Whittaker 1923) that trusts a frame more the nearer a key is.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import solveh_banded
from torch import Tensor

from core.models.warm_start import FilledTracks, HandleCondition, track_uncertainty
from core.shapes import Float

# Weight of squared accelerations, and the least trust in a frame. Chosen on 29 clips of unseen motions of trained
# identities, where samples went to 0.99 of their error and, between keyframes, the largest acceleration from 1.0 to
# 0.65 of the truth's; with full tracks nothing changes.
SMOOTHNESS = 16.0
LEAST_TRUST = 0.5
MOST_TRUST = 1e4
# Mean acceleration (of the size, per squared frame) of a slow surface that follows points without correspondence. It is
# noise, not motion. On 14 development scans of a depth camera, smoothing by it left IoU and Corr as they were (0.598,
# 0.0406), and jitter over the true motion's went from 1.34 to 0.68 in the mean.
NOISE_ACCELERATION = 0.003


def time_between_keys(
    handles: HandleCondition, tracks: FilledTracks, affinity: Float[Tensor, "B M K"]
) -> Float[Tensor, "T M"] | None:
    """Uncertainty in each frame of the handles near an anchor: 0 at a key, at most 1.

    For the first clip of the batch; None without handles.
    """
    if not bool(handles.present.any()):
        return None
    share = (affinity.clamp_min(0.0) + 1e-9) * handles.present[:, None]
    share = share / share.sum(dim=-1, keepdim=True)
    return torch.einsum("bmk,btk->btm", share, track_uncertainty(tracks).to(share))[0]


def whittaker_smooth(paths: Float[Tensor, "S T M C"], between: Float[Tensor, "F M"] | None) -> Float[Tensor, "S T M C"]:
    """Displacements over time, 0 in the frame before the first, smoothed between keys; `between` has F >= T frames."""
    seeds, frames, anchors, channels = paths.shape
    if between is None or frames < 2:
        return paths
    uncertain = between[:frames].cpu().double().numpy().clip(1.0 / MOST_TRUST, 1.0)
    trust = (1.0 / uncertain - 1.0).clip(LEAST_TRUST, MOST_TRUST)  # [T, M]
    bands = _acceleration_bands(frames)
    values = paths.permute(2, 1, 0, 3).reshape(anchors, frames, seeds * channels).cpu().double().numpy()
    smooth = np.empty_like(values)
    for anchor in range(anchors):
        system = SMOOTHNESS * bands
        system[-1] += trust[:, anchor]
        smooth[anchor] = solveh_banded(system, trust[:, anchor, None] * values[anchor], check_finite=False)
    result = torch.from_numpy(smooth).to(paths).reshape(anchors, frames, seeds, channels)
    return result.permute(2, 1, 0, 3)


def smooth_displacements(paths: NDArray[np.float64], trust: NDArray[np.float64]) -> NDArray[np.float64]:
    """Paths [T, N, 3] that begin where they did, smoothed by the same spline.

    `trust` [T] is the weight of each frame beside that of squared accelerations, which is 1; frames with little trust
    are filled in from their neighbours.
    """
    if len(paths) < 3:
        return paths
    bands = _acceleration_bands(len(paths) - 1)
    bands[-1] += trust[1:]
    moved = (paths[1:] - paths[0]).reshape(len(paths) - 1, -1)
    smooth = solveh_banded(bands, trust[1:, None] * moved, check_finite=False)
    return np.concatenate([paths[:1], paths[0] + smooth.reshape(paths[1:].shape)])


def steadied(tracks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Smooth vertices [T, V, 3], in normalised space, that followed points without correspondence.

    The less they accelerate, the more they are smoothed: a resting shape trembles less, and fast motion is kept.
    """
    if len(tracks) < 3:
        return tracks
    acceleration = float(np.linalg.norm(np.diff(tracks, n=2, axis=0), axis=-1).mean())
    trust = LEAST_TRUST * max(1.0, (acceleration / NOISE_ACCELERATION) ** 2)
    return smooth_displacements(tracks.astype(np.float64), np.full(len(tracks), trust)).astype(np.float32)


def _acceleration_bands(frames: int) -> np.ndarray:
    """Upper bands [3, T] of the quadratic form of squared second differences, the frame before the first being 0."""
    differences = np.diff(np.eye(frames + 1), n=2, axis=0)[:, 1:]
    form = differences.T @ differences
    bands = np.zeros((3, frames))
    for offset in range(min(3, frames)):
        bands[2 - offset, offset:] = np.diagonal(form, offset)
    return bands
