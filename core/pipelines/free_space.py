"""Space that a depth camera saw to be empty: in front of the points it measured, and beside their outline."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

MARGIN = 0.025  # of the shape's size in front of a measured point that may still be inside: noise, grazing surfaces
BESIDE = 3.0  # typical angles between neighbouring points, beyond which a ray is taken to have passed the shape
RAYS = 3  # measured neighbours of a ray, which must all be farther away
STEEPNESS = 100.0  # logits per unit of length
SURE = 4.0  # logits below which a place is outside whatever the camera saw


class FreeSpace:
    """The space that the rays from a camera to the measured points crossed."""

    def __init__(self, points: NDArray[np.floating], viewpoint: NDArray[np.floating]) -> None:
        """Measured `points` [N, 3], N > RAYS, and the camera's place [3], in one space."""
        self.viewpoint = np.asarray(viewpoint, dtype=np.float64)
        rays, self.length = self._rays(points)
        self.tree = KDTree(rays)
        # The median, since a few rays that coincide by rounding would spoil the mean or the smallest.
        self.gap = float(np.median(np.asarray(self.tree.query(rays, k=2)[0])[:, 1]))

    @property
    def points(self) -> NDArray[np.float64]:
        """The measured points [N, 3]."""
        result: NDArray[np.float64] = self.viewpoint + np.asarray(self.tree.data) * self.length[:, None]
        return result

    def clearance(self, places: NDArray[np.floating]) -> NDArray[np.float64]:
        """How far inside the empty space each place [Q, 3] is; negative where it may be filled."""
        rays, length = self._rays(places)
        angle, near = (np.asarray(found) for found in self.tree.query(rays, k=RAYS))
        beside = (angle[:, 0] - BESIDE * self.gap) * length
        before = self.length[near].min(axis=1) - MARGIN - length
        # Beside the outline the neighbours' depths mean nothing, but do no harm either.
        result: NDArray[np.float64] = np.maximum(beside, before)
        return result

    def nearest_possible(self, places: NDArray[np.floating]) -> NDArray[np.float64]:
        """Places [Q, 3] that are in the empty space, moved out of it: behind what was measured, or into the outline."""
        rays, length = self._rays(places)
        angle, near = (np.asarray(found) for found in self.tree.query(rays, k=RAYS))
        beside = angle[:, 0] > BESIDE * self.gap
        behind = np.maximum(length, self.length[near].min(axis=1) - MARGIN)
        ray = np.where(beside[:, None], np.asarray(self.tree.data)[near[:, 0]], rays)
        result: NDArray[np.float64] = self.viewpoint + ray * np.where(beside, length, behind)[:, None]
        return result

    def carved(self, logits: NDArray[np.floating], places: NDArray[np.floating]) -> NDArray[np.float64]:
        """Occupancy logits [Q] at places [Q, 3], lowered to outside where it is empty; smooth across its border."""
        result = np.array(logits, dtype=np.float64)
        # Places that are far outside anyway need no search.
        near = np.flatnonzero(result > -SURE)
        if len(near):
            result[near] = np.minimum(result[near], -STEEPNESS * self.clearance(np.asarray(places)[near]))
        return result

    def _rays(self, places: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        away = np.asarray(places, dtype=np.float64) - self.viewpoint
        length = np.linalg.norm(away, axis=1)
        return away / np.maximum(length, 1e-9)[:, None], length
