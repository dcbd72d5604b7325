"""A closed surface from points without normals: the field of dipoles at the points that is one half at every point.

The winding number of a closed surface is an integral over it of a dipole field, 1 inside, 0 outside and 1/2 on it
(Gauss's lemma). The smallest dipoles at the points that give 1/2 at each of them come from one linear solve (parametric
Gauss reconstruction, Lin et al. 2022), so normals need not be known.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import KDTree

NEIGHBOURS = 7
WIDTH = 1.0  # mean distances to a point's neighbours; within it the point's field is that of a ball
LEAST_WIDTH, MOST_WIDTH = 0.0015, 0.04  # of the size
DAMPING = 1.07  # factor on the diagonal of the system; more is smoother, 1 interpolates noise
CHUNK = 8192


class GaussField:
    """The field of points [N, 3] of a whole surface, in normalised space; positive inside."""

    def __init__(self, points: NDArray[np.floating], width: NDArray[np.floating] | None = None) -> None:
        """`width` [N] replaces the widths that `point_widths` finds."""
        places = np.asarray(points, dtype=np.float64)
        self.width = point_widths(places) if width is None else np.asarray(width, dtype=np.float64)
        apart = places[:, None] - places[None]
        distance = np.maximum(np.sqrt(np.square(apart).sum(axis=-1)), self.width)
        field = (-apart / (4 * np.pi * distance**3)[..., None]).reshape(len(places), -1)
        system = field @ field.T
        system[np.diag_indices_from(system)] *= DAMPING
        dipoles = (field.T @ np.linalg.solve(system, np.full(len(places), 0.5))).reshape(-1, 3)
        single = lambda x: torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32))  # noqa: E731
        self._points, self._least = single(places), single(self.width**2)
        self._squared = self._points.square().sum(dim=1)
        flux = torch.cat([single(dipoles), (single(dipoles) * self._points).sum(dim=1, keepdim=True)], dim=1)
        self._flux = flux / (4 * np.pi)
        self.level = 0.0
        self.level = float(np.median(self(places)))

    def __call__(self, queries: NDArray[np.floating]) -> NDArray[np.float64]:
        """[Q] the field at queries [Q, 3], 0 on the surface and about 1/2 deep inside."""
        values = np.empty(len(queries))
        for start in range(0, len(queries), CHUNK):
            x = torch.from_numpy(np.ascontiguousarray(queries[start : start + CHUNK], dtype=np.float32))
            squared = torch.addmm(self._squared + x.square().sum(dim=1, keepdim=True), x, self._points.T, alpha=-2)
            inverse = torch.maximum(squared, self._least).rsqrt_()
            found = (inverse * inverse * inverse) @ self._flux
            values[start : start + CHUNK] = (found[:, 3] - (x * found[:, :3]).sum(dim=1)).numpy()
        return values - self.level


def point_widths(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """[N] how wide each point's field is, by the distance of its neighbours."""
    count = min(NEIGHBOURS, len(points) - 1)
    near = np.asarray(KDTree(points).query(points, count + 1)[0])[:, 1:]
    return np.clip(WIDTH * near.mean(axis=1), LEAST_WIDTH, MOST_WIDTH)
