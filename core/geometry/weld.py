"""Welding: groups points of a mesh that coincide."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def weld(points: NDArray[np.float64], tolerance: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Group points [W, 3] closer than `tolerance`: the group of each [W], and each group's first point [V].

    Groups are numbered in the order of their first points.
    """
    # Imported here, since banks of motions are also read on machines with only torch, numpy and safetensors.
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    # Grid cells first: a vertex that is repeated thousands of times must not give millions of pairs.
    step = max(tolerance, np.finfo(np.float64).tiny)
    cells = np.floor((points - points.min(axis=0)) / step).astype(np.int64)
    _, first, group = np.unique(cells, axis=0, return_index=True, return_inverse=True)
    group = group.reshape(-1)
    pairs = cKDTree(points[first]).query_pairs(tolerance, output_type="ndarray")
    if len(pairs):
        graph = coo_matrix((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(len(first),) * 2)
        group = connected_components(graph, directed=False)[1].astype(np.int64)[group]
    _, first, group = np.unique(group, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return rank[group.reshape(-1)], first[order]
