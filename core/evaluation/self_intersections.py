"""Which faces of a mesh cut through others: an editor's result may not pass through itself more than it did at rest.

Pairs that share a vertex are neighbours, not intersections. Two triangles cut each other where an edge of one passes
through the inside of the other (in general position; coplanar overlaps do not count).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_PAIRS = 1 << 18  # pairs tested at a time, so that memory stays bounded
_EDGES = ((0, 1), (1, 2), (2, 0))


def crossing_faces(vertices: NDArray, faces: NDArray) -> int:
    """How many faces [F, 3] of a mesh with vertices [V, 3] are cut by another face."""
    corners = np.asarray(vertices, dtype=np.float64)[np.asarray(faces, dtype=np.int64)]  # [F, 3, 3]
    cut = np.zeros(len(corners), dtype=bool)
    first, second = _near_pairs(corners)
    apart = ~(faces[first][:, :, None] == faces[second][:, None, :]).any(axis=(1, 2))
    first, second = first[apart], second[apart]
    for start in range(0, len(first), _PAIRS):
        one, other = first[start : start + _PAIRS], second[start : start + _PAIRS]
        hit = _edges_pass(corners[one], corners[other]) | _edges_pass(corners[other], corners[one])
        cut[one[hit]] = cut[other[hit]] = True
    return int(cut.sum())


def _near_pairs(corners: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of faces (first below second) whose bounding boxes overlap, found in the cells of a grid."""
    low, high = corners.min(axis=1), corners.max(axis=1)
    side = max(2.0 * float(np.median((high - low).max(axis=1))), float((high - low).max()) / 16, 1e-9)
    begin = np.floor((low - low.min(axis=0)) / side).astype(np.int64)
    extent = np.floor((high - low.min(axis=0)) / side).astype(np.int64) - begin + 1
    counts = extent.prod(axis=1)
    owner = np.repeat(np.arange(len(corners)), counts)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    offset = np.stack(
        [
            within % extent[owner, 0],
            within // extent[owner, 0] % extent[owner, 1],
            within // (extent[owner, 0] * extent[owner, 1]),
        ],
        axis=1,
    )
    cell = begin[owner] + offset
    size = cell.max(axis=0) + 1
    number = (cell[:, 0] * size[1] + cell[:, 1]) * size[2] + cell[:, 2]
    order = np.argsort(number, kind="stable")
    owner, number = owner[order], number[order]
    # Each entry is paired with the entries of its cell after it.
    last = np.searchsorted(number, number, side="right")
    after = last - np.arange(len(number)) - 1
    left = np.repeat(np.arange(len(number)), after)
    right = left + 1 + np.arange(len(left)) - np.repeat(np.cumsum(after) - after, after)
    one, other = owner[left], owner[right]
    overlap = ((low[one] <= high[other]) & (low[other] <= high[one])).all(axis=1)
    one, other = one[overlap], other[overlap]
    code = np.unique(np.minimum(one, other) * len(corners) + np.maximum(one, other))
    return code // len(corners), code % len(corners)


def _edges_pass(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether an edge of triangle one [P, 3, 3] passes through triangle other [P, 3, 3]."""
    a, b, c = other[:, 0], other[:, 1], other[:, 2]
    normal = np.cross(b - a, c - a)
    height = np.einsum("pki,pi->pk", one - a[:, None], normal)  # of each corner over the other's plane
    passes = np.zeros(len(one), dtype=bool)
    for start, end in _EDGES:
        crossing = height[:, start] * height[:, end] < 0
        rows = np.flatnonzero(crossing & ~passes)
        share = height[rows, start] / (height[rows, start] - height[rows, end])
        place = one[rows, start] + share[:, None] * (one[rows, end] - one[rows, start])
        inside = np.ones(len(rows), dtype=bool)
        for corner, following in _EDGES:
            side = other[rows, following] - other[rows, corner]
            inside &= (np.cross(side, place - other[rows, corner]) * normal[rows]).sum(axis=1) >= 0
        passes[rows] |= inside
    return passes
