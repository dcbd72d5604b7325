"""Distances along a surface between points on it: two legs that touch are far from each other, whatever their gap."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.spatial.distance import cdist

from core.geometry.occupancy import is_inside
from core.geometry.sampling import SurfaceSamples
from core.geometry.weld import weld

REACH = 0.3  # of the shape's size: paths are followed this far
MOST_VERTICES = 40_000  # in larger meshes, the paths of one set of handles would take seconds
LONGER = 1.5  # a straight line is tested for running inside only where the path is this much longer
ALONG = (0.2, 0.5, 0.8)  # tested places on the line
_WELD = 1e-5
_KEPT_BYTES = 1 << 25  # of cached distances: other handles on the same mesh share most nodes
_SOURCES = 32  # whose paths are searched at a time


class SurfaceGraph:
    """Shortest paths over a mesh of size about 1: along edges, straight across two adjacent faces, to points on faces.

    Its points are the mesh's vertices [V], followed by the samples [N]. Distances between components and beyond `REACH`
    are straight; beyond it, `REACH` is added, so that near points stay nearer.
    """

    def __init__(self, vertices: ArrayLike, faces: ArrayLike, samples: SurfaceSamples) -> None:
        rest = np.asarray(vertices, dtype=np.float64)
        on_faces = samples.at(rest)
        self._row, unique = weld(rest, _WELD)
        self._places = np.concatenate([rest[unique], on_faces])
        self._surface = rest, np.asarray(faces)
        corners = self._row[np.asarray(faces, dtype=np.int64)]
        own = np.arange(len(on_faces)) + len(unique)
        pairs = [
            np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]]),
            np.stack([np.repeat(own, 3), self._row[samples.corners].reshape(-1)], axis=1),
            own[_sharing(samples.face)],
        ]
        lengths = [np.linalg.norm(np.subtract(*self._places[pair.T]), axis=1) for pair in pairs]
        across, unfolded = _across_edges(self._places, corners)
        joined, length = np.concatenate([*pairs, across]), np.concatenate([*lengths, unfolded])
        self._row = np.concatenate([self._row, own])
        self._graph = _shortest_edges(joined, length, len(self._places))
        self._component = connected_components(self._graph, directed=False)[1]
        self._kept: OrderedDict[int, NDArray[np.float32]] = OrderedDict()  # by source, the last used at the end

    def distances(self, sources: NDArray[np.int64], targets: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """Distances [S, G] from some of the graph's points [S] to `targets` [G], by default all, in mesh units."""
        columns = self._row if targets is None else self._row[targets]
        result = np.empty((len(sources), len(columns)), np.float32)
        unknown = []
        for number, start in enumerate(self._row[sources]):
            if start in self._kept:
                self._kept.move_to_end(start)
                result[number] = self._kept[start][columns]
            else:
                unknown.append(number)
        for first in range(0, len(unknown), _SOURCES):
            numbers = unknown[first : first + _SOURCES]
            starts = self._row[sources[numbers]]
            found = self._search(starts)
            result[numbers] = found[:, columns]
            self._kept.update(zip(starts.tolist(), found, strict=True))
        while len(self._kept) * len(self._places) * 4 > _KEPT_BYTES:
            self._kept.popitem(last=False)
        return result

    def _search(self, starts: NDArray[np.int64]) -> NDArray[np.float32]:
        """Distances [S, places] from some of the graph's places [S] to all of them."""
        straight = cdist(self._places[starts], self._places)
        paths = dijkstra(self._graph, directed=False, indices=starts, limit=REACH)
        apart = self._component[starts][:, None] != self._component[None]
        beyond = np.where(np.isfinite(paths), np.maximum(paths, straight), REACH + straight)
        return np.where(apart, straight, beyond).astype(np.float32)

    def solid_distances(self, points: NDArray[np.int64]) -> NDArray[np.float32]:
        """Between some of the graph's points [S, S]: straight also where the line runs through the inside.

        A solid resists twisting, which a surface alone would not; through the air nothing is held.
        """
        result = self.distances(points, points)
        places = self._places[self._row[points]]
        straight = cdist(places, places)
        first, second = np.nonzero(np.triu((result > LONGER * straight) & (straight < REACH), 1))
        lines = [places[first] * (1 - part) + places[second] * part for part in ALONG]
        inside = is_inside(*self._surface, np.concatenate(lines)).reshape(len(ALONG), -1).all(axis=0)
        first, second = first[inside], second[inside]
        result[first, second] = result[second, first] = straight[first, second]
        return result


def _sharing(face: NDArray[np.int64]) -> NDArray[np.int64]:
    """Pairs [E, 2] of samples that lie on the same face, each with the next ones on it."""
    order = np.argsort(face, kind="stable")
    found = []
    step = 1
    while step < len(face):
        same = face[order[step:]] == face[order[:-step]]
        if not same.any():
            break
        found.append(np.stack([order[step:][same], order[:-step][same]], axis=1))
        step += 1
    return np.concatenate(found) if found else np.zeros((0, 2), np.int64)


def _across_edges(
    places: NDArray[np.float64], corners: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Opposite corners [E, 2] of two faces with a common edge, and their distance when the faces are laid flat."""
    edges = np.sort(np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]]), axis=1)
    opposite = np.concatenate([corners[:, 2], corners[:, 0], corners[:, 1]])
    order = np.lexsort((edges[:, 1], edges[:, 0]))
    twins = np.flatnonzero((edges[order[1:]] == edges[order[:-1]]).all(axis=1))
    edge = edges[order[twins]]
    first, second = opposite[order[twins]], opposite[order[twins + 1]]
    origin, direction = places[edge[:, 0]], places[edge[:, 1]] - places[edge[:, 0]]
    length = np.linalg.norm(direction, axis=1)
    direction = direction / length.clip(1e-12)[:, None]

    def flat(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        along = np.einsum("ed,ed->e", points - origin, direction)
        return along, np.linalg.norm(points - origin - along[:, None] * direction, axis=1)

    (along_first, high_first), (along_second, high_second) = flat(places[first]), flat(places[second])
    high = high_first + high_second
    crossing = along_first + (along_second - along_first) * high_first / high.clip(1e-12)
    inside = (crossing >= 0) & (crossing <= length)
    return np.stack([first, second], axis=1)[inside], np.hypot(along_first - along_second, high)[inside]


def _shortest_edges(pairs: NDArray[np.int64], length: NDArray[np.float64], count: int) -> sparse.csr_matrix:
    """A matrix [count, count] with the shortest edge of each pair, never of zero length, which sparse matrices drop."""
    low, high = pairs.min(axis=1), pairs.max(axis=1)
    order = np.lexsort((length, high, low))
    low, high, length = low[order], high[order], length[order]
    first = np.ones(len(low), dtype=bool)
    first[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    keep = first & (low != high)
    return sparse.coo_matrix((length[keep] + 1e-9, (low[keep], high[keep])), shape=(count, count)).tocsr()
