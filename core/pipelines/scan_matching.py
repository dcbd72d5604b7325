"""Matches between a surface and the points of a scan: the ends of iterated closest points.

A nearest point alone is often on the wrong leg, or on the far side of a thin one. Where a scan says how its surface
faces, places and normals are compared together. Where it shows all of a shape, every place of the surface must also
have a point, which a limb that strayed from the points has not.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import KDTree

from core.geometry.sampling import vertex_normals
from core.geometry.soft_arap import closest

TURN = 0.05  # of the size: as bad as normals that differ by 1
BACK = 0.3  # weight of the surface's matches with the points, beside the points' matches with the surface
MOST_MATCHED = 700  # points that are matched with the surface, evenly over their order

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ScanCloud:
    """The points of one frame, in normalised space."""

    points: Floats  # [N, 3]
    normals: Floats | None = None  # [N, 3] outward; shorter than 1 where the scan is less sure of them
    whole: bool = False  # the points are all around the shape

    def __len__(self) -> int:
        return len(self.points)

    @cached_property
    def thinned(self) -> ScanCloud:
        """At most MOST_MATCHED of the points."""
        step = max(1, -(-len(self) // MOST_MATCHED))
        return ScanCloud(self.points[::step], None if self.normals is None else self.normals[::step], self.whole)

    @cached_property
    def features(self) -> Floats:
        """What is compared of each point [N, 3 or 6]."""
        return self.points if self.normals is None else _features(self.points, self.normals)

    @cached_property
    def unsure(self) -> Floats | float:
        """How far any place is from each point at the least, squared [N], because the point's normal is short."""
        return 0.0 if self.normals is None else np.square(TURN * (1 - np.linalg.norm(self.normals, axis=1)))

    @cached_property
    def tree(self) -> KDTree:
        return KDTree(self.features)


@dataclass(frozen=True, eq=False)
class SurfaceMatches:
    """Places of a surface and the points that they should move to."""

    attachment: sparse.csr_matrix  # [M, V] the places as weights of the surface's vertices
    targets: Floats  # [M, 3]
    distance: Floats  # [M] in sizes, with what normals differ by
    importance: Floats  # [M] relative to the others; those of the points add up to their number


def matched(pose: Floats, corners: NDArray[np.int64], outward: float, cloud: ScanCloud) -> SurfaceMatches:
    """Matches of a surface (vertices [V, 3], faces [F, 3] that can be seen) with a cloud, both ways where it is whole.

    `outward` is 1 for a surface whose faces' normals point outwards, else -1.
    """
    some = cloud.thinned
    facing = outward * vertex_normals(pose, corners)
    if some.normals is None:
        attachment, distance = closest(pose, corners, some.points)
    else:
        spots = sparse.vstack([sparse.identity(len(pose)), _middles(corners, len(pose))]).tocsr()
        spots = spots[np.r_[np.unique(corners), len(pose) + np.arange(len(corners))]]
        turned = spots @ facing
        turned /= np.linalg.norm(turned, axis=1, keepdims=True).clip(1e-12)
        distance, row = map(np.asarray, KDTree(_features(spots @ pose, turned)).query(some.features))
        distance = np.sqrt((np.square(distance) - some.unsure).clip(0))
        attachment = spots[row]
    importance = np.ones(len(some))
    if not cloud.whole:
        return SurfaceMatches(attachment, some.points, distance, importance)
    back, row = map(np.asarray, cloud.tree.query(pose if cloud.normals is None else _features(pose, facing)))
    back = np.sqrt((np.square(back) - np.broadcast_to(cloud.unsure, len(cloud))[row]).clip(0))
    share = np.full(len(pose), BACK * len(some) / len(pose))
    return SurfaceMatches(
        sparse.vstack([attachment, sparse.identity(len(pose))]).tocsr(),
        np.concatenate([some.points, cloud.points[row]]),
        np.concatenate([distance, back]),
        np.concatenate([importance, share]),
    )


def _features(places: Floats, normals: Floats) -> Floats:
    return np.hstack([places, TURN * normals])


def _middles(corners: NDArray[np.int64], count: int) -> sparse.csr_matrix:
    """[F, V] the middle of each face as weights of the vertices."""
    rows = np.repeat(np.arange(len(corners)), 3)
    return sparse.csr_matrix((np.full(corners.size, 1 / 3), (rows, corners.ravel())), (len(corners), count))
