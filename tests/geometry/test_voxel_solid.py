"""What a voxel grid shows as a solid, whether its cells fill it or lie on its surface."""

import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from core.geometry.voxel_solid import VoxelSolid

SIDE, CENTRE = 2.2, np.array([1.0, -2.0, 0.5])


def ball(radius: float = 0.7, cells: int = 32) -> np.ndarray:
    axis = ((np.arange(cells) + 0.5) / cells - 0.5) * SIDE
    places = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
    return np.linalg.norm(places, axis=-1) < radius


@pytest.mark.parametrize("grid", [ball(), ball() & ~binary_erosion(ball())])
def test_the_middle_is_inside_whether_cells_fill_it_or_not(grid: np.ndarray) -> None:
    field = VoxelSolid(grid, CENTRE, SIDE)
    out = np.array([[0.0, 0.0, 0.0], [0.5, 0.0, 0.0], [0.85, 0.0, 0.0], [0.0, -1.05, 0.0], [9.0, 9.0, 9.0]])
    assert (field(out + CENTRE) > 0).tolist() == [True, True, False, False, False]


def test_the_surface_lies_about_where_the_cells_end() -> None:
    field = VoxelSolid(ball(), CENTRE, SIDE)
    radii = np.linspace(0.5, 0.9, 200)
    along = field(CENTRE + radii[:, None] * np.array([1.0, 0.0, 0.0]))
    assert radii[np.argmax(along < 0)] == pytest.approx(0.7, abs=0.6 * SIDE / 32)
