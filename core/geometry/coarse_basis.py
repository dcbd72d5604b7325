"""Smooth fields on a large mesh from their values at a few thousand of its vertices.

The patches around evenly spread vertices are contracted to one point each; what is left of the faces is a coarse mesh,
in which each vertex lies in a triangle (or, along a thread, on an edge) and is a mixture of its corners.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import dijkstra

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
DAMPING = 0.6  # of the one Jacobi step that rounds off the creases along the coarse mesh's edges


def coarse_basis(
    points: Floats, faces: Integers, laplacian: sparse.csr_matrix, keep: Integers, count: int
) -> sparse.csr_matrix:
    """[V, N] mixtures of about `count` of the vertices, `keep` among them; rows sum to 1.

    `laplacian` [V, V] says which vertices are joined; `points` [V, 3] have unit size.
    """
    links = laplacian.tocoo()
    beside = links.row != links.col
    ends = np.stack([links.row[beside], links.col[beside]])
    lengths = np.linalg.norm(points[ends[0]] - points[ends[1]], axis=1) + 1e-9
    seeds = _spread_seeds(points, faces, keep, count)
    graph = sparse.csr_matrix((lengths, ends), shape=laplacian.shape)
    source = dijkstra(graph, directed=True, indices=seeds, min_only=True, return_predecessors=True)[2]
    patch = np.searchsorted(seeds, source)
    basis = _mixtures(points, points[seeds], patch, _simplices(patch, faces, ends))
    return (basis - sparse.diags(DAMPING / laplacian.diagonal()) @ (laplacian @ basis)).tocsr()


def contracted_faces(owner: Integers, faces: NDArray[np.integer]) -> Integers:
    """[G, 3] the triangles left when all vertices of one `owner` [V] become one, each once."""
    corners = owner[faces]
    ordered = np.sort(corners, axis=1)
    whole = (ordered[:, 0] != ordered[:, 1]) & (ordered[:, 1] != ordered[:, 2])
    return corners[whole][np.unique(ordered[whole], axis=0, return_index=True)[1]]


def _spread_seeds(points: Floats, faces: Integers, keep: Integers, count: int) -> Integers:
    """The vertex nearest to the middle of each occupied cell, of about as many cells; an area A meets A / side^2."""
    sides = points[faces[:, 1:]] - points[faces[:, :1]]
    area = 0.5 * float(np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1).sum())
    side = np.sqrt(max(area, 1e-6) / count)
    while True:
        place = points / side
        cell = np.floor(place)
        off = np.square(place - cell - 0.5).sum(axis=1)
        number = cell @ np.power(np.ceil(1 / side) + 1, np.arange(3))
        order = np.lexsort((off, number))
        seeds = np.union1d(order[np.diff(number[order], prepend=-1) > 0], keep)
        if len(seeds) <= 2 * count + len(keep):
            return seeds
        side *= 1.5  # loose scraps have little area: take larger cells


def _simplices(patch: Integers, faces: Integers, ends: NDArray[np.integer]) -> Integers:
    """[S, 3] triangles between patches, and edges that are in none, their second end repeated."""
    triangles = np.sort(contracted_faces(patch, faces), axis=1)
    first, second = np.sort(patch[ends], axis=0)
    size = int(patch.max()) + 1
    edges = np.unique((first * size + second)[first != second])
    covered = np.concatenate([triangles[:, a] * size + triangles[:, b] for a, b in ((0, 1), (0, 2), (1, 2))])
    edges = np.setdiff1d(edges, covered)
    return np.concatenate([triangles, np.stack([edges // size, edges % size, edges % size], axis=1)])


def _mixtures(points: Floats, seeds: Floats, patch: Integers, simplices: Integers) -> sparse.csr_matrix:
    """[V, N] each vertex as a mixture of the corners of the nearest simplex of those that meet in its patch."""
    a, b, c = seeds[simplices].transpose(1, 0, 2)
    u, v = b - a, c - a
    uu, uv, vv = ((x * y).sum(axis=1) for x, y in ((u, u), (u, v), (v, v)))
    slight = 1e-6 * (uu + vv)  # an edge, and a triangle without area, are solved by least squares
    uu, vv = uu + slight, vv + slight
    area = uu * vv - uv * uv
    owner = np.repeat(np.arange(len(simplices)), 3)[np.argsort(simplices.reshape(-1), kind="stable")]
    start = np.searchsorted(np.sort(simplices.reshape(-1)), np.arange(len(seeds) + 1))
    corners = np.repeat(patch[:, None], 3, axis=1)
    shares = np.tile([1.0, 0.0, 0.0], (len(points), 1))
    nearest = np.square(points - seeds[patch]).sum(axis=1)
    for turn in range(int(np.diff(start).max(initial=0))):
        vertex = np.flatnonzero(start[patch] + turn < start[patch + 1])
        at = owner[start[patch[vertex]] + turn]
        x = points[vertex] - a[at]
        xu, xv = (x * u[at]).sum(axis=1), (x * v[at]).sum(axis=1)
        second, third = (vv[at] * xu - uv[at] * xv) / area[at], (uu[at] * xv - uv[at] * xu) / area[at]
        share = np.stack([1 - second - third, second, third], axis=1).clip(0)
        share /= share.sum(axis=1, keepdims=True)
        away = np.square(x - share[:, 1:2] * u[at] - share[:, 2:] * v[at]).sum(axis=1)
        nearer = away < nearest[vertex]
        vertex = vertex[nearer]
        nearest[vertex], corners[vertex], shares[vertex] = away[nearer], simplices[at[nearer]], share[nearer]
    bounds = 3 * np.arange(len(points) + 1)
    basis = sparse.csr_matrix((shares.reshape(-1), corners.reshape(-1), bounds), shape=(len(points), len(seeds)))
    basis.sum_duplicates()
    return basis
