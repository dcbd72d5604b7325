"""How well reconstructed surfaces agree with the scans and with each other. Everything in normalised space."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import igl
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

FIT_POINTS = 1000  # observed points of a frame whose distance from the surface is measured
OTHER_POINTS = 4000  # vertices of another seed that its surface is represented by


class Fit(NamedTuple):
    fit: NDArray[np.float32]  # [T]
    scan_distance: NDArray[np.float32]  # [T, V]
    disagreement: NDArray[np.float32]  # [T, V]


def measure(
    motions: Sequence[NDArray[np.float32]],
    faces: Sequence[NDArray[np.int32]],
    observed: Sequence[NDArray[np.float32]],
    check_cancelled: Callable[[], None] = lambda: None,
) -> list[Fit]:
    """Figures of every seed: motions [T, V_s, 3] on faces [F_s, 3], and the observed points of each frame."""
    frames = len(observed)
    scans = [KDTree(points) if len(points) else None for points in observed]
    spread = [_disagreement_trees(motion) for motion in motions] if len(motions) > 1 else []
    results = []
    for number, (motion, triangles) in enumerate(zip(motions, faces, strict=True)):
        fit = np.full(frames, np.nan, dtype=np.float32)
        distance = np.full(motion.shape[:2], np.nan, dtype=np.float32)
        disagreement = np.zeros(motion.shape[:2], dtype=np.float32)
        for frame in range(frames):
            check_cancelled()
            tree = scans[frame]
            if tree is not None:
                distance[frame] = tree.query(motion[frame], workers=-1)[0]
                points = observed[frame][:: max(1, len(observed[frame]) // FIT_POINTS)]
                squared = igl.point_mesh_squared_distance(
                    points.astype(np.float64), motion[frame].astype(np.float64), triangles.astype(np.int64)
                )[0]
                fit[frame] = float(np.sqrt(squared).mean())
            others = [trees[frame] for other, trees in enumerate(spread) if other != number]
            if others:
                disagreement[frame] = np.mean(
                    [np.asarray(other.query(motion[frame], workers=-1)[0]) for other in others], axis=0
                )
        results.append(Fit(fit, distance, disagreement))
    return results


def _disagreement_trees(motion: NDArray[np.float32]) -> list[KDTree]:
    step = max(1, motion.shape[1] // OTHER_POINTS)
    return [KDTree(frame[::step]) for frame in motion]
