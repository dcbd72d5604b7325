"""A voxel grid as a smooth solid field: its surface cells and what they enclose."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, binary_erosion, binary_fill_holes, gaussian_filter, map_coordinates

THICK = 0.43  # of a cell that the surface passes through counts as inside, on a part with cells that are all inside
BLUR = 0.6  # standard deviation in cells: removes the stairs
LEVEL, THINNEST = 0.5, 0.502
NORMAL_STEP = 1.0  # cells from a place to where the field is compared
SURE = 0.3  # difference of the field over both steps from which on a normal is certain


class VoxelSolid:
    """The field of one grid [R, R, R] of booleans, solid or a shell, in the box of that side around its centre."""

    def __init__(self, grid: NDArray[np.bool_], centre: NDArray[np.floating], side: float) -> None:
        cells = np.pad(grid, 2)
        enclosed, deep = binary_fill_holes(cells) & ~cells, binary_erosion(cells, np.ones((3, 3, 3)))
        # Grids of solids hold cells whose middle is inside; others, cells that the surface passes through.
        filled = deep.sum() > enclosed.sum()
        inside = cells if filled else enclosed | deep
        # On thinner parts a cell's middle is about on the surface, however few its neighbours: limbs do not vanish.
        kept = gaussian_filter((inside | cells).astype(np.float64), BLUR).clip(0.05)
        share = np.where(binary_dilation(inside), THICK, THINNEST / kept)
        self._values = gaussian_filter(np.maximum(inside, share * cells), BLUR)
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
