"""Finds the nodes that turn along with a handle, as one rigid piece."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from core.quaternions import nearest_rotations

REACH = 0.1  # of the size: nodes within it turn along if they are tied to those that carry the handle
TOUCHED = 0.05  # least share in a handle of a node that carries it
DEPENDENT = 0.3  # least singular value of the handles' shares, as unit vectors, at which they are separate constraints
FEWEST = 7  # nodes that turn along if so many are tied, on a coarse mesh even beyond the reach
CARRIED = 0.12  # least share in some vertex of a region for a node to belong to it
TIED = 1e-3  # of the largest weight of the graph

Indices = NDArray[np.int64]


def surrounding_nodes(
    nodes: NDArray[np.floating],
    weight: NDArray[np.floating],
    shares: NDArray[np.floating],
    places: NDArray[np.floating],
    rows: Sequence[int],
    size: float = 1.0,
    carrying: Mapping[int, Indices] | None = None,
) -> list[Indices]:
    """The nodes that turn with each of the handles `rows`: at least one each, none shared.

    Nodes [P, 3] with symmetric weights [P, P] carry handles at `places` [K, 3] by their `shares` [K, P], at rest.
    `carrying` maps rows with a region to its nodes (see `carrying_nodes`), which are assigned first.
    """
    if not rows:
        return []
    own_nodes = dict(carrying or {})
    near = np.linalg.norm(nodes[None] - places[:, None], axis=-1) / size  # [K, P]
    owner = np.where(shares >= TOUCHED, shares, -near).argmax(axis=0)
    for row, nodes_of in own_nodes.items():
        owner[nodes_of] = row
    found: list[Indices] = []
    for row in rows:
        if row in own_nodes:
            found.append(own_nodes[row][owner[own_nodes[row]] == row])
            continue
        own = shares[row] >= TOUCHED
        tied = (weight[own] > TIED * weight.max()).any(axis=0) | own
        few = np.sort(near[row][tied])[:FEWEST].max(initial=0.0)
        group = np.flatnonzero((own | (tied & (near[row] <= max(REACH, few)))) & (owner == row))
        found.append(group if len(group) else shares[row].argmax(keepdims=True))
    return found


def carrying_nodes(binding: sparse.csr_matrix, region: Indices) -> Indices:
    """Nodes that carry a region's vertices [N] by their `binding` [V, P], enough for it to move as one piece."""
    return np.flatnonzero(np.asarray(binding[region].max(axis=0).todense()).reshape(-1) >= CARRIED)


def hold_together(
    vertices: NDArray[np.floating],
    rest: NDArray[np.floating],
    vertex: int,
    region: Indices,
    turns: NDArray[np.float64],
    keyframe_mask: NDArray[np.bool_],
) -> None:
    """Make a region [N] of vertices [T, V, 3] exactly rigid around its handle's `vertex`, in place.

    It turns by `turns` [T, 3, 3] in the frames [T] of `keyframe_mask`, elsewhere as fits its vertices best.
    """
    arms = rest[region].astype(np.float64) - rest[vertex]
    now = vertices[:, region].astype(np.float64) - vertices[:, None, vertex]
    fit = nearest_rotations(np.einsum("tna,nb->tab", now, arms))
    turn = np.where(keyframe_mask[:, None, None], turns, fit)
    vertices[:, region] = vertices[:, None, vertex] + np.einsum("tab,nb->tna", turn, arms)
