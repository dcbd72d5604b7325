"""Noisy tracked points made calmer by their neighbours, as far as what they disagree about can be noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

NEIGHBOURS = 16  # of which a local affine motion takes 4 parameters a component
BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
RIDGE = 1e-3  # of the affine part, relative to the neighbours' extent; a flat neighbourhood leaves one direction open


def calmed_tracks(tracks: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Displacements from frame 0 [T, K, 3] of the chosen `rows` [K] of tracks [T, N, 3].

    Each is the value of the affine motion that fits its nearest points of frame 0 best, in every frame. Where this fit
    leaves more than the noise, which cannot exceed what changes from frame to frame like noise, the point's own
    displacement counts instead: neighbours on another part move differently.
    """
    displacement = (tracks - tracks[:1]).astype(np.float64)
    own = displacement[:, rows]
    if len(tracks) < 4 or tracks.shape[1] < NEIGHBOURS:
        return own.astype(np.float32)
    first = tracks[0].astype(np.float64)
    distance, near = (np.asarray(found) for found in KDTree(first).query(first[rows], NEIGHBOURS))
    offset = first[near] - first[rows][:, None]  # [K, n, 3]
    extent = distance[:, -1:].clip(1e-9)
    weight = np.exp(-1.0 * (distance / extent) ** 2)
    design = np.concatenate([np.ones_like(offset[..., :1]), offset / extent[..., None]], axis=-1)  # [K, n, 4]
    weighted = design * weight[..., None]
    normal = np.swapaxes(weighted, 1, 2) @ design + np.diag([0.0, RIDGE, RIDGE, RIDGE])
    fit = np.linalg.solve(normal, np.swapaxes(weighted, 1, 2))  # [K, 4, n]
    around = displacement[:, near]  # [T, K, n, 3]
    coefficients = np.einsum("kcn,tknd->tkcd", fit, around)
    left = around - np.einsum("knc,tkcd->tknd", design, coefficients)
    residual = ((left**2).sum(-1) * weight).sum(-1) / weight.sum(-1)  # [T, K]
    noise = third_difference(own) / 20
    share = np.minimum(1.0, noise / residual[1:].mean(axis=0).clip(1e-18))[None, :, None]
    calm = share * coefficients[:, :, 0] + (1 - share) * own
    # What the fits leave changes from frame to frame like the noise alone; a misfit changes as slowly as the motion.
    # What noise is left in a calmed track is smoothed over frames where its motion does not change faster than that.
    sigma = np.median((np.diff(left, n=3, axis=0) ** 2).sum(-1)) / 20 * NEIGHBOURS / (NEIGHBOURS - 4)
    kept = (fit[:, 0] ** 2).sum(axis=-1) * share[0, :, 0] ** 2 + (1 - share[0, :, 0]) ** 2
    steady = np.minimum(1.0, 20 * sigma * kept / third_difference(calm).clip(1e-18))[None, :, None]
    calm[1:] += (steady * (smoothed(calm) - calm))[1:]
    return calm.astype(np.float32)


def third_difference(tracks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean square [K] of the third difference over frames; that of white noise is 20 times its variance."""
    return (np.diff(tracks, n=3, axis=0) ** 2).sum(axis=-1).mean(axis=0)


def smoothed(tracks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Binomial mean over five frames; the ends are continued by reflection, so that a steady motion stays as it is."""
    padded = np.concatenate([2 * tracks[:1] - tracks[2:0:-1], tracks, 2 * tracks[-1:] - tracks[-2:-4:-1]])
    return np.sum([weight * padded[start : start + len(tracks)] for start, weight in enumerate(BINOMIAL)], axis=0)
