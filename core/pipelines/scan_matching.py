"""Matches between a surface and the points of a scan: the ends of iterated closest points.

A nearest point alone is often on the wrong leg, or on the far side of a thin one, and a surface that follows nearest
points slides along itself. Where a scan says how its surface faces, places and normals are compared together. Where it
shows all of a shape, every place of the surface must also have a point, which a limb that strayed from the points has
not.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import KDTree

from core.geometry.soft_arap import closest

BACK = 0.3  # weight of the surface's matches with the points, beside the points' matches with the surface
MOST_MATCHED = 700  # points that are matched with the surface, evenly over their order
NEIGHBOURS = 12  # measured points that a plane is fitted to
# Places of a face that points with normals are matched with, as barycentric weights: its middle and those of its sides.
PLACES = np.array([[1 / 3, 1 / 3, 1 / 3], [0.5, 0.5, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5]])

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ScanCloud:
    """The points of one frame, in normalised space."""

    points: Floats  # [N, 3]
    normals: Floats | None = None  # [N, 3] outward; shorter than 1 where the scan is less sure of them
    whole: bool = False  # the points are all around the shape

    @classmethod
    def seen(cls, points: Floats, viewpoint: Floats) -> ScanCloud:
        """At most MOST_MATCHED of the points that a camera at `viewpoint` [3] measured, with normals towards it."""
        some = evenly_thinned(points)
        return cls(some, measured_normals(points, some, viewpoint) if len(points) else some)

    def __len__(self) -> int:
        return len(self.points)

    @cached_property
    def thinned(self) -> ScanCloud:
        """At most MOST_MATCHED of the points."""
        normals = None if self.normals is None else evenly_thinned(self.normals)
        return ScanCloud(evenly_thinned(self.points), normals, self.whole)


@dataclass(frozen=True, eq=False)
class SurfaceMatches:
    """Places of a surface and the points that they should move to."""

    attachment: sparse.csr_matrix  # [M, V] the places as weights of the surface's vertices
    targets: Floats  # [M, 3]
    distance: Floats  # [M] in sizes
    importance: Floats  # [M] relative to the others; 1 for those of the points


def matched(surface: ScanCloud, corners: NDArray[np.int64], cloud: ScanCloud, turn: float = 0.0) -> SurfaceMatches:
    """Matches of a surface with a cloud, both ways where it is whole.

    The surface are its vertices [V, 3] with normals, and those of its faces [F, 3] that can be seen. Normals that
    differ by 1 are as bad as a distance of `turn`; they are not compared where it is 0, or one of both has none.
    """
    some, pose = cloud.thinned, surface.points
    if surface.normals is not None and some.normals is not None and turn > 0:
        both = (pose, surface.normals)
        places, turned = (np.einsum("pc,fci->fpi", PLACES, of[corners]).reshape(-1, 3) for of in both)
        turned /= np.linalg.norm(turned, axis=1, keepdims=True).clip(1e-12)
        row, distance = _nearest(ScanCloud(places, turned), some, turn)
        attachment = _attachment(corners, len(pose), row)
    else:
        attachment, distance = closest(pose, corners, some.points)
    importance = np.ones(len(some))
    if not cloud.whole:
        return SurfaceMatches(attachment, some.points, distance, importance)
    row, back = _nearest(cloud, surface, turn)
    return SurfaceMatches(
        sparse.vstack([attachment, sparse.identity(len(pose))]).tocsr(),
        np.concatenate([some.points, cloud.points[row]]),
        np.concatenate([distance, back]),
        np.concatenate([importance, np.full(len(pose), BACK * len(some) / len(pose))]),
    )


def measured_normals(cloud: Floats, points: Floats, viewpoint: Floats) -> Floats:
    """Unit normals [N, 3] at points [N, 3] of a `cloud` [M, 3], M > 0, towards the camera at `viewpoint` [3].

    They are those of planes through the nearest points of the cloud.
    """
    near = cloud[KDTree(cloud).query(points, k=min(NEIGHBOURS, len(cloud)))[1].reshape(len(points), -1)]
    away = near - near.mean(axis=1, keepdims=True)
    normals = np.linalg.eigh(away.swapaxes(1, 2) @ away)[1][..., 0]
    towards = np.einsum("ni,ni->n", normals, viewpoint - points)
    result: Floats = np.where(towards < 0, -1.0, 1.0)[:, None] * normals
    return result


def evenly_thinned(rows: Floats) -> Floats:
    """At most MOST_MATCHED of the rows, evenly over their order."""
    return rows[:: max(1, -(-len(rows) // MOST_MATCHED))]


def _nearest(among: ScanCloud, points: ScanCloud, turn: float) -> tuple[NDArray[np.int64], Floats]:
    """For each of `points` the row of `among` that is most alike [N], and how far away that is [N]."""
    if turn > 0 and among.normals is not None and points.normals is not None:
        ends = [np.hstack([among.points, turn * among.normals]), np.hstack([points.points, turn * points.normals])]
    else:
        ends = [among.points, points.points]
    row = np.asarray(KDTree(ends[0]).query(ends[1])[1])
    return row, np.linalg.norm(points.points - among.points[row], axis=1)


def _attachment(corners: NDArray[np.int64], count: int, places: NDArray[np.int64]) -> sparse.csr_matrix:
    """Rows [N, V] for places [N], numbered face by face over PLACES, of a surface of `count` vertices."""
    face, place = np.divmod(places, len(PLACES))
    rows = np.repeat(np.arange(len(places)), 3)
    return sparse.csr_matrix((PLACES[place].ravel(), (rows, corners[face].ravel())), (len(places), count))
