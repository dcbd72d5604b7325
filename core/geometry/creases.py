"""Hard edges: a surface cut open along them, so that smooth shading stops there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

CREASE_DEGREES = 50.0


def split_at_creases(vertices: NDArray, faces: NDArray) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Duplicate vertices [V, 3] along edges whose faces [F, 3] meet at more than CREASE_DEGREES.

    Returns `origin` [V'], the vertex each copy comes from, and faces [F, 3] into the copies. Loose vertices are
    dropped, and edges of more than two faces count as hard.
    """
    corners = np.asarray(vertices, dtype=np.float64)[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    normals = normals / np.where(lengths > 0, lengths, 1.0)
    count = len(faces)
    # Half-edge k of a face runs from its corner k to k + 1; corner numbers are 3 * face + k.
    start = np.arange(3 * count).reshape(count, 3)
    end = np.roll(start, -1, axis=1)
    ends = np.stack([faces.ravel(), np.roll(faces, -1, axis=1).ravel()], axis=1)
    swapped = ends[:, 0] > ends[:, 1]
    low = np.where(swapped, end.ravel(), start.ravel())  # the corner at the smaller vertex number
    high = np.where(swapped, start.ravel(), end.ravel())
    ends.sort(axis=1)
    _, edge, members = np.unique(ends, axis=0, return_inverse=True, return_counts=True)
    order = np.argsort(edge.ravel(), kind="stable")
    first = np.concatenate([[0], np.cumsum(members)[:-1]])[members == 2]
    a, b = order[first], order[first + 1]
    cosine = np.einsum("ij,ij->i", normals[a // 3], normals[b // 3])
    smooth = cosine >= np.cos(np.radians(CREASE_DEGREES))
    a, b = a[smooth], b[smooth]
    rows, columns = np.concatenate([low[a], high[a]]), np.concatenate([low[b], high[b]])
    joined = coo_matrix((np.ones(len(rows)), (rows, columns)), (3 * count, 3 * count))
    copies, label = connected_components(joined, directed=False)
    origin = np.zeros(copies, dtype=np.int64)
    origin[label] = faces.ravel()
    return origin, label.reshape(count, 3).astype(np.int32)
