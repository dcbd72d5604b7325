"""Binds a mesh's vertices to nodes of its surface: an embedded deformation that keeps loose parts whole.

A vertex follows the rotations and positions of the nodes nearest to it along the surface (Sumner et al. 2007). A loose
part with few nodes of its own (a shin, an eye, a plate) rides on one of them, so that it moves rigidly; one without any
(a screw) on the node of what it touches.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import breadth_first_order, connected_components, minimum_spanning_tree
from scipy.spatial import KDTree

from core.sequence import Normalization

NEAREST = 6  # nodes that a vertex rides on
_CHUNK = 1 << 18  # vertices times frames per block, small enough for the cache
_BOUND = 20_000  # vertices bound at a time
TOUCHING, SEEN = 8, 24  # vertices of a loose part that choose its node, and that choose the part it hangs on
FOREIGN = 10.0  # added to the distance of other parts' nodes; a mesh's size is 1
OWN_NODES = 4  # a loose part with fewer nodes than this moves as one piece


def bind_vertices(
    vertices: NDArray[np.floating],
    nodes: NDArray[np.floating],
    distance: NDArray[np.floating] | None,
    components: NDArray[np.integer],
    node_component: NDArray[np.integer],
) -> sparse.csr_matrix:
    """Weights [V, P] of the nodes for each vertex; rows sum to 1.

    `distance` [P, V] is measured along the surface; without it, straight distances are used. `components` [V] and
    `node_component` [P] are the connected parts of the mesh on which vertices and nodes lie.
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
            # Nodes of other parts are used only where a part has too few of its own.
            table = distance[:, some].T + np.where(own | ~enough[components[some], None], 0.0, FOREIGN)
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
    # The farthest node only sets where weights reach zero, which keeps them continuous over the surface. Nodes of other
    # parts do not count here: with a reach as long as FOREIGN, all vertices of the part would get the same weights.
    reach = np.where(apart < FOREIGN, apart, 0.0).max(axis=1, keepdims=True).clip(1e-9)
    share = (1.0 - apart / reach).clip(0) ** 2 * np.exp(-2.0 * (apart / reach) ** 2)
    share[:, 0] += 1e-9
    return near, share / share.sum(axis=1, keepdims=True)


def _whole_parts(
    weights: sparse.csr_matrix,
    vertices: NDArray[np.floating],
    components: NDArray[np.integer],
    node_component: NDArray[np.integer],
) -> sparse.csr_matrix:
    """Bind each loose part with few nodes to a single node.

    That is the one of its own nodes that carries most of it, or for a part without nodes, the one that carries most of
    what it touches. Several nodes would blend several rotations, and a blend of rotations shrinks.
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
    members = [order[bounds[part] : bounds[part + 1]] for part in small]
    touching = [tree.query(vertices[mine]) for mine in members]
    carrier = np.zeros(len(vertices), dtype=np.int64)
    for part, host in _hosts([vertices[mine] for mine in members], [float(apart.min()) for apart, _ in touching]):
        own = np.flatnonzero(node_component == small[part])
        if len(own):
            carrier[members[part]] = own[np.asarray(weights[members[part]][:, own].mean(axis=0)).argmax()]
            continue
        if host >= 0:
            carrier[members[part]] = carrier[members[host][0]]
            continue
        apart, near = touching[part]
        nearest = np.asarray(near)[np.argsort(apart)[:TOUCHING]]
        carrier[members[part]] = np.asarray(weights[large[nearest]].mean(axis=0)).argmax()
    loose = np.isin(components, small)
    kept = sparse.diags((~loose).astype(float)) @ weights
    rows = np.flatnonzero(loose)
    whole = sparse.csr_matrix((np.ones(len(rows)), (rows, carrier[rows])), shape=weights.shape)
    return (kept + whole).tocsr()


def _hosts(parts: list[NDArray[np.floating]], gaps: list[float]) -> list[tuple[int, int]]:
    """Pairs (part, the part it hangs on, or -1 for the body), hosts before the parts that hang on them.

    `gaps` are the parts' distances from the body. Hosts follow from the minimum spanning tree over a few points of each
    part, so that a finger hangs on its palm even where the thigh is near.
    """
    some = [points[np.linspace(0, len(points) - 1, min(SEEN, len(points))).astype(int)] for points in parts]
    owner = np.repeat(np.arange(len(some)), [len(points) for points in some])
    places = np.concatenate(some)
    apart, near = KDTree(places).query(places, min(3 * SEEN, len(places)))
    body = len(parts)
    a, b = np.repeat(owner, np.shape(near)[1]), owner[np.asarray(near).reshape(-1)]
    link = (np.minimum(a, b) * body + np.maximum(a, b))[a != b]
    lengths = np.asarray(apart).reshape(-1)[a != b]
    order = np.lexsort((lengths, link))
    shortest = order[np.diff(link[order], prepend=-1) > 0]
    rows = np.concatenate([link[shortest] // body, np.arange(body)])
    columns = np.concatenate([link[shortest] % body, np.full(body, body)])
    values = np.concatenate([lengths[shortest], gaps]) + 1e-6  # a sparse zero would be no link
    tree = minimum_spanning_tree(sparse.csr_matrix((values, (rows, columns)), shape=(body + 1, body + 1)))
    reached, hosts = breadth_first_order(tree, body, directed=False)
    return [(int(part), -1 if hosts[part] == body else int(hosts[part])) for part in reached[1:]]


def mesh_components(faces: NDArray[np.integer], count: int) -> NDArray[np.int32]:
    """[V] the connected component of each of `count` vertices."""
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

    With a `normalization` the result is in its source units. Works in blocks of vertices, so that only the result is
    large.
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
    """[V, 4 P]: each weight [V, P] times the vertex's homogeneous position in `places` [V, 4]."""
    row = np.repeat(np.arange(len(places)), np.diff(weights.indptr))
    values = (weights.data[:, None] * places[row]).reshape(-1)
    columns = (weights.indices[:, None] * 4 + np.arange(4, dtype=weights.indices.dtype)).reshape(-1)
    return sparse.csr_matrix((values, columns, weights.indptr * 4), shape=(len(places), weights.shape[1] * 4))
