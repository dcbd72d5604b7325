"""Samples a mesh: evenly spread vertices, their adjacency along the surface, and the vertices nearest to each."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import dijkstra

from core.geometry.coarse_basis import contracted_faces
from core.geometry.operators import edge_graph

Floats = NDArray[np.float64]
CANDIDATES = 20_000  # vertices among which the samples are chosen


class CoarseSurface(NamedTuple):
    samples: NDArray[np.int64]  # [S] vertices of the mesh
    faces: NDArray[np.int64]  # [G, 3] between samples
    owner: NDArray[np.int64]  # [V] the sample nearest to each vertex, along the surface where a path leads to one
    near: sparse.csr_matrix  # [V, V] mean over a vertex's neighbours, rows sum to 1

    @property
    def neighbours(self) -> sparse.csr_matrix:
        """[S, S] ones where samples adjoin, and on the diagonal."""
        return adjacency(self.faces, len(self.samples))


def coarse_surface(rest: Floats, faces: NDArray[np.integer], count: int) -> CoarseSurface:
    """At most `count` samples of vertices [V, 3] by farthest points, and the vertices that belong to each."""
    vertices = len(rest)
    graph = adjacency(faces, vertices)
    rows, columns = graph.nonzero()
    apart = np.linalg.norm(rest[rows] - rest[columns], axis=1)
    lengths = sparse.csr_matrix((np.maximum(apart, 1e-9), (rows, columns)), shape=graph.shape)
    samples = _spread(rest, min(count, vertices))
    _, _, source = dijkstra(lengths, directed=False, indices=samples, min_only=True, return_predecessors=True)
    place = np.full(vertices, -1)
    place[samples] = np.arange(len(samples))
    owner = np.where(source >= 0, place[source.clip(0)], -1)
    if (lost := np.flatnonzero(owner < 0)).size:  # parts of the mesh too small for a sample
        from scipy.spatial import KDTree

        owner[lost] = KDTree(rest[samples]).query(rest[lost])[1]
    degree = np.asarray(graph.sum(axis=1)).ravel()
    return CoarseSurface(samples, contracted_faces(owner, faces), owner, sparse.diags(1 / degree) @ graph)


def adjacency(faces: NDArray[np.integer], count: int) -> sparse.csr_matrix:
    """[count, count] ones where two vertices share an edge, and on the diagonal."""
    once = edge_graph(faces, count)
    return ((once + once.T + sparse.eye(count)) > 0).astype(np.float64).tocsr()


def _spread(rest: Floats, count: int) -> NDArray[np.int64]:
    chosen = np.arange(len(rest))
    if len(rest) > CANDIDATES:
        chosen = np.sort(np.random.default_rng(0).choice(len(rest), CANDIDATES, replace=False))
    points = np.ascontiguousarray(rest[chosen].T)
    picked = [int(np.square(points - points.mean(axis=1, keepdims=True)).sum(axis=0).argmax())]
    nearest = np.full(points.shape[1], np.inf)
    while len(picked) < count:
        np.minimum(nearest, np.square(points - points[:, picked[-1], None]).sum(axis=0), out=nearest)
        farthest = int(nearest.argmax())
        if nearest[farthest] <= 0:  # the others coincide with chosen ones
            break
        picked.append(farthest)
    return chosen[np.array(picked)]
