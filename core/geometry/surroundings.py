"""What turns along with a handle: the nodes of a surface that are to move as one rigid piece with it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

REACH = 0.1  # of the shape's size: nodes within it turn along, where they are tied to those that carry the handle
TOUCHED = 0.05  # share of a handle in a node from which on the node carries it
FEWEST = 7  # nodes that turn along, where so many are tied to the handle's: of a coarse mesh, beyond its reach
TIED = 1e-3  # of the largest weight of the graph

Indices = NDArray[np.int64]


def surrounding_nodes(
    nodes: NDArray[np.floating],
    weight: NDArray[np.floating],
    shares: NDArray[np.floating],
    places: NDArray[np.floating],
    rows: Sequence[int],
    size: float = 1.0,
) -> list[Indices]:
    """For each of the handles `rows`, the nodes that turn with it, each with one handle only; never none.

    Nodes [P, 3] with symmetric weights [P, P] carry handles at `places` [K, 3] by their `shares` [K, P], at rest.
    """
    if not rows:
        return []
    near = np.linalg.norm(nodes[None] - places[:, None], axis=-1) / size  # [K, P]
    owner = np.where(shares >= TOUCHED, shares, -near).argmax(axis=0)
    found: list[Indices] = []
    for row in rows:
        own = shares[row] >= TOUCHED
        tied = (weight[own] > TIED * weight.max()).any(axis=0) | own
        few = np.sort(near[row][tied])[:FEWEST].max(initial=0.0)
        group = np.flatnonzero((own | (tied & (near[row] <= max(REACH, few)))) & (owner == row))
        found.append(group if len(group) else shares[row].argmax(keepdims=True))
    return found
