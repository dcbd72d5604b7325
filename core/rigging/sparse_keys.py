"""Reduces keys to those that interpolation between the others would miss."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.geometry.skeleton import Keys
from core.quaternions import continuous

Floats = NDArray[np.float64]


def sparse_keys(values: Floats, tolerance: float) -> Keys:
    """Keys of rotations [T, 4] (quaternions) or shifts [T, 3], whose interpolation stays within `tolerance`.

    A rotation's tolerance is an angle in radians. Keys are added at the largest errors (Douglas and Peucker 1973); the
    first frame always has a key, the last one if anything moves.
    """
    if values.shape[1] == 4:
        values = continuous(values)
    frames = np.arange(len(values))
    chosen = np.zeros(len(values), bool)
    chosen[0] = True
    while True:
        keys = Keys(np.flatnonzero(chosen), values[chosen])
        missed = _apart(keys.at(frames.astype(np.float64)), values)
        if missed.max() <= tolerance:
            return keys
        if not chosen[-1]:
            chosen[-1] = True
            continue
        # The worst frame of every failing stretch at once: they are independent.
        stretch = np.searchsorted(keys.frames, frames, side="right")
        for number in np.unique(stretch[missed > tolerance]):
            inside = np.flatnonzero(stretch == number)
            chosen[inside[missed[inside].argmax()]] = True


def _apart(one: Floats, other: Floats) -> Floats:
    """[T] angles between rotations, or distances between shifts."""
    if one.shape[1] == 3:
        return np.linalg.norm(one - other, axis=1)
    half = np.minimum(np.linalg.norm(one - other, axis=1), np.linalg.norm(one + other, axis=1)) / 2
    return 4 * np.arcsin(np.clip(half, 0.0, 1.0))
