"""Iso-surface of an occupancy function, refined from a coarse grid so that only cells near it are evaluated."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, zoom
from skimage.measure import marching_cubes

from core.errors import MeshError
from core.sequence import BOX_SIDE

Occupancy = Callable[[NDArray[np.float64]], NDArray]


def extract_isosurface(
    occupancy: Occupancy,
    resolution: int = 128,
    level: float = 0.5,
    coarse_resolution: int = 32,
    chunk: int = 65_536,
    thin: NDArray[np.floating] | None = None,
    mend: Callable[[NDArray[np.float64]], NDArray[np.float64]] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Vertices [V, 3] and outward faces [F, 3] where `occupancy` crosses `level` inside the centred box of BOX_SIDE.

    `occupancy` maps points [Q, 3] to values [Q] (larger inside; logits with level 0 work as well as probabilities).
    `resolution` is the number of cells per side, `coarse_resolution` times a power of two: the coarse grid is evaluated
    in full, then cells next to a crossing are halved and only their new corners evaluated; elsewhere values are
    interpolated. Parts thinner than a coarse cell that touch no coarse corner can be missed, unless one of the places
    `thin` [N, 3] lies in them. `mend` may edit the final grid of corner values [resolution + 1] * 3 before the surface
    is extracted. The outermost corners count as outside, so the surface is closed. Raises MeshError when nothing, or
    everything, is inside or values are not finite.
    """
    grid = refined_grid(occupancy, resolution, level, coarse_resolution, chunk, thin)
    if not (grid > level).any():
        raise MeshError("The occupancy is outside everywhere, so there is no surface to extract.")
    if mend is not None:
        grid = mend(grid)
    low = min(float(grid.min()), level - 1.0)
    if (grid[1:-1, 1:-1, 1:-1] > level).all():
        raise MeshError("The occupancy is inside everywhere, so there is no surface to extract.")
    for axis in range(3):
        for end in (0, -1):
            border = np.moveaxis(grid, axis, 0)[end]
            border[border >= level] = low
    # A value equal to the level would put several vertices on one corner and faces without area between them.
    room = 1e-4 * max(float(np.ptp(grid)), 1e-12)
    grid = np.where(np.abs(grid - level) < room, level - room, grid)
    vertices, faces, _, _ = marching_cubes(grid, level=level, gradient_direction="ascent", allow_degenerate=True)
    vertices = (vertices / resolution - 0.5) * BOX_SIDE
    return vertices.astype(np.float32), faces.astype(np.int32)


def refined_grid(
    occupancy: Occupancy,
    resolution: int,
    level: float = 0.5,
    coarse_resolution: int = 32,
    chunk: int = 65_536,
    thin: NDArray[np.floating] | None = None,
) -> NDArray[np.float64]:
    """Values [resolution + 1] * 3 at the grid's corners, exact near the level, elsewhere interpolated.

    Arguments are as in `extract_isosurface`.
    """
    steps = np.log2(resolution / coarse_resolution)
    if coarse_resolution < 2 or steps < 0 or steps != int(steps):
        raise ValueError(f"The resolution {resolution} is not {coarse_resolution} times a power of two.")

    def ask(index: NDArray[np.int64], cells: int) -> NDArray[np.float64]:
        places = (index / cells - 0.5) * BOX_SIDE
        values = [np.asarray(occupancy(places[at : at + chunk])).reshape(-1) for at in range(0, len(places), chunk)]
        answer = np.concatenate(values).astype(np.float64) if values else np.zeros(0)
        if not np.isfinite(answer).all():
            raise MeshError("The occupancy has values that are not finite numbers, so there is no surface to extract.")
        return answer

    cells = coarse_resolution
    index = np.stack(np.meshgrid(*[np.arange(cells + 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    grid = ask(index, cells).reshape((cells + 1,) * 3)
    known = np.ones(grid.shape, bool)
    while cells < resolution:
        near = _crossed_cells(grid > level)
        if thin is not None:
            cell = np.clip(np.floor((np.asarray(thin) / BOX_SIDE + 0.5) * cells), 0, cells - 1).astype(np.int64)
            near[tuple(cell.T)] = True
        near = binary_dilation(near, iterations=1)
        cells *= 2
        grid = zoom(grid, (2 * np.array(grid.shape) - 1) / grid.shape, order=1, grid_mode=False, mode="nearest")
        spread = np.zeros(grid.shape, bool)
        spread[::2, ::2, ::2] = known
        known = spread
        wanted = _corners_of(np.repeat(np.repeat(np.repeat(near, 2, 0), 2, 1), 2, 2)) & ~known
        grid, known = _ask_until_closed(grid, known, wanted, level, partial(ask, cells=cells))
    return grid


def _ask_until_closed(
    grid: NDArray[np.float64],
    known: NDArray[np.bool_],
    wanted: NDArray[np.bool_],
    level: float,
    ask: Callable[[NDArray[np.int64]], NDArray[np.float64]],
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Evaluate the wanted corners, then those of newly crossed cells, until the surface leaves no evaluated cell."""
    while wanted.any():
        index = np.argwhere(wanted)
        grid[wanted] = ask(index)
        known = known | wanted
        wanted = _corners_of(_crossed_cells(grid > level)) & ~known
    return grid, known


def _crossed_cells(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """[n, n, n] cells whose eight corners [n + 1, ...] are neither all inside nor all outside."""
    some, every = inside, inside
    for axis in range(3):
        front = [slice(None)] * 3
        back = [slice(None)] * 3
        front[axis], back[axis] = slice(None, -1), slice(1, None)
        some = some[tuple(front)] | some[tuple(back)]
        every = every[tuple(front)] & every[tuple(back)]
    return some & ~every


def _corners_of(cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """[n + 1, ...] corners that belong to a marked cell [n, n, n]."""
    corners = np.zeros(tuple(side + 1 for side in cells.shape), bool)
    for x in (slice(None, -1), slice(1, None)):
        for y in (slice(None, -1), slice(1, None)):
            for z in (slice(None, -1), slice(1, None)):
                corners[x, y, z] |= cells
    return corners
