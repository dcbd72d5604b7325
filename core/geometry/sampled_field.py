"""A smooth field through the values at the corners of the centred box's grid."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates, spline_filter

from core.sequence import BOX_SIDE

Field = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def sampled_field(grid: NDArray[np.floating]) -> Field:
    """Cubic splines through values [n, n, n] over the box of BOX_SIDE, as a function of places [Q, 3]."""
    splines = spline_filter(np.asarray(grid, dtype=np.float64), order=3)

    def field(places: NDArray[np.float64]) -> NDArray[np.float64]:
        index = (places / BOX_SIDE + 0.5) * (len(splines) - 1)
        result: NDArray[np.float64] = map_coordinates(splines, index.T, order=3, mode="nearest", prefilter=False)
        return result

    return field
