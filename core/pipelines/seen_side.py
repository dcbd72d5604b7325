"""The part of space in which all of a shape was seen: everywhere, or above the plane where half a body is cut.

There, the shape is only where points lie. The plane is not known, but found from bodies that roughly fit: all points
are above it, and as much as possible of the bodies' surface that no point lies on is below. Each body has its own
plane, between its best one and the best one for all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

Floats = NDArray[np.float64]

DIRECTIONS = 600  # of planes that are tried
COVERED = 2.0  # spacings of the points; nothing was seen farther from all of them
DRAWN, DRAWN_ABOVE = 1.0, 2.0  # spacings beyond which a vertex is pulled to them: of a whole shape, above a plane
NEARBY = 0.08  # of the size: a surface this near to a point was seen
FEWEST_UNSEEN = 5
LOWEST = 0.01  # share of the points that may be below the plane
MARGIN = 0.02  # of the size above the plane that may hold what was not seen
AS_GOOD = 0.0005  # of the size: planes whose cost is so little above the best are averaged
OWN = 0.75  # weight of a body's own cost of a plane; the rest is the mean over all bodies


class Extent(Enum):
    """How much of a shape the points show."""

    WHOLE = "all of it"
    CUT = "all that is above some plane"
    SIDE = "what some camera saw"


@dataclass(frozen=True, eq=False)
class SeenSide:
    """Points [N, 3], and the half space in which they show all that there is."""

    tree: KDTree
    spacing: float  # typical distance between neighbouring points
    normal: Floats | None = None  # [3] upwards from the plane; None where all of space was seen
    level: float = 0.0  # its height along the normal

    @classmethod
    def of(cls, points: Floats) -> SeenSide:
        """All of space as the seen side of points [N, 3]."""
        tree = KDTree(points)
        return cls(tree, float(np.median(np.asarray(tree.query(points, k=2)[0])[:, 1])))

    def of_each(self, surfaces: Sequence[Floats], extent: Extent) -> list[SeenSide | None]:
        """The half space for each of the bodies' surfaces [V, 3]; None if it is unknown what else was seen."""
        if extent is not Extent.CUT:
            return [self if extent is Extent.WHOLE else None] * len(surfaces)
        normals, every = self._above(surfaces)
        return [self._below(normals, cost) for cost in OWN * every + (1 - OWN) * every.mean(axis=0)]

    def contradictions(self, surfaces: Floats, extent: Extent, likely: NDArray[np.int64]) -> Floats:
        """How far [C] surfaces [C, V, 3] reach to where they would have been seen.

        Of a cut shape the plane is between the best one for each surface and the best for the `likely` ones [L].
        """
        if extent is Extent.WHOLE:
            result: Floats = self.contradicted(surfaces).mean(axis=1)
        elif extent is Extent.CUT:
            every = self._above(surfaces)[1]
            result = (OWN * every + (1 - OWN) * every[likely].mean(axis=0)).min(axis=1)
        else:
            result = np.array([self.beyond(surface) for surface in surfaces])
        return result

    def beyond(self, surface: Floats) -> float:
        """How far the unseen part of a surface [V, 3] reaches towards the side where most was seen."""
        unseen = surface[~np.isfinite(np.asarray(self.tree.query(surface, distance_upper_bound=NEARBY)[0]))]
        if len(unseen) < FEWEST_UNSEEN:
            return 0.0
        points = np.asarray(self.tree.data)
        normal = points.mean(axis=0) - unseen.mean(axis=0)
        normal /= np.linalg.norm(normal) + 1e-9
        return float(np.maximum(unseen @ normal - np.quantile(points @ normal, 0.05), 0).sum() / len(surface))

    def _above(self, surfaces: Iterable[Floats]) -> tuple[Floats, Floats]:
        """Directions [D, 3] of planes under the points, and what of each surface was not seen above them [C, D]."""
        points = np.asarray(self.tree.data)
        normals = _sphere(DIRECTIONS)
        levels = np.quantile(points @ normals.T, LOWEST, axis=0) + MARGIN
        above = []
        for surface in surfaces:
            far = surface[np.asarray(self.tree.query(surface)[0]) > COVERED * self.spacing]
            above.append(np.maximum(far @ normals.T - levels, 0).sum(axis=0) / len(surface))
        return normals, np.stack(above)

    def _below(self, normals: Floats, cost: Floats) -> SeenSide:
        """The plane under directions [D, 3] that cost [D] least; those nearly as good are averaged."""
        normal = normals[cost < cost.min() + AS_GOOD].mean(axis=0)
        normal /= np.linalg.norm(normal)
        level = float(np.quantile(np.asarray(self.tree.data) @ normal, LOWEST)) + MARGIN
        return SeenSide(self.tree, self.spacing, normal, level)

    def contradicted(self, surfaces: Floats) -> Floats:
        """How far [..., V] vertices [..., V, 3] stand from what was seen on the seen side, beyond what is usual."""
        away = np.maximum(np.asarray(self.tree.query(surfaces)[0]) - COVERED * self.spacing, 0)
        result: Floats = np.where(self._within(surfaces), away, 0.0)
        return result

    def strays(self, vertices: Floats) -> tuple[NDArray[np.int64], Floats, Floats]:
        """Rows [R] of vertices [V, 3] on the seen side that are too far from all points.

        Also places [R, 3] near enough, and the distances [R] of the nearest points.
        """
        away, near = (np.asarray(found) for found in self.tree.query(vertices))
        most = (DRAWN if self.normal is None else DRAWN_ABOVE) * self.spacing
        rows = np.flatnonzero((away > most) & self._within(vertices))
        stay = (most / away[rows])[:, None]
        return rows, stay * vertices[rows] + (1 - stay) * self.tree.data[near[rows]], away[rows]

    def _within(self, places: Floats) -> NDArray[np.bool_]:
        """[...] whether all was seen at places [..., 3]."""
        if self.normal is None:
            return np.ones(places.shape[:-1], dtype=bool)
        return np.asarray(places @ self.normal > self.level)


def _sphere(count: int) -> Floats:
    """Directions [count, 3] evenly over the sphere (a Fibonacci lattice)."""
    height = 1 - 2 * (np.arange(count) + 0.5) / count
    angle = np.pi * (1 + np.sqrt(5)) * np.arange(count)
    radius = np.sqrt(1 - height**2)
    result: Floats = np.stack([radius * np.cos(angle), height, radius * np.sin(angle)], axis=1)
    return result
