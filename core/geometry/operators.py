"""Discrete operators on any triangle mesh: a cotangent Laplacian that joins loose components, and its solver.

All quantities are in units of the shape's longest side, so results do not depend on the file's units.
"""

from __future__ import annotations

from dataclasses import dataclass

import igl
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from core.geometry.coarse_basis import coarse_basis

# Above this many vertices a factorisation takes seconds; fields are then solved for at the second number of them.
DIRECT_VERTICES = 30_000
_COARSE_VERTICES = 6_000
# Components closer than this (fraction of size) are tied vertex by vertex, as a shirt is to a body.
_LINK_DISTANCE = 0.03
_LINKS_PER_LOOSE_GROUP = 8


@dataclass(frozen=True, eq=False)
class SurfaceOperator:
    """`laplacian` [V, V] (positive semi-definite, kernel = constants), lumped `mass` [V], unit-size `points` [V, 3] and
    `faces` [F, 3] without those that name a vertex twice.
    """

    points: NDArray[np.float64]
    faces: NDArray[np.int64]
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
    return SurfaceOperator(points, corners, laplacian.tocsr(), mass, size)


class ScreenedSolver:
    """Green's functions of the screened bending energy |(L + kappa^2 M) u|^2; a length of 1 / kappa is where they fade.

    On large meshes they are found among mixtures of a few thousand vertices' values, the handles' among them; the
    columns are these values, and `spread` makes them fields.
    """

    def __init__(self, operator: SurfaceOperator, kappa: float, handles: NDArray[np.int64]) -> None:
        self.handles = handles
        self._basis: sparse.csr_matrix | None = None
        matrix = operator.laplacian + sparse.diags(kappa**2 * operator.mass)
        mass = sparse.diags(operator.mass).tocsr()
        if len(operator.mass) > DIRECT_VERTICES:
            basis = coarse_basis(operator.points, operator.faces, operator.laplacian, handles, _COARSE_VERTICES)
            matrix, mass = (basis.T @ (whole @ basis) for whole in (matrix, mass))
            self._basis = basis
        self._factor, self._mass = _Factor(matrix), mass

    def columns(self, free_constant: bool) -> NDArray[np.float64]:
        """[N, K] columns of A^-1 M A^-1 at the handles; with `free_constant` on the space of zero mean."""
        weight = np.asarray(self._mass.sum(axis=1))  # [N, 1]
        sources = np.zeros((len(weight), len(self.handles)))
        if self._basis is None:
            sources[self.handles, np.arange(len(self.handles))] = 1.0
        else:
            sources[:] = self._basis[self.handles].T.toarray()
        if free_constant:
            sources -= weight / weight.sum()
        first = self._factor.solve(sources)
        if free_constant:
            first -= (weight * first).sum(axis=0) / weight.sum()
        return self._factor.solve(self._mass @ first)

    def spread(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        """[V, C] the fields of columns [N, C]."""
        return columns if self._basis is None else self._basis @ columns

    def at_handles(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        """[K, C] the values of columns [N, C] at the handles."""
        return columns[self.handles] if self._basis is None else self._basis[self.handles] @ columns


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
