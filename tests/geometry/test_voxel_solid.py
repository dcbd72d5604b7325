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


def passed_through(radius: float = 0.7, cells: int = 32) -> np.ndarray:
    """The cells that a sphere's surface passes through."""
    corner = (np.arange(cells + 1) / cells - 0.5) * SIDE
    inside = np.linalg.norm(np.stack(np.meshgrid(corner, corner, corner, indexing="ij"), axis=-1), axis=-1) < radius
    count = sum(
        inside[i : cells + i, j : cells + j, k : cells + k].astype(int) for i in (0, 1) for j in (0, 1) for k in (0, 1)
    )
    return (count > 0) & (count < 8)


@pytest.mark.parametrize("grid", [ball(), passed_through()])
def test_the_surface_lies_where_solid_cells_end_and_in_the_middle_of_those_it_passes_through(grid: np.ndarray) -> None:
    field = VoxelSolid(grid, CENTRE, SIDE)
    directions = np.random.default_rng(0).standard_normal((200, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    radii = np.linspace(0.5, 0.9, 200)
    along = field((CENTRE + radii[:, None, None] * directions).reshape(-1, 3)).reshape(200, 200)
    assert radii[np.argmax(along < 0, axis=0)].mean() == pytest.approx(0.7, abs=0.15 * SIDE / 32)


def test_a_limb_of_one_cell_stays_whole() -> None:
    grid = passed_through()
    grid[26:, 16, 16] = True
    field = VoxelSolid(grid, CENTRE, SIDE)
    limb = ((np.stack([np.arange(29, 31), np.full(2, 16), np.full(2, 16)], axis=1) + 0.5) / 32 - 0.5) * SIDE
    assert (field(limb + CENTRE) > 0).all()


@pytest.mark.parametrize("grid", [ball(), ball() & ~binary_erosion(ball())])
def test_normals_point_outwards_where_one_side_is_near(grid: np.ndarray) -> None:
    field = VoxelSolid(grid, CENTRE, SIDE)
    cells = np.argwhere(grid & ~binary_erosion(grid))
    places = ((cells + 0.5) / 32 - 0.5) * SIDE
    normals = field.normals(places + CENTRE)
    outward = places / np.linalg.norm(places, axis=1, keepdims=True)
    assert np.einsum("ni,ni->n", normals, outward).min() > 0.8
    assert np.linalg.norm(normals, axis=1).max() < 1 + 1e-9


def test_both_sides_of_a_sheet_leave_its_normals_open() -> None:
    sheet = np.zeros((32, 32, 32), dtype=bool)
    sheet[8:24, 8:24, 16] = True
    middle = np.argwhere(sheet).mean(axis=0)
    normals = VoxelSolid(sheet, CENTRE, SIDE).normals(((middle + 0.5) / 32 - 0.5)[None] * SIDE + CENTRE)
    assert np.linalg.norm(normals) < 0.1
