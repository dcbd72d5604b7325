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

NEAREST = 6  # nodes that a vertex rides on
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
    index = np.empty((len(vertices), count), dtype=np.int64)
    apart = np.empty((len(vertices), count))
    if distance is None:
        apart, index = (np.asarray(x).reshape(len(vertices), count) for x in KDTree(nodes).query(vertices, count))
    else:
        own = node_component[:, None] == components[None]
        enough = np.bincount(node_component, minlength=components.max() + 1)[components] >= OWN_NODES
        table = np.where(own | ~enough[None], distance, distance + 10.0).T  # other parts only where there is no own
        index = np.argpartition(table, count - 1, axis=1)[:, :count]
        apart = np.take_along_axis(table, index, axis=1)
    order = np.argsort(apart, axis=1)
    index, apart = np.take_along_axis(index, order, 1), np.take_along_axis(apart, order, 1)
    # The farthest only says where the weights are to vanish, so that they are continuous over the surface.
    reach = apart[:, -1:].clip(1e-9)
    share = (1.0 - apart / reach).clip(0) ** 2 * np.exp(-2.0 * (apart / reach) ** 2)
    share[:, 0] += 1e-9
    rows = np.repeat(np.arange(len(vertices)), count)
    weights = sparse.csr_matrix(
        ((share / share.sum(axis=1, keepdims=True)).reshape(-1), (rows, index.reshape(-1))),
        shape=(len(vertices), len(nodes)),
    )
    return _whole_parts(weights, vertices, components, node_component)


def _whole_parts(
    weights: sparse.csr_matrix,
    vertices: NDArray[np.floating],
    components: NDArray[np.integer],
    node_component: NDArray[np.integer],
) -> sparse.csr_matrix:
    """One set of weights for every loose part with too few nodes: those of the vertices where it touches others."""
    nodes_of = np.bincount(node_component, minlength=components.max() + 1)
    small = np.flatnonzero(nodes_of[: components.max() + 1] < OWN_NODES)
    if not len(small) or len(small) == components.max() + 1:
        return weights
    large = np.flatnonzero(~np.isin(components, small))
    if not len(large):
        return weights
    tree, order = KDTree(vertices[large]), np.argsort(components, kind="stable")
    bounds = np.searchsorted(components[order], np.arange(components.max() + 2))
    rows, columns, values = [], [], []
    for part in small:
        mine = order[bounds[part] : bounds[part + 1]]
        apart, near = tree.query(vertices[mine])
        touching = np.argsort(apart)[: max(1, min(len(mine), 8))]
        common = np.asarray(weights[large[np.asarray(near)[touching]]].mean(axis=0)).reshape(-1)
        used = np.flatnonzero(common > 1e-4)
        rows.append(np.repeat(mine, len(used)))
        columns.append(np.tile(used, len(mine)))
        values.append(np.tile(common[used] / common[used].sum(), len(mine)))
    kept = sparse.diags((~np.isin(components, small)).astype(float)) @ weights
    flat = [np.concatenate(part) for part in (values, rows, columns)]
    return (kept + sparse.csr_matrix((flat[0], (flat[1], flat[2])), shape=weights.shape)).tocsr()


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
) -> NDArray[np.float32]:
    """Vertices [T, V, 3] from nodes moved to [T, P, 3] and turned by [T, P, 3, 3]; exact for rigid motion."""
    frames, count = moved.shape[:2]
    constant = moved - np.einsum("tpij,pj->tpi", rotations, nodes)
    columns = np.concatenate([rotations.reshape(frames, count, 9), constant], axis=-1)  # [T, P, 12]
    flat = np.ascontiguousarray(columns.transpose(1, 0, 2).reshape(count, frames * 12), dtype=np.float32)
    blended = (weights.astype(np.float32) @ flat).reshape(-1, frames, 12)
    linear = blended[..., :9].reshape(-1, frames, 3, 3)
    result = np.einsum("vtij,vj->tvi", linear, np.asarray(vertices, np.float32), optimize=True)
    return result + blended[..., 9:].transpose(1, 0, 2)
