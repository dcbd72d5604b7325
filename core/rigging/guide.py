"""A known skeleton as a model for a new one: its hierarchy, its joints, and the samples that belong to each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from core.geometry.skeleton import ancestry

Floats = NDArray[np.float64]
LEAST = 6  # samples of a bone
ABSORBED = 8 * LEAST  # samples below which a joint is merged into its smaller parent
APART = 20  # samples from which on an island is a limb of its own
SMOOTH = 2  # rounds of averaging weights over neighbours before each sample gets its part


@dataclass(frozen=True, eq=False)
class Guide:
    """A skeleton of J joints on a mesh, in normalised space.

    `parents` [J] is -1 for the one root, and `places` [J, 3] are the joints. Vertices follow joints with the weights
    `binding` [V, P] times `shares` [P, J]. `named` gives each joint's part and side, such as ("wing", "left") or
    ("tail", ""); empty if unknown.
    """

    name: str  # of the model it comes from, to be shown
    parents: NDArray[np.int64]
    places: Floats
    binding: sparse.csr_matrix
    shares: NDArray[np.floating]
    named: tuple[tuple[str, str], ...]
    heading: float  # angle about Y from +Z to where the body faces

    def weights(self, vertices: NDArray[np.int64]) -> Floats:
        """Weights [S, J] of these vertices; rows sum to 1."""
        dense = np.asarray(self.binding[vertices] @ self.shares, np.float64)
        return dense / dense.sum(axis=1, keepdims=True).clip(1e-9)


class Regions(NamedTuple):
    """The samples of a surface, divided among the B joints of a guide that have samples."""

    label: NDArray[np.int64]  # [S]
    parents: NDArray[np.int64]  # [B]
    places: Floats  # [B, 3] joints; not a number where the guide has none
    named: tuple[tuple[str, str], ...]  # [B]


def guided_regions(guide: Guide, vertices: NDArray[np.int64], neighbours: sparse.csr_matrix, most: int) -> Regions:
    """Divide samples, which are `vertices` [S], into at most `most` regions; the smallest joints join their parents."""
    weights = guide.weights(vertices)
    mean = sparse.diags(1 / np.asarray(neighbours.sum(axis=1)).ravel()) @ neighbours
    for _ in range(SMOOTH):
        weights = mean @ weights
    label = _without_specks(weights.argmax(axis=1), neighbours)
    parents = guide.parents.copy()
    left = np.ones(len(parents), bool)

    def join(one: int, into: int) -> None:
        label[label == one] = into
        parents[parents == one] = into
        left[one] = False

    while left.sum() > 1:
        size = np.where(left, np.bincount(label, minlength=len(parents)), len(label) + 1)
        leaf = left & ~np.isin(np.arange(len(parents)), parents[left])
        smallest = int(size.argmin())
        if size[smallest] >= LEAST:
            if left.sum() <= most:
                break
            smallest = int(np.where(leaf, size, len(label) + 1).argmin())
        below = np.flatnonzero(left & (parents == smallest))
        middle = [joint for joint in below if not guide.named[joint][1]]
        if parents[smallest] < 0:  # the root absorbs a child, if possible of its own kind, else on the midline
            own = [joint for joint in middle if guide.named[joint] == guide.named[smallest]]
            join(int(max(own or middle or below, key=lambda joint: size[joint])), smallest)
        elif len(below) and size[below].min() < ABSORBED:  # as a hand absorbs its fingers
            join(int(below[size[below].argmin()]), smallest)
        else:
            join(smallest, int(parents[smallest]))
    kept = np.flatnonzero(left)
    number = np.full(len(parents) + 1, -1)
    number[kept] = np.arange(len(kept))
    named = tuple(guide.named[joint] for joint in kept)
    return _limbs_apart(Regions(number[label], number[parents[kept]], guide.places[kept], named), neighbours, most)


def _limbs_apart(regions: Regions, neighbours: sparse.csr_matrix, most: int) -> Regions:
    """Separate limbs that share one limb of the guide, such as two neighbouring legs of a spider.

    An island of a region becomes a region of its own if it adjoins a region nearer to the root, which is its parent.
    """
    label, parents, named = regions.label, list(regions.parents), list(regions.named)
    rows, columns = neighbours.nonzero()
    same = label[rows] == label[columns]
    graph = sparse.csr_matrix((np.ones(same.sum()), (rows[same], columns[same])), shape=neighbours.shape)
    island = connected_components(graph, directed=False)[1]
    size = np.bincount(island)
    home = np.zeros(len(size), np.int64)
    home[island] = label
    depth = np.array([len(ancestry(regions.parents, region)) for region in range(len(parents))])
    largest = {int(max(np.flatnonzero(home == region), key=lambda one: size[one])) for region in np.unique(home)}
    region_of = home.copy()
    for one in sorted(range(len(size)), key=lambda one: (depth[home[one]], -size[one])):
        around = np.unique(island[columns[(island[rows] == one) & ~same]])
        if one in largest or size[one] < APART or not len(around) or len(parents) >= most:
            continue
        if not named[home[one]][1]:  # there is only one of each part on the midline
            continue
        upper = min(around, key=lambda other: (depth[home[other]], -size[other]))
        if depth[home[upper]] >= depth[home[one]]:
            continue
        region_of[one] = len(parents)
        parents.append(region_of[upper])
        named.append(named[home[one]])
    places = np.concatenate([regions.places, np.full((len(parents) - len(regions.parents), 3), np.nan)])
    return Regions(region_of[island], np.array(parents, np.int64), places, tuple(named))


def _without_specks(label: NDArray[np.int64], neighbours: sparse.csr_matrix) -> NDArray[np.int64]:
    """Labels [S] in which islands of fewer than `LEAST` samples have the label of the region around them."""
    label = label.copy()
    rows, columns = neighbours.nonzero()
    for _ in range(3):
        same = label[rows] == label[columns]
        graph = sparse.csr_matrix((np.ones(same.sum()), (rows[same], columns[same])), shape=neighbours.shape)
        count, island = connected_components(graph, directed=False)
        small = np.bincount(island, minlength=count) < LEAST
        border = small[island[rows]] & ~same & ~small[island[columns]]
        if not border.any():
            break
        around = np.zeros((count, label.max() + 1))
        np.add.at(around, (island[rows[border]], label[columns[border]]), 1.0)
        new = np.where(around.any(axis=1), around.argmax(axis=1), -1)[island]
        label = np.where(small[island] & (new >= 0), new, label)
    return label
