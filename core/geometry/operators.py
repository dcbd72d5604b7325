"""Discrete operators on any triangle mesh: a cotangent Laplacian that joins loose components, and its solver.

All quantities are in units of the shape's longest side, so results do not depend on the file's units.
"""

from __future__ import annotations

from dataclasses import dataclass

import igl
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.spatial import cKDTree

# Above this many vertices a direct factorisation takes seconds, and the two-level solver takes over.
DIRECT_VERTICES = 30_000
_COARSE_VERTICES = 6_000
# Components closer than this (fraction of size) are tied vertex by vertex, as a shirt is to a body.
_LINK_DISTANCE = 0.03
_LINKS_PER_LOOSE_GROUP = 8
_STEPS, _TOLERANCE = 4, 1e-3  # of the conjugate gradients


@dataclass(frozen=True, eq=False)
class SurfaceOperator:
    """`laplacian` [V, V] (positive semi-definite, kernel = constants), lumped `mass` [V], unit-size `points` [V, 3]."""

    points: NDArray[np.float64]
    laplacian: sparse.csr_matrix
    mass: NDArray[np.float64]
    size: float


def surface_operator(vertices: NDArray, faces: NDArray) -> SurfaceOperator:
    """Build the operator for vertices [V, 3] and faces [F, 3].

    Slivers and zero-area faces are mollified (edge lengths are lengthened by a common tiny amount until
    every face is a real triangle), so nothing is ever infinite. Components, and vertices without faces,
    are tied to their nearest neighbours, so that the whole is connected.
    """
    points, size = unit_points(vertices)
    count = len(points)
    corners = np.asarray(faces, dtype=np.int64)
    corners = corners[(corners != np.roll(corners, 1, axis=1)).all(axis=1)]
    mass = np.zeros(count)
    laplacian = sparse.csr_matrix((count, count))
    if len(corners):
        lengths = _mollified_lengths(points, corners)
        cotangent = igl.cotmatrix_intrinsic(lengths, corners).tocsr()
        cotangent.resize((count, count))
        laplacian = -cotangent
        mass += np.bincount(corners.reshape(-1), np.repeat(_areas(lengths) / 3, 3), minlength=count)
    positive = mass[mass > 0]
    mass = np.maximum(mass, 1e-3 * np.median(positive) if len(positive) else 1.0 / count)
    graph = edge_graph(corners, count)
    first, second, weight = link_components(points, connected_components(graph, directed=False)[1], mass)
    if len(first):
        link = sparse.coo_matrix((weight, (first, second)), shape=(count, count)).tocsr()
        link = link + link.T
        laplacian = laplacian + sparse.diags(np.asarray(link.sum(axis=1)).reshape(-1)) - link
    return SurfaceOperator(points, laplacian.tocsr(), mass, size)


class ScreenedSolver:
    """Solves (L + kappa^2 M) x = b for many right-hand sides; a length of 1 / kappa is where sources fade."""

    def __init__(self, operator: SurfaceOperator, kappa: float) -> None:
        self.mass = operator.mass
        self.matrix = (operator.laplacian + sparse.diags(kappa**2 * operator.mass)).tocsr()
        count = len(operator.mass)
        self.prolong: sparse.csr_matrix | None = None
        if count <= DIRECT_VERTICES:
            self._direct = _Factor(self.matrix)
            return
        self.prolong = _prolongation(operator)
        self.restrict = self.prolong.T.tocsr()
        self._direct = _Factor(self.restrict @ self.matrix @ self.prolong)
        self._relax = 0.6 / self.matrix.diagonal()[:, None]

    def solve(self, right: NDArray[np.float64]) -> NDArray[np.float64]:
        """x [V, C] for right [V, C]: to rounding when direct; on large meshes to under one percent."""
        if self.prolong is None:
            return self._direct.solve(right)
        return np.concatenate([self._iterate(right[:, at : at + 16]) for at in range(0, right.shape[1], 16)], axis=1)

    def _iterate(self, right: NDArray[np.float64]) -> NDArray[np.float64]:
        """Conjugate gradients, all columns at once, preconditioned by one two-level cycle."""
        x = np.zeros_like(right)
        residual = right.copy()
        target = _TOLERANCE * np.linalg.norm(right, axis=0)
        direction, old = np.zeros_like(right), np.ones(right.shape[1])
        for step in range(_STEPS):
            z = self._cycle(residual)
            new = (residual * z).sum(axis=0)
            direction = z + (new / old if step else 0.0) * direction
            image = self.matrix @ direction
            scale = new / np.maximum((direction * image).sum(axis=0), np.finfo(float).tiny)
            x += scale * direction
            residual -= scale * image
            old = np.maximum(new, np.finfo(float).tiny)
            if (np.linalg.norm(residual, axis=0) <= target).all():
                break
        return x

    def _cycle(self, right: NDArray[np.float64]) -> NDArray[np.float64]:
        assert self.prolong is not None
        x = self._relax * right
        x += self.prolong @ self._direct.solve(self.restrict @ (right - self.matrix @ x))
        return x + self._relax * (right - self.matrix @ x)


class _Factor:
    """libigl's sparse Cholesky factorisation, without fixed values or constraints."""

    def __init__(self, matrix: sparse.spmatrix) -> None:
        self.count = matrix.shape[0]
        self.data = igl.min_quad_with_fixed_data()
        none = np.zeros(0, dtype=np.int64)
        igl.min_quad_with_fixed_precompute(
            sparse.csc_matrix(matrix), none, sparse.csc_matrix((0, self.count)), True, self.data
        )

    def solve(self, right: NDArray[np.float64]) -> NDArray[np.float64]:
        columns = right.shape[1]
        empty = np.zeros((0, columns))
        # libigl minimises x'Ax/2 + x'B, so its solution has the opposite sign.
        return igl.min_quad_with_fixed_solve(self.data, np.ascontiguousarray(-right), empty, empty).reshape(-1, columns)


def unit_points(vertices: NDArray) -> tuple[NDArray[np.float64], float]:
    """Vertices moved to the origin and scaled to a longest side of 1, and that side (1 when it is zero)."""
    points = np.asarray(vertices, dtype=np.float64)
    low = points.min(axis=0)
    size = float(np.ptp(points, axis=0).max()) or 1.0
    return (points - low) / size, size


def edge_graph(faces: NDArray, count: int) -> sparse.csr_matrix:
    """Boolean adjacency [V, V] of the faces' edges."""
    corners = np.asarray(faces, dtype=np.int64)
    first = corners.reshape(-1)
    second = np.roll(corners, -1, axis=1).reshape(-1)
    return sparse.coo_matrix((np.ones(len(first), bool), (first, second)), shape=(count, count)).tocsr()


def link_components(
    points: NDArray[np.float64], labels: NDArray, mass: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Extra edges (i, j, weight) that make one connected graph of components `labels` [V].

    Close layers are tied with weight area / gap^2, so one follows the other at the scale of the gap at any resolution.
    Groups that are still loose are tied to the largest one at their closest vertices.
    """
    nothing = np.zeros(0, np.int64)
    if labels.max(initial=0) == 0:
        return nothing, nothing, np.zeros(0)
    neighbours = min(9, len(points))
    distance, nearest = cKDTree(points).query(points, k=neighbours, distance_upper_bound=_LINK_DISTANCE)
    distance, nearest = np.asarray(distance), np.asarray(nearest)
    found = np.isfinite(distance)
    rows = np.broadcast_to(np.arange(len(points))[:, None], nearest.shape)[found]
    columns, gaps = nearest[found], distance[found]
    crossing = labels[rows] != labels[columns]
    rows, columns, gaps = rows[crossing], columns[crossing], gaps[crossing]
    # Neighbours come nearest first; one tie per vertex keeps the matrix as sparse as a surface's.
    rows, nearest_first = np.unique(rows, return_index=True)
    columns, gaps = columns[nearest_first], gaps[nearest_first]
    weights = mass[rows] / np.maximum(gaps**2, mass[rows])

    parts = labels.max() + 1
    joined = sparse.coo_matrix((np.ones(len(rows), bool), (labels[rows], labels[columns])), shape=(parts, parts))
    group = connected_components(joined, directed=False)[1][labels]
    main = np.bincount(group).argmax()
    loose = np.flatnonzero(group != main)
    if len(loose):
        anchors = np.flatnonzero(group == main)
        distance, nearest = cKDTree(points[anchors]).query(points[loose])
        distance, nearest = np.asarray(distance), np.asarray(nearest)
        order = np.lexsort((distance, group[loose]))
        sorted_group = group[loose][order]
        starts = np.flatnonzero(np.r_[True, sorted_group[1:] != sorted_group[:-1]])
        rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
        keep = order[rank < _LINKS_PER_LOOSE_GROUP]
        rows = np.concatenate([rows, loose[keep]])
        columns = np.concatenate([columns, anchors[nearest[keep]]])
        weights = np.concatenate([weights, np.ones(len(keep))])
    return rows.astype(np.int64), columns.astype(np.int64), weights


def _mollified_lengths(points: NDArray[np.float64], corners: NDArray[np.int64]) -> NDArray[np.float64]:
    """Edge lengths [F, 3], each opposite its corner, that satisfy the triangle inequality with some room."""
    ends = points[corners]
    lengths = np.linalg.norm(np.roll(ends, -1, axis=1) - np.roll(ends, -2, axis=1), axis=2)
    room = 1e-4 * float(lengths.mean())
    short = 2 * lengths.max(axis=1) - lengths.sum(axis=1) + room
    return lengths + max(0.0, float(short.max()))


def _areas(lengths: NDArray[np.float64]) -> NDArray[np.float64]:
    """Heron's formula in Kahan's stable order."""
    c, b, a = np.sort(lengths, axis=1).T
    return 0.25 * np.sqrt(np.maximum((a + (b + c)) * (c - (a - b)) * (c + (a - b)) * (a + (b - c)), 0.0))


def _prolongation(operator: SurfaceOperator) -> sparse.csr_matrix:
    """[V, V_coarse] smoothed aggregation: patches around evenly spread seeds, along the surface."""
    points, count = operator.points, len(operator.points)
    graph = operator.laplacian.copy()
    graph.setdiag(0)
    graph.eliminate_zeros()
    rows, columns = graph.nonzero()
    lengths = np.linalg.norm(points[rows] - points[columns], axis=1) + 1e-9
    graph = sparse.csr_matrix((lengths, (rows, columns)), shape=(count, count))
    # One seed per occupied cell; an area A holds about A / h^2 cells of side h.
    cell = float(np.sqrt(operator.mass.sum() / _COARSE_VERTICES))
    seeds = np.arange(count)
    while len(seeds) > 2 * _COARSE_VERTICES:  # a mesh of loose scraps has little area: take larger cells
        seeds = np.unique(np.floor(points / cell).astype(np.int64), axis=0, return_index=True)[1]
        cell *= 1.5
    _, _, source = dijkstra(graph, directed=True, indices=seeds, min_only=True, return_predecessors=True)
    patch = np.searchsorted(np.sort(seeds), source)
    prolong = sparse.csr_matrix((np.ones(count), (np.arange(count), patch)), shape=(count, len(seeds)))
    smoother = sparse.diags(0.6 / operator.laplacian.diagonal()) @ operator.laplacian
    for _ in range(2):
        prolong = prolong - smoother @ prolong
    return prolong.tocsr()
