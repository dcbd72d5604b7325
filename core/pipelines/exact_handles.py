"""Final projection: meet handle targets exactly and smoothly in time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from core.geometry.solves import ResidualSolver

_CHUNK = 1 << 20  # vertices times frames processed at a time: about 100 MB in double precision, with temporaries
ROUNDING = 1e-6  # of the size; smaller residuals are rounding errors of single precision


def frame_chunks(frames: int, vertices: int) -> Iterator[slice]:
    """Slices of frames that fit into memory in double precision."""
    step = max(1, _CHUNK // max(1, vertices))
    for start in range(0, frames, step):
        yield slice(start, min(start + step, frames))


def continue_residuals(
    residuals: NDArray[np.float64], keyframe_mask: NDArray[np.bool_], loop: bool = False
) -> NDArray[np.float64]:
    """Extend residuals [T, K, 3] from keyframes [T, K] to every frame; at the keyframes they are kept exactly.

    Between keyframes they follow a monotone cubic, which has no kink at a key and never overshoots. After the last one
    they are constant; in a loop they return to those of frame 0, which is always a keyframe. A correction in one frame
    only would be a visible pop.
    """
    if loop:
        frames = len(residuals)
        around = continue_residuals(np.tile(residuals, (3, 1, 1)), np.tile(keyframe_mask, (3, 1)))
        return around[frames : 2 * frames]
    frames = len(residuals)
    result = residuals.copy()
    patterns, pattern = np.unique(keyframe_mask, axis=1, return_inverse=True)
    for number, keyed in enumerate(patterns.T):
        columns = np.flatnonzero(pattern.reshape(-1) == number)
        known = np.flatnonzero(keyed)
        if len(known) == frames:
            continue
        values = residuals[np.ix_(known, columns)]
        if known[-1] < frames - 1:
            known, values = np.append(known, frames - 1), np.append(values, values[-1:], axis=0)
        continued = values if len(known) == 1 else PchipInterpolator(known, values, axis=0)(np.flatnonzero(~keyed))
        result[np.ix_(~keyed, columns)] = continued
    return result


def meet_handles(
    vertices: NDArray[np.float32],
    handles: NDArray[np.int64],
    targets: NDArray[np.float64],
    keyframe_mask: NDArray[np.bool_],
    solver: Callable[[], ResidualSolver],
    size: float,
    loop: bool = False,
) -> tuple[float, float]:
    """Move vertices [T, V, 3] in place so that handles [K] are at targets [T, K, 3] at keyframes [T, K].

    Frame 0 is the rest pose and does not change. Residuals are spread smoothly over the mesh by the solver that
    `solver` makes, unless they are only rounding errors (relative to `size`). Returns the handles' mean distance from
    their targets before, and the largest one after, in the vertices' units; both are 0 without handles.
    """
    mask = keyframe_mask.copy()
    mask[0] = True
    residuals = np.where(mask[..., None], targets - vertices[:, handles], 0.0)
    residuals[0] = 0.0
    moving = mask[1:]
    before = float(np.linalg.norm(residuals[1:], axis=-1)[moving].mean()) if moving.any() else 0.0
    if np.abs(residuals).max(initial=0.0) <= ROUNDING * size:
        vertices[:, handles] += np.where(mask[..., None], residuals, 0.0)
    else:
        corrections, spread = continue_residuals(residuals, mask, loop), solver()
        for chunk in frame_chunks(len(vertices), vertices.shape[1]):
            vertices[chunk] += spread.solve(corrections[chunk])
    after = np.linalg.norm(targets[1:] - vertices[1:, handles], axis=-1)[moving]
    return before, float(after.max()) if after.size else 0.0
