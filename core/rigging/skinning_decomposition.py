"""Smooth weights for regions of a surface: Dem Bones (Le and Deng 2012, 2014) where it is installed.

Dem Bones finds weights and rigid maps that explain the motion. It starts from our regions, since its own initialisation
is random and slow. Without it, the regions' borders are blurred, and later fits do more of the work.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from core.geometry.skeleton import INFLUENCES

Floats = NDArray[np.float64]
ITERATIONS = 6
BLUR = 4  # rounds of averaging over neighbours, without Dem Bones


def region_weights(
    rest: Floats, moved: Floats, faces: NDArray[np.integer], label: NDArray[np.integer], neighbours: sparse.csr_matrix
) -> Floats:
    """Weights [S, B] of samples at rest [S, 3], moved [T, S, 3], in regions `label` [S] numbered from 0 to B - 1."""
    hard = np.eye(label.max() + 1)[label]
    try:
        from py_dem_bones import DemBones
    except ImportError:
        mean = sparse.diags(1 / np.asarray(neighbours.sum(axis=1)).ravel()) @ neighbours
        for _ in range(BLUR):
            hard = mean @ hard
        return hard
    solver = DemBones()
    solver.nV, solver.nF, solver.nS, solver.nB = len(rest), len(moved), 1, hard.shape[1]
    solver.nnz = min(INFLUENCES, hard.shape[1])
    solver.fStart = np.array([0, len(moved)], dtype=np.int32)
    solver.subjectID = np.zeros(len(moved), dtype=np.int32)
    solver.u = np.ascontiguousarray(rest.T)
    solver.v = np.ascontiguousarray(moved.transpose(0, 2, 1).reshape(-1, len(rest)))
    solver.fv = faces.tolist()
    solver.set_weights(np.ascontiguousarray(hard.T))
    for _ in range(ITERATIONS):
        solver.computeTranformations()
        solver.computeWeights()
    found = np.asarray(solver.get_weights(), dtype=np.float64).T.clip(0.0)
    total = found.sum(axis=1, keepdims=True)
    usable = found.shape == hard.shape and np.isfinite(found).all() and (total > 0.5).all()
    return found / total if usable else hard
