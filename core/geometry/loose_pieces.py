"""Loose pieces of a mesh: connected parts that do not bend, such as a robot's forearm, a plate, a wheel or an eye."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PIECE = 0.45  # of the size: connected parts smaller than this, of a mesh of several, move as one piece
COMPACT, BULK = 0.6, 0.8  # compact parts, such as a head with its hat, may be larger than limbs
STIFFNESS = 30.0  # factor on edges within a piece


def loose_pieces(
    rest: NDArray[np.floating], components: NDArray[np.integer], node_component: NDArray[np.integer]
) -> NDArray[np.int64]:
    """[P] the piece that each node belongs to, -1 for nodes that bend, which are all in a mesh of one or two parts.

    Vertices [V, 3] of a mesh whose size is 1 lie on connected parts `components` [V], nodes on `node_component` [P].
    """
    result = np.full(len(node_component), -1)
    if components.max() < 2:
        return result
    for part in np.unique(node_component):
        sides = np.ptp(rest[components == part], axis=0)
        if np.linalg.norm(sides) < (BULK if sides.min() > COMPACT * sides.max() else PIECE):
            result[node_component == part] = part
    return result


def stiffened(weight: NDArray[np.floating], pieces: NDArray[np.integer]) -> NDArray[np.floating]:
    """Edge weights [P, P] with those inside pieces made stiff."""
    return np.where(_same(pieces), weight * STIFFNESS, weight)


def turning_together(pieces: NDArray[np.integer]) -> NDArray[np.float64] | None:
    """[P, P]: 1 between nodes that turn as one, a node with itself too; None where none do."""
    same = _same(pieces)
    return (same | np.eye(len(pieces), dtype=bool)).astype(np.float64) if same.any() else None


def _same(pieces: NDArray[np.integer]) -> NDArray[np.bool_]:
    result: NDArray[np.bool_] = (pieces[:, None] == pieces[None]) & (pieces >= 0)[:, None]
    return result
