"""Binds a mesh's vertices to nodes of its surface: an embedded deformation that keeps loose parts whole.

A vertex follows the rotations and positions of the nodes nearest to it along the surface (Sumner et al. 2007). A part
of the mesh that is connected only to itself, such as an eye, a button or a plate, and that is too small for nodes
of its own, takes one common set of weights, so that it moves rigidly with what it touches.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from core.sequence import Normalization

NEAREST = 6  # nodes that a vertex rides on
_CHUNK = 1 << 18  # vertices times frames that are carried at a time: what a product leaves stays in the cache
_BOUND = 20_000  # vertices that are bound at a time
OWN_NODES = 4  # a loose part with fewer nodes than this moves as one piece


def bind_vertices(
    vertices: NDArray[np.floating],
    nodes: NDArray[np.floating],
    distance: NDArray[np.floating] | None,
    components: NDArray[np.integer],
    node_component: NDArray[np.integer],
) -> sparse.csr_matrix:
    """Weights [V, P] that sum to 1 over a vertex's nodes.

    `distance` [P, V] is the one along the surface, where it is known, else straight. `components` [V] and
    `node_component` [P] say which connected part of the mesh a vertex or a node lies on.
    """
    count = min(NEAREST + 1, len(nodes))
    index = np.empty((len(vertices), count), dtype=np.int32)
    weight = np.empty((len(vertices), count), dtype=np.float32)
    enough = np.bincount(node_component, minlength=components.max() + 1) >= OWN_NODES
    tree = KDTree(nodes)
    for start in range(0, len(vertices), _BOUND):
        some = slice(start, start + _BOUND)
        if distance is None:
            apart, near = (np.asarray(x).reshape(-1, count) for x in tree.query(vertices[some], count))
        else:
            own = node_component[None] == components[some, None]
            # Other parts only where there is no own.
            table = distance[:, some].T + np.where(own | ~enough[components[some], None], 0.0, 10.0)
            near = np.argpartition(table, count - 1, axis=1)[:, :count]
            apart = np.take_along_axis(table, near, axis=1)
        index[some], weight[some] = _falling_off(near, apart)
    bounds = np.arange(len(vertices) + 1, dtype=np.int32) * count
    weights = sparse.csr_matrix((weight.reshape(-1), index.reshape(-1), bounds), shape=(len(vertices), len(nodes)))
    weights.sort_indices()
    return _whole_parts(weights, vertices, components, node_component)


def _falling_off(
    near: NDArray[np.integer], apart: NDArray[np.floating]
) -> tuple[NDArray[np.integer], NDArray[np.floating]]:
    """Nodes [V, n] in order of their distance, and weights that fall off with it and sum to 1."""
    order = np.argsort(apart, axis=1)
    near, apart = np.take_along_axis(near, order, 1), np.take_along_axis(apart, order, 1)
    # The farthest only says where the weights are to vanish, so that they are continuous over the surface.
    reach = apart[:, -1:].clip(1e-9)
    share = (1.0 - apart / reach).clip(0) ** 2 * np.exp(-2.0 * (apart / reach) ** 2)
    share[:, 0] += 1e-9
    return near, share / share.sum(axis=1, keepdims=True)


def _whole_parts(
    weights: sparse.csr_matrix,
    vertices: NDArray[np.floating],
    components: NDArray[np.integer],
    node_component: NDArray[np.integer],
) -> sparse.csr_matrix:
    """Every loose part with too few nodes rides on one node, that which moves what it touches most.

    Several would turn it differently, and a mean of rotations shrinks.
    """
    nodes_of = np.bincount(node_component, minlength=components.max() + 1)
    small = np.flatnonzero(nodes_of[: components.max() + 1] < OWN_NODES)
    if not len(small) or len(small) == components.max() + 1:
        return weights
    large = np.flatnonzero(~np.isin(components, small))
    if not len(large):
        return weights
    tree, order = KDTree(vertices[large]), np.argsort(components, kind="stable")
    bounds = np.searchsorted(components[order], np.arange(components.max() + 2))
    carrier = np.zeros(len(vertices), dtype=np.int64)
    for part in small:
        mine = order[bounds[part] : bounds[part + 1]]
        apart, near = tree.query(vertices[mine])
        touching = np.argsort(apart)[: max(1, min(len(mine), 8))]
        carrier[mine] = np.asarray(weights[large[np.asarray(near)[touching]]].mean(axis=0)).argmax()
    loose = np.isin(components, small)
    kept = sparse.diags((~loose).astype(float)) @ weights
    rows = np.flatnonzero(loose)
    whole = sparse.csr_matrix((np.ones(len(rows)), (rows, carrier[rows])), shape=weights.shape)
    return (kept + whole).tocsr()


def mesh_components(faces: NDArray[np.integer], count: int) -> NDArray[np.int32]:
    """The number of the connected part that each of `count` vertices lies on [V]."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]]])
    graph = sparse.coo_matrix((np.ones(len(edges), np.int8), (edges[:, 0], edges[:, 1])), shape=(count, count))
    return connected_components(graph, directed=False)[1]


def carry_vertices(
    weights: sparse.csr_matrix,
    vertices: NDArray[np.floating],
    nodes: NDArray[np.floating],
    moved: NDArray[np.floating],
    rotations: NDArray[np.floating],
    normalization: Normalization | None = None,
) -> NDArray[np.float32]:
    """Vertices [T, V, 3] from nodes moved to [T, P, 3] and turned by [T, P, 3, 3]; exact for rigid motion.

    With a `normalization` they come in the units that it is from. A vertex is linear in the maps of its nodes, with its
    own place times their weights as coefficients; some vertices at a time, so that nothing but the result is large.
    """
    frames, count = moved.shape[:2]
    constant = moved - np.einsum("tpij,pj->tpi", rotations, nodes)
    maps = np.concatenate([rotations, constant[..., None]], axis=-1).astype(np.float32)  # [T, P, 3, 4]
    columns = maps.transpose(1, 3, 0, 2).reshape(count * 4, frames * 3)
    places = np.concatenate([vertices, np.ones((len(vertices), 1))], axis=1, dtype=np.float32)
    weights = weights.astype(np.float32, copy=False)
    result = np.empty((frames, len(vertices), 3), dtype=np.float32)
    step = max(1, _CHUNK // frames)
    for start in range(0, len(vertices), step):
        chunk = slice(start, start + step)
        carried = (_times_places(weights[chunk], places[chunk]) @ columns).reshape(-1, frames, 3).transpose(1, 0, 2)
        result[:, chunk] = carried if normalization is None else normalization.invert(carried)
    return result


def _times_places(weights: sparse.csr_matrix, places: NDArray[np.float32]) -> sparse.csr_matrix:
    """[V, 4 P]: each weight [V, P] four times, times the vertex's x, y, z and 1 in `places` [V, 4]."""
    row = np.repeat(np.arange(len(places)), np.diff(weights.indptr))
    values = (weights.data[:, None] * places[row]).reshape(-1)
    columns = (weights.indices[:, None] * 4 + np.arange(4, dtype=weights.indices.dtype)).reshape(-1)
    return sparse.csr_matrix((values, columns, weights.indptr * 4), shape=(len(places), weights.shape[1] * 4))
