"""Clusters a surface into rigidly moving parts, with which the decomposition into bones begins.

Regions grow along the surface only, so that two ears that move alike stay two bones. Starting with one region, the one
with the worst rigid fit is split at its worst point, and all borders move until they settle.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from core.quaternions import kabsch_rotations

Floats = NDArray[np.float64]
LEAST = 6  # samples of a region
COMPACT = 3e-5  # weight of a sample's squared distance from the region's middle in its error
SETTLE, SETTLE_LAST = 3, 8  # rounds of moving the borders, after each split and at the end


def rigid_clusters(
    rest: Floats,
    moved: Floats,
    neighbours: sparse.csr_matrix,
    most: int,
    enough: float,
    begin: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """The region of each sample [S], 0 to fewer than `most`, from rest [S, 3] and moved [T, S, 3] places.

    Stops once the mean distance from rigid motion is below `enough`. Regions `begin` [S], if there are any, are divided
    further; samples never change from one to another.
    """
    samples, frames = len(rest), len(moved)
    home = np.zeros(samples, np.int64) if begin is None else begin
    label = home.copy()
    whole = np.zeros(samples, bool)  # samples of regions whose last division did not last
    count, error = _settled(label, rest, moved, neighbours, home, 1)
    for _ in range(2 * most):
        own = error[np.arange(samples), label]
        large = np.bincount(label[~whole], minlength=count) >= 2 * LEAST
        if count >= most or np.sqrt(own / frames).mean() < enough or not large.any():
            break
        worst = int(np.where(large, np.bincount(label, own, count), -1.0).argmax())
        inside, before = label == worst, count
        label[_piece(inside, own, rest, neighbours)] = count
        count, error = _settled(label, rest, moved, neighbours, home, SETTLE)
        whole = whole | inside if count <= before else np.zeros(samples, bool)
    _settled(label, rest, moved, neighbours, home, SETTLE_LAST)
    return label


def _settled(
    label: NDArray[np.int64],
    rest: Floats,
    moved: Floats,
    neighbours: sparse.csr_matrix,
    home: NDArray[np.int64],
    rounds: int,
) -> tuple[int, Floats]:
    """Move the borders in place, and drop tiny regions; returns the number of regions and squared errors [S, regions].

    Samples stay within their own `home` [S].
    """
    for last in [*([False] * (rounds - 1)), True]:
        member = np.eye(label.max() + 1)[label]
        size = member.sum(axis=0)
        homes = _homes(member, home)
        if last and (size < LEAST).any() and member.shape[1] > 1:
            largest = [int(np.where(homes == one, size, -1).argmax()) for one in np.unique(home)]
            kept = np.union1d(np.flatnonzero(size >= LEAST), largest)
            error = squared_errors(rest, moved, *rigid_motion(rest, moved, member))[:, kept]
            homeless = ~np.isin(label, kept)
            nearest = np.where(homes[kept] == home[:, None], error, np.inf).argmin(axis=1)
            label[:] = np.where(homeless, nearest, np.searchsorted(kept, label).clip(0, len(kept) - 1))
            member, homes = np.eye(len(kept))[label], homes[kept]
        error = squared_errors(rest, moved, *rigid_motion(rest, moved, member))
        middle = member.T @ rest / member.sum(axis=0)[:, None].clip(1.0)
        spread = len(moved) * COMPACT * np.square(rest[:, None] - middle[None]).sum(axis=-1)
        possible = ((neighbours @ member) > 0) & (homes == home[:, None])
        label[:] = np.where(possible, error + spread, np.inf).argmin(axis=1)
    return error.shape[1], error


def _homes(member: Floats, home: NDArray[np.int64]) -> NDArray[np.int64]:
    """The home of each region [B], by its member samples [S, B]; -1 for an empty one."""
    return np.where(member.any(axis=0), home[member.argmax(axis=0)], -1)


def _piece(worst: NDArray[np.bool_], own: Floats, rest: Floats, neighbours: sparse.csr_matrix) -> NDArray[np.int64]:
    """The samples around the worst place of a region."""
    inside = np.flatnonzero(worst)
    blurred = neighbours @ own / np.asarray(neighbours.sum(axis=1)).ravel()
    apart = np.square(rest[inside] - rest[inside[blurred[inside].argmax()]]).sum(axis=1)
    share = len(inside) // (2 if len(inside) < 40 else 3)
    return inside[np.argsort(apart, kind="stable")[: max(share, LEAST + 2)]]


def rigid_motion(rest: Floats, moved: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """The maps R [T, B, 3, 3], t [T, B, 3] that best carry samples by weights [S, B] (Kabsch 1976)."""
    mass = weights.sum(axis=0).clip(1e-9)
    middle = weights.T @ rest / mass[:, None]
    gone = np.einsum("sb,tsi->tbi", weights, moved, optimize=True) / mass[:, None]
    spread = (weights[:, :, None] * rest[:, None, :]).reshape(len(rest), -1)
    products = (moved.transpose(0, 2, 1) @ spread).reshape(len(moved), 3, -1, 3).transpose(0, 2, 1, 3)
    covariance = products - mass[:, None, None] * gone[..., :, None] * middle[:, None, :]
    rotation = kabsch_rotations(covariance + 1e-9 * np.eye(3))
    return rotation, gone - np.einsum("tbij,bj->tbi", rotation, middle)


def squared_errors(rest: Floats, moved: Floats, rotation: Floats, translation: Floats) -> Floats:
    """[S, B] squared distance, summed over frames, between where each map takes each sample and where it is.

    Multiplied out, so that it takes a few matrix products: |R x + t - y|^2.
    """
    frames = len(moved)
    flat = moved.transpose(1, 0, 2).reshape(len(rest), -1)
    turned = (flat @ rotation.transpose(0, 2, 1, 3).reshape(3 * frames, -1)).reshape(len(rest), -1, 3)
    along = flat @ translation.transpose(0, 2, 1).reshape(3 * frames, -1)
    swept = np.einsum("tbij,tbi->bj", rotation, translation)
    own = frames * np.square(rest).sum(axis=1) + np.square(flat).sum(axis=1)
    crossed = (turned * rest[:, None]).sum(axis=-1) + along - rest @ swept.T
    return np.maximum(own[:, None] + np.square(translation).sum(axis=(0, 2)) - 2 * crossed, 0.0)
