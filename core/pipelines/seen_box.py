"""Frame 0's box, as far as a camera saw it, and how well bodies fill it.

The origin of normalised space is the middle of the whole shape's box, so that what was seen on one side says how far
the shape reaches on the other one. A body that ends before that is a less likely one, or has other proportions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

OUTSIDE = 0.001  # share of the points at either end of an axis that may be outliers
MARGIN = 0.03  # of the size: a body may end so much before the box or beyond it
FAR = 0.06  # of the size: a body that ends farther from the box is stretched to it
MOST_STRETCH = 1.35  # along an axis
# Frame 0 of thirteen development scans went from 0.638 and 0.0230 to 0.651 and 0.0210 (IoU and Chamfer distance).
SHORT, BEYOND = 0.05, 0.5  # weights of what a body misses, and of how far its vertices are outside in the mean


@dataclass(frozen=True, eq=False)
class SeenBox:
    """The least box around the origin that holds what was seen."""

    half: Floats  # [3] half its sides

    @classmethod
    def of(cls, points: NDArray[np.floating]) -> SeenBox:
        """The box of seen points [N, 3], N > 0, in normalised space."""
        ends = np.quantile(np.asarray(points, dtype=np.float64), (OUTSIDE, 1 - OUTSIDE), axis=0)
        return cls(np.abs(ends).max(axis=0).clip(None, 0.5))

    def misfit(self, surfaces: Floats) -> Floats:
        """[C] how much too short or too large surfaces [C, V, 3] are for the box, as a share of the size."""
        least, most = self.half - MARGIN, self.half + MARGIN
        missing = np.maximum(least - surfaces.max(axis=1), 0) + np.maximum(surfaces.min(axis=1) + least, 0)
        outside = np.maximum(np.abs(surfaces) - most, 0).sum(axis=2).mean(axis=1)
        result: Floats = SHORT * missing.sum(axis=1) + BEYOND * outside
        return result

    def filled(self, vertices: Floats) -> Floats:
        """Vertices [V, 3] of a surface, stretched along the axes in which it is far too short for the box."""
        low, high = vertices.min(axis=0), vertices.max(axis=0)
        least = self.half - MARGIN
        below = np.where(low > FAR - self.half, -least, low)
        above = np.where(high < self.half - FAR, least, high)
        stretch = ((above - below) / (high - low).clip(1e-9)).clip(None, MOST_STRETCH)
        upwards = np.abs(above - high) > np.abs(below - low)  # the other end stays, or moves less
        result: Floats = np.where(upwards, below + stretch * (vertices - low), above + stretch * (vertices - high))
        return result
