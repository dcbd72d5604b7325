"""Fits vertex weights to the motions of bones: few per vertex, non-negative, summing to 1, smooth over the surface."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from core.geometry.skeleton import INFLUENCES

Floats = NDArray[np.float64]
CANDIDATES = 8  # bones that a vertex may follow before the strongest are chosen
BLOCK = 4096
ROUNDS = 60  # of the projected gradient
SMOOTHING = 3  # rounds of the mean over neighbours
HOLD = 3e-5  # on the distance from the smooth weights, in units of the squared size


def carried_weights(weights: Floats, owner: NDArray[np.integer], near: sparse.csr_matrix, rounds: int) -> Floats:
    """Weights [V, B] of all vertices from those of their samples [S, B], averaged over neighbours in `rounds`."""
    full = weights[owner]
    for _ in range(rounds):
        full = near @ full
    return full


def fit_weights(
    rest: Floats,
    moved: Floats,
    rotation: Floats,
    translation: Floats,
    guess: Floats,
    near: sparse.csr_matrix,
    smoothing: int = SMOOTHING,
) -> tuple[NDArray[np.int64], Floats]:
    """Bones [V, 4] and weights [V, 4], the largest first, near the smooth `guess` [V, B].

    Vertices at rest [V, 3] go to `moved` [T, V, 3], bones to R [T, B, 3, 3] and t [T, B, 3]. A first solve may use more
    bones; the second, with the strongest four, is held near its smoothed result.
    """
    count = guess.shape[1]
    bones = _strongest(guess, min(CANDIDATES, count))
    first = _solve(rest, moved, rotation, translation, bones, np.take_along_axis(guess, bones, axis=1))
    smooth = np.zeros_like(guess)
    np.put_along_axis(smooth, bones, first, axis=1)
    for _ in range(smoothing):
        smooth = near @ smooth
    bones = _strongest(smooth, min(INFLUENCES, count))
    kept = np.take_along_axis(smooth, bones, axis=1)
    kept /= kept.sum(axis=1, keepdims=True).clip(1e-9)
    final = _solve(rest, moved, rotation, translation, bones, kept)
    final[final < 1e-3] = 0.0
    final /= final.sum(axis=1, keepdims=True)
    order = np.argsort(-final, axis=1, kind="stable")
    bones, final = np.take_along_axis(bones, order, axis=1), np.take_along_axis(final, order, axis=1)
    missing = INFLUENCES - final.shape[1]
    if missing > 0:
        bones, final = np.pad(bones, ((0, 0), (0, missing))), np.pad(final, ((0, 0), (0, missing)))
    return np.where(final > 0, bones, 0), final


def dense_weights(bones: NDArray[np.integer], weights: Floats, count: int) -> Floats:
    """Weights [V, B] from the few per vertex [V, K], for `count` bones."""
    dense = np.zeros((len(bones), count))
    np.add.at(dense, (np.arange(len(bones))[:, None], bones), weights)
    return dense


def _strongest(weights: Floats, count: int) -> NDArray[np.int64]:
    return np.argsort(-weights, axis=1, kind="stable")[:, :count]


def _solve(
    rest: Floats, moved: Floats, rotation: Floats, translation: Floats, bones: NDArray[np.int64], guess: Floats
) -> Floats:
    """Least squares on the simplex, all vertices together: accelerated projected gradient (Beck and Teboulle 2009).

    For two candidate bones, the product of their errors, summed over frames, is quadratic in the vertex at rest, with
    coefficients that depend on the two bones only.
    """
    frames, count = rotation.shape[:2]
    maps = np.concatenate([rotation, translation[..., None]], axis=-1)  # [T, B, 3, 4]
    flat = maps.transpose(0, 2, 1, 3).reshape(3 * frames, 4 * count)
    pairs = (flat.T @ flat / frames).reshape(count, 4, count, 4).transpose(0, 2, 1, 3)  # [B, B, 4, 4]
    pairs = np.ascontiguousarray(pairs).reshape(count, count, 16)
    placed = np.concatenate([rest, np.ones((len(rest), 1))], axis=1)
    result = np.empty_like(guess)
    for start in range(0, len(rest), BLOCK):
        rows = slice(start, start + BLOCK)
        own, x = bones[rows], placed[rows]
        there = moved[:, rows].transpose(1, 0, 2).reshape(len(x), -1)
        both = np.einsum(
            "vklc,vc->vkl", pairs[own[:, :, None], own[:, None]], np.einsum("vi,vj->vij", x, x).reshape(-1, 16)
        )
        reached = np.einsum("vbi,vi->vb", (there @ flat / frames).reshape(len(x), count, 4), x)
        reached = np.take_along_axis(reached, own, axis=1)
        far = np.square(there).sum(axis=1)[:, None, None] / frames
        gram = both - reached[:, :, None] - reached[:, None] + far
        result[rows] = _on_simplex(gram + HOLD * np.eye(own.shape[1]), HOLD * guess[rows], guess[rows])
    return result


def _on_simplex(matrix: Floats, right: Floats, start: Floats) -> Floats:
    """The x [v, K] that minimises x'Ax / 2 - b'x with A [v, K, K], b [v, K], x not negative, sum 1."""
    rate = 1.0 / np.abs(matrix).sum(axis=2).max(axis=1, keepdims=True)
    x = look = _projected(start)
    pace = 1.0
    for _ in range(ROUNDS):
        after = _projected(look - rate * ((matrix @ look[..., None])[..., 0] - right))
        next_pace = (1 + np.sqrt(1 + 4 * pace * pace)) / 2
        look = after + (pace - 1) / next_pace * (after - x)
        x, pace = after, next_pace
    return x


def _projected(x: Floats) -> Floats:
    """The nearest points of the simplex (Duchi et al. 2008)."""
    falling = -np.sort(-x, axis=1)
    excess = (np.cumsum(falling, axis=1) - 1) / np.arange(1, x.shape[1] + 1)
    last = (falling > excess).sum(axis=1, keepdims=True) - 1
    return np.maximum(x - np.take_along_axis(excess, last, axis=1), 0.0)
