"""Soft as-rigid-as-possible fits of a surface to points (Sorkine and Alexa 2007), and nearest points on it."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Any

import igl
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu

from core.geometry.operators import surface_operator

_MOST_WEIGHT = 10.0  # cotangent weight of an edge; that of a good triangulation is about 1


@dataclass(frozen=True, eq=False)
class Sliding:
    """Lets points [N] move along a surface, as if only their distances across it counted (Chen and Medioni 1992)."""

    normals: NDArray[np.float64]  # [N, 3] of length 1
    along: float  # weight of offsets along the surface, relative to those across it

    def shortened(self, offsets: NDArray[np.float64]) -> NDArray[np.float64]:
        """Offsets [N, 3] with the part along the surface made shorter."""
        across = np.einsum("ni,ni->n", offsets, self.normals)[:, None] * self.normals
        return across + self.along * (offsets - across)


@dataclass(frozen=True, eq=False)
class Attached:
    """A factorised system with the attachments it was made for."""

    factor: Any
    pull: sparse.csr_matrix  # [V, N]: weighted transpose of the attachments
    attachment: sparse.csr_matrix  # [N, V]


class SoftArap:
    """As-rigid-as-possible deformation of vertices [V, 3], faces [F, 3], pulled softly towards points.

    Minimises sum over edges of w_ij |(x_i - x_j) - R_i (p_i - p_j)|^2 + sum over points of c_n |(A x)_n - y_n|^2
    alternately over rotations R (libigl) and positions x. Loose components are tied to their neighbours.
    """

    def __init__(self, vertices: NDArray, faces: NDArray) -> None:
        self.rest = np.asarray(vertices, dtype=np.float64)
        off = sparse.triu(-surface_operator(self.rest, faces).laplacian, k=1).tocoo()
        # Obtuse triangles have negative cotangents, which the energy must not have; slivers huge ones, which freeze it.
        weight = np.clip(off.data, 1e-3, _MOST_WEIGHT)
        self.start, self.end = np.r_[off.row, off.col], np.r_[off.col, off.row]
        self.weight = np.r_[weight, weight]
        self.edges = self.rest[self.start] - self.rest[self.end]
        count = len(self.rest)
        diagonal = np.bincount(self.start, self.weight, count)
        self._corner = np.r_[self.start, np.arange(count)], np.r_[self.end, np.arange(count)]
        # A trace of mass keeps the system regular where all weights vanish.
        self._laplacian = np.r_[-self.weight, diagonal + 1e-9]
        self._turning = self._turned()

    def at_rest_in(self, pose: NDArray[np.float64]) -> SoftArap:
        """A copy whose rest shape is `pose` [V, 3]; edge weights stay."""
        other = copy(self)
        other.rest, other.edges = pose, pose[self.start] - pose[self.end]
        other._turning = other._turned()
        return other

    def attached(self, attachment: sparse.csr_matrix, weights: NDArray[np.float64]) -> Attached:
        """Factorise for attachments [N, V] with weights [N], each to at most a few vertices."""
        count = len(self.rest)
        pull = attachment.T.multiply(weights).tocsr()
        held = (pull @ attachment).tocoo()
        rows, columns = np.r_[self._corner[0], held.row], np.r_[self._corner[1], held.col]
        system = sparse.csc_matrix((np.r_[self._laplacian, held.data], (rows, columns)), (count, count))
        return Attached(_factorised(system), pull, attachment)

    def fit(
        self, start: NDArray, attached: Attached, targets: NDArray, iterations: int, sliding: Sliding | None = None
    ) -> NDArray[np.float64]:
        """Positions [V, 3] after `iterations` from `start`, pulled towards targets [N, 3]."""
        positions = start
        pulled = attached.pull @ targets
        turning = self._turning
        for _ in range(iterations):
            if sliding is not None:
                here = attached.attachment @ positions
                pulled = attached.pull @ (here + sliding.shortened(targets - here))
            # libigl wants all first rows, then all second, then all third; it gives rotations side by side.
            turns = igl.fit_rotations(turning @ positions).reshape(3, -1, 3).transpose(2, 1, 0)
            positions = attached.factor.solve(0.5 * (turning.T @ turns.reshape(-1, 3)) + pulled)
        return positions

    def stretch(self, pose: NDArray[np.float64]) -> float:
        """Mean relative change of the edges' lengths in positions [V, 3]."""
        length = np.linalg.norm(pose[self.start] - pose[self.end], axis=1)
        return float(np.abs(length / np.linalg.norm(self.edges, axis=1).clip(1e-9) - 1).mean())

    def _turned(self) -> sparse.csr_matrix:
        """[3V, V] that gives the covariances of all vertices' edges, at rest and now, from positions [V, 3].

        Its transpose takes rotations of the vertices to the right side of Poisson's equation, in which each edge turns
        by the mean of both its ends'.
        """
        count = len(self.rest)
        along = self.weight[:, None] * self.edges
        own = np.stack([np.bincount(self.start, along[:, axis], count) for axis in range(3)], axis=1)
        axes = count * np.arange(3)
        values = np.concatenate([-along, own])
        rows = (self._corner[0][:, None] + axes).ravel()
        columns = np.repeat(self._corner[1], 3)
        return sparse.csr_matrix((values.ravel(), (rows, columns)), (3 * count, count))


def _factorised(system: sparse.csc_matrix) -> Any:
    """SuperLU of a symmetric positive definite matrix: without pivoting it is ten times as fast."""
    return splu(system, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})


def closest(vertices: NDArray, faces: NDArray, points: NDArray) -> tuple[sparse.csr_matrix, NDArray[np.float64]]:
    """Attachments [N, V] (barycentric weights of each point's nearest surface point) and distances [N]."""
    surface, corners = np.ascontiguousarray(vertices, dtype=np.float64), np.ascontiguousarray(faces, dtype=np.int64)
    places = np.ascontiguousarray(points, dtype=np.float64)
    squared, face, nearest = igl.point_mesh_squared_distance(places, surface, corners)
    a, b, c = (np.ascontiguousarray(surface[corners[face, corner]]) for corner in range(3))
    weights = np.nan_to_num(igl.barycentric_coordinates(nearest, a, b, c), nan=1 / 3)
    rows = np.repeat(np.arange(len(places)), 3)
    matrix = sparse.csr_matrix((weights.ravel(), (rows, corners[face].ravel())), (len(places), len(surface)))
    return matrix, np.sqrt(squared)


def simplified(vertices: NDArray, faces: NDArray, most_faces: int) -> tuple[NDArray, NDArray]:
    """A closed surface with at most about that many faces."""
    if len(faces) <= most_faces:
        return vertices, faces
    fewer, left, *_ = igl.qslim(np.asfortranarray(vertices), np.asfortranarray(faces, dtype=np.int32), most_faces)
    # libigl gives up on surfaces that are not manifold.
    return compacted(fewer, left.astype(np.int64)) if len(left) and np.isfinite(fewer).all() else (vertices, faces)


def compacted(points: NDArray, corners: NDArray) -> tuple[NDArray, NDArray]:
    """Drop vertices that no face uses."""
    used, renamed = np.unique(corners, return_inverse=True)
    return points[used], renamed.reshape(-1, 3)
