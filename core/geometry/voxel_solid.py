"""A voxel grid as a smooth solid field: its surface cells and what they enclose."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, binary_fill_holes, gaussian_filter, map_coordinates

SHELL = 0.7  # of a surface cell counts as inside: a little over half, for thin parts
BLUR = 0.7  # standard deviation in cells: removes the stairs, keeps thin parts
LEVEL = 0.5
NORMAL_STEP = 1.0  # cells from a place to where the field is compared
SURE = 0.3  # difference of the field over both steps from which on a normal is certain


class VoxelSolid:
    """The field of one grid [R, R, R] of booleans, solid or a shell, in the box of that side around its centre."""

    def __init__(self, grid: NDArray[np.bool_], centre: NDArray[np.floating], side: float) -> None:
        shell = np.pad(grid, 2)
        # What cells enclose, and cells among cells.
        inside = (binary_fill_holes(shell) & ~shell) | binary_erosion(shell, np.ones((3, 3, 3)))
        self._values = gaussian_filter(np.maximum(inside, SHELL * shell), BLUR)
        self._centre, self._side, self._cells = np.asarray(centre, dtype=np.float64), side, len(grid)

    def normals(self, places: NDArray[np.floating]) -> NDArray[np.float64]:
        """Outward normals [Q, 3] at places [Q, 3]; shorter than 1 inside thin parts, whose sides are both near."""
        step = NORMAL_STEP * self._side / self._cells
        slope = np.stack([self(places + step * axis) - self(places - step * axis) for axis in np.eye(3)], axis=1)
        steepness = np.linalg.norm(slope, axis=1, keepdims=True)
        return -slope / np.maximum(steepness, SURE)

    def __call__(self, places: NDArray[np.floating]) -> NDArray[np.float64]:
        """The field [Q] at places [Q, 3] in the grid's space: positive inside, at most one half."""
        index = ((np.asarray(places) - self._centre) / self._side + 0.5) * self._cells - 0.5 + 2
        values: NDArray[np.float64] = map_coordinates(self._values, index.T, order=1, mode="nearest")
        return values - LEVEL
