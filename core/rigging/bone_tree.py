"""Joins bones into a tree: each one's parent, and the joint between them.

A joint of two bones that share a border lies where they move least against each other. The tree uses the joints that
slip least and the longest borders; its root is the bone with equally much surface on all sides.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree
from scipy.spatial.distance import cdist

Floats = NDArray[np.float64]
HOLD = 3e-3  # pulls a joint to the middle of the border if the motion does not determine it
HOLD_TURNING = 0.05  # the same, in units of how much the bones turn against each other
TOLERATED = 0.004  # slip, in units of the size, below which the length of the border decides
FARTHEST = 0.05  # largest distance of a joint from the middle of the border
FEW = 0.01  # of a bone: least length that a border counts for
KNOWN = 0.02  # factor on the cost of joining bones that are joined in the guide


class Known(NamedTuple):
    """What a guide says about B bones: the region of each [B], and the tree of the regions with their joints."""

    region: NDArray[np.int64]
    parents: NDArray[np.int64]
    places: Floats

    def link(self, one: int, other: int) -> int:
        """The child of two bones' regions if one is the other's parent, -1 if not, -2 within one region."""
        a, b = self.region[one], self.region[other]
        if a == b:
            return -2
        return int(a) if self.parents[a] == b else int(b) if self.parents[b] == a else -1


def bone_tree(
    rest: Floats,
    weights: Floats,
    rotation: Floats,
    translation: Floats,
    neighbours: sparse.csr_matrix,
    known: Known | None = None,
) -> tuple[NDArray[np.int64], Floats, NDArray[np.int64]]:
    """Parents [B] (parents before children, -1 for the root, which is first), joints [B, 3], and each row's bone [B].

    Samples at rest [S, 3], of a shape of size about 1, follow B bones with weights [S, B]; bones move by R [T, B, 3, 3]
    and t [T, B, 3]. `neighbours` [S, S] says which samples adjoin; `known` is what a guide says, which comes first.
    """
    count = weights.shape[1]
    mean = sparse.diags(1 / np.asarray(neighbours.sum(axis=1)).ravel()) @ neighbours
    beside = mean @ weights
    mass = weights.sum(axis=0).clip(1e-9)
    owner = weights.argmax(axis=1)
    cost, joints = np.zeros((count, count)), np.zeros((count, count, 3))
    for a in range(count):
        for b in range(a):
            shared = weights[:, a] * beside[:, b] + weights[:, b] * beside[:, a]
            border = max(shared.sum(), 1e-9)
            link = -1 if known is None else known.link(a, b)
            if border < 1e-6 and link == -1:
                continue
            turning, apart = rotation[:, a] - rotation[:, b], translation[:, a] - translation[:, b]
            middle = shared @ rest / border
            if known is not None and link >= 0 and np.isfinite(known.places[link]).all():
                middle = known.places[link]
            elif border < 1e-6:  # loose pieces of one region
                middle = _between(rest[owner == a], rest[owner == b])
            joint, slip = _joint(middle, turning, apart)
            joints[a, b] = joints[b, a] = joint
            cost[a, b] = (slip + TOLERATED) * min(mass[a], mass[b]) / max(border, FEW * min(mass[a], mass[b]))
            cost[a, b] *= {-1: 1.0, -2: KNOWN**2}.get(link, KNOWN)  # pieces of one region are joined first
    _bridge(cost, joints, rest, weights)
    tree = minimum_spanning_tree(sparse.csr_matrix(cost))
    links = ((tree + tree.T) > 0).astype(float)
    steps = sparse.csgraph.shortest_path(links, unweighted=True)
    far = steps @ mass
    if known is not None:
        far[known.parents[known.region] >= 0] = np.inf
    root = int(far.argmin())
    order, before = breadth_first_order(links, root, directed=False)
    place = np.empty(count, np.int64)
    place[order] = np.arange(count)
    parents = np.array([-1, *(place[before[bone]] for bone in order[1:])], dtype=np.int64)
    middle = weights[:, root] @ rest / mass[root]
    places = np.array([middle, *(joints[bone, before[bone]] for bone in order[1:])])
    return parents, places, order.astype(np.int64)


def _between(one: Floats, other: Floats) -> Floats:
    """The middle of the gap between two sets of points where it is narrowest; the other set's mean if one is empty."""
    if not len(one) or not len(other):
        return np.concatenate([one, other]).mean(axis=0)
    near = np.unravel_index(cdist(one, other).argmin(), (len(one), len(other)))
    result: Floats = (one[near[0]] + other[near[1]]) / 2
    return result


def _joint(middle: Floats, turning: Floats, apart: Floats) -> tuple[Floats, float]:
    """The point near the middle of their border that two bones move alike, and the remaining slip.

    The bones' maps differ by `turning` [T, 3, 3] and `apart` [T, 3].
    """
    normal = np.einsum("tij,tik->jk", turning, turning) / len(turning)
    hold = HOLD + HOLD_TURNING * np.trace(normal)
    missed = turning @ middle + apart
    step = -np.linalg.solve(normal + hold * np.eye(3), np.einsum("tij,ti->j", turning, missed) / len(turning))
    step *= min(1.0, FARTHEST / max(float(np.linalg.norm(step)), 1e-9))
    slip = np.square(missed + turning @ step).sum(axis=-1).mean()
    return middle + step, float(np.sqrt(slip))


def _bridge(cost: Floats, joints: Floats, rest: Floats, weights: Floats) -> None:
    """Join parts without a common border, such as a loose eye and the head, where they are closest (in place)."""
    owner = weights.argmax(axis=1)
    places = [rest[owner == bone] if (owner == bone).any() else rest for bone in range(len(cost))]
    while True:
        pieces, piece = sparse.csgraph.connected_components(sparse.csr_matrix(cost), directed=False)
        if pieces == 1:
            return
        inside = np.flatnonzero(piece == piece[0])
        best = (np.inf, 0, 0, rest[0])
        for b in np.flatnonzero(piece != piece[0]):
            for a in inside:
                apart = cdist(places[a], places[b])
                if apart.min() < best[0]:
                    best = (float(apart.min()), int(a), int(b), places[b][apart.min(axis=0).argmin()])
        _, one, other, joint = best
        joints[one, other] = joints[other, one] = joint
        cost[max(one, other), min(one, other)] = 1e3
