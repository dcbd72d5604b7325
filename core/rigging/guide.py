"""A known skeleton that a new one is modelled on: what hangs on what, where it turns, which samples belong to what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

Floats = NDArray[np.float64]
LEAST = 6  # samples that a part must have to become a bone
ABSORBED = 8 * LEAST  # samples of a joint that a smaller one above it takes in
APART = 20  # samples of an island that is a limb of its own
SMOOTH = 2  # rounds of the mean over neighbours before each sample takes its part


@dataclass(frozen=True, eq=False)
class Guide:
    """A skeleton of J joints on a mesh. Normalised space.

    `parents` [J] has -1 for the one root; a vertex belongs to joints by `binding` [V, P] times `shares` [P, J];
    `named` says what each is and on which side, ("wing", "left") or ("tail", ""), empty where that is not known.
    """

    name: str  # of what it comes from, as a person reads it
    parents: NDArray[np.int64]
    places: Floats
    binding: sparse.csr_matrix
    shares: NDArray[np.floating]
    named: tuple[tuple[str, str], ...]
    heading: float  # angle about Y from +Z to where the body faces

    def weights(self, vertices: NDArray[np.int64]) -> Floats:
        """Weights [S, J] of some vertices, rows sum to 1."""
        dense = np.asarray(self.binding[vertices] @ self.shares, np.float64)
        return dense / dense.sum(axis=1, keepdims=True).clip(1e-9)


class Regions(NamedTuple):
    """The samples of a surface divided among B joints of a guide, those without samples left out."""

    label: NDArray[np.int64]  # [S]
    parents: NDArray[np.int64]  # [B]
    places: Floats  # [B, 3] where each turns, not a number where the guide does not know
    named: tuple[tuple[str, str], ...]  # [B]


def guided_regions(guide: Guide, vertices: NDArray[np.int64], neighbours: sparse.csr_matrix, most: int) -> Regions:
    """Regions of samples, given as vertices [S], at most so many: the smallest joints go with what they hang on."""
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
        if parents[smallest] < 0:  # the root takes in what it carries, rather of its own kind and of the middle
            own = [joint for joint in middle if guide.named[joint] == guide.named[smallest]]
            join(int(max(own or middle or below, key=lambda joint: size[joint])), smallest)
        elif len(below) and size[below].min() < ABSORBED:  # a hand its fingers
            join(int(below[size[below].argmin()]), smallest)
        else:
            join(smallest, int(parents[smallest]))
    kept = np.flatnonzero(left)
    number = np.full(len(parents) + 1, -1)
    number[kept] = np.arange(len(kept))
    named = tuple(guide.named[joint] for joint in kept)
    return _limbs_apart(Regions(number[label], number[parents[kept]], guide.places[kept], named), neighbours, most)


def _limbs_apart(regions: Regions, neighbours: sparse.csr_matrix, most: int) -> Regions:
    """Two limbs that were taken for one of the known skeleton, a spider's neighbouring legs, become two.

    An island of a region that adjoins another one is a region of its own, below what it adjoins nearest to the root.
    """
    label, parents, named = regions.label, list(regions.parents), list(regions.named)
    rows, columns = neighbours.nonzero()
    same = label[rows] == label[columns]
    graph = sparse.csr_matrix((np.ones(same.sum()), (rows[same], columns[same])), shape=neighbours.shape)
    island = connected_components(graph, directed=False)[1]
    size = np.bincount(island)
    home = np.zeros(len(size), np.int64)
    home[island] = label
    depth = np.array([len(_line(regions.parents, region)) for region in range(len(parents))])
    largest = {int(max(np.flatnonzero(home == region), key=lambda one: size[one])) for region in np.unique(home)}
    region_of = home.copy()
    for one in sorted(range(len(size)), key=lambda one: (depth[home[one]], -size[one])):
        around = np.unique(island[columns[(island[rows] == one) & ~same]])
        if one in largest or size[one] < APART or not len(around) or len(parents) >= most:
            continue
        if not named[home[one]][1]:  # of the middle of a body there is one
            continue
        upper = min(around, key=lambda other: (depth[home[other]], -size[other]))
        if depth[home[upper]] >= depth[home[one]]:
            continue
        region_of[one] = len(parents)
        parents.append(region_of[upper])
        named.append(named[home[one]])
    places = np.concatenate([regions.places, np.full((len(parents) - len(regions.parents), 3), np.nan)])
    return Regions(region_of[island], np.array(parents, np.int64), places, tuple(named))


def _line(parents: NDArray[np.int64], region: int) -> list[int]:
    """A region, what it hangs on, and so on to the root."""
    line = [region]
    while parents[line[-1]] >= 0:
        line.append(int(parents[line[-1]]))
    return line


def _without_specks(label: NDArray[np.int64], neighbours: sparse.csr_matrix) -> NDArray[np.int64]:
    """Islands of fewer than `LEAST` samples inside another region take its label."""
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
