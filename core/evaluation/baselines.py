"""The classical baselines of a handle task: no motion, biharmonic, ARAP, and linear in-betweens of ARAP poses.

All take the rest mesh and the handles' constraints and return tracks [T, V, 3]. Between its keys a handle moves
linearly, and it stays after the last one, as these tools work in an animation package.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.geometry.solves import arap, biharmonic

ARAP_ITERATIONS = 30


def linear_targets(targets: NDArray, keyframe_mask: NDArray) -> NDArray[np.float64]:
    """Targets [K, T, 3] with every frame filled: linear between keyframes [K, T], constant after the last."""
    frames = np.arange(targets.shape[1])
    filled = np.empty(targets.shape, dtype=np.float64)
    for row, mask in enumerate(keyframe_mask):
        for axis in range(3):
            filled[row, :, axis] = np.interp(frames, frames[mask], targets[row, mask, axis])
    return filled


def linear_in_betweens(poses: NDArray, keys: NDArray, frames: int) -> NDArray[np.float64]:
    """Vertices [frames, V, 3], linear in time between poses [P, V, 3] at frames `keys` [P]; constant after the last."""
    result = np.empty((frames, *poses.shape[1:]))
    for frame in range(frames):
        right = int(np.searchsorted(keys, frame))
        if right >= len(keys):
            result[frame] = poses[-1]
        elif keys[right] == frame:
            result[frame] = poses[right]
        else:
            share = (frame - keys[right - 1]) / (keys[right] - keys[right - 1])
            result[frame] = poses[right - 1] + share * (poses[right] - poses[right - 1])
    return result


def classical_motions(
    rest: NDArray, faces: NDArray, handles: NDArray, targets: NDArray, keyframe_mask: NDArray
) -> dict[str, NDArray[np.float64]]:
    """{baseline: tracks [T, V, 3]} for handle vertices [K] with targets [K, T, 3] where `keyframe_mask` [K, T].

    `arap` follows the linear targets frame by frame. `arap_poses` solves the keyed frames and moves vertices linearly
    between those poses; it is there only if some frames are free. ARAP is libigl's, 30 iterations from the biharmonic
    solution.
    """
    frames = targets.shape[1]
    filled = linear_targets(targets, keyframe_mask).transpose(1, 0, 2)  # [T, K, 3]
    still = np.broadcast_to(np.asarray(rest, dtype=np.float64), (frames, *rest.shape))
    smooth = biharmonic(rest, faces, handles, filled)
    smooth[0] = rest
    rigid = still.copy()
    rigid[1:] = arap(rest, faces, handles, filled[1:], ARAP_ITERATIONS, initial=smooth[1:])
    motions = {"no_motion": still.copy(), "biharmonic": smooth, "arap": rigid}
    keyed = np.flatnonzero(keyframe_mask.all(axis=0))
    if len(keyed) < frames:
        motions["arap_poses"] = linear_in_betweens(rigid[keyed], keyed, frames)
    return motions
