"""What a camera measured is there: a shell behind its points is inside the shape, however thin a wing or fin is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from core.pipelines.scan_matching import measured_normals

# Of the size. Frame 0 of four development scans of birds, a fish and a spider went from 0.774 and 0.0106 to 0.786 and
# 0.0097 with it (IoU and Chamfer distance; with bodies that were also stretched to the true box, before and after).
THICKNESS = 0.016
DEPTHS = (0.5 * THICKNESS, 1.5 * THICKNESS)  # behind a point, where the shape should be
BESIDE = 2.0  # typical distances between neighbouring points, within which a place is behind one of them
STEEPNESS, SURE = 300.0, 6.0  # logits per unit of length, and at most


class MeasuredShell:
    """The shell behind the dense points that a camera measured."""

    def __init__(
        self,
        points: NDArray[np.floating],
        viewpoint: NDArray[np.floating],
        field: Callable[[NDArray[np.float64]], NDArray[Any]],
    ) -> None:
        """Measured `points` [N, 3], N > 1, and the camera's place [3], in normalised space.

        `field` maps places [Q, 3] to occupancy logits [Q]. Only points behind which it has nothing get a shell, which
        would else make everything thicker by the points' noise.
        """
        cloud = np.asarray(points, dtype=np.float64)
        normals = measured_normals(cloud, cloud, np.asarray(viewpoint, dtype=np.float64))
        self._spacing = float(np.median(np.asarray(KDTree(cloud).query(cloud, k=2)[0])[:, 1]))
        outside = np.stack([field(cloud - depth * normals) <= 0 for depth in DEPTHS]).all(axis=0)
        self._points, self._normals = cloud[outside], normals[outside]
        self._tree = KDTree(self._points)

    def filled(self, logits: NDArray[np.floating], places: NDArray[np.floating]) -> NDArray[np.float64]:
        """Occupancy logits [Q] at places [Q, 3], raised to inside in the shell; smooth across its border."""
        result = np.array(logits, dtype=np.float64)
        if not len(self._points):
            return result
        reach = THICKNESS + BESIDE * self._spacing
        away, near = (np.asarray(found) for found in self._tree.query(places, distance_upper_bound=reach))
        rows = np.flatnonzero(np.isfinite(away))
        point = near[rows]
        depth = -np.einsum("qi,qi->q", np.asarray(places)[rows] - self._points[point], self._normals[point])
        behind = np.sqrt((away[rows] ** 2 - depth**2).clip(0)) < BESIDE * self._spacing
        shell = STEEPNESS * (THICKNESS / 2 - np.abs(depth - THICKNESS / 2)).clip(None, SURE / STEEPNESS)
        rows, shell = rows[behind], shell[behind]
        result[rows] = np.maximum(result[rows], shell)
        return result
