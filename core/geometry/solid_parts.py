"""Makes one solid of a grid of values: drops crumbs, bridges gaps to seen parts, fills hollows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, generate_binary_structure, label
from scipy.spatial import KDTree

from core.sequence import BOX_SIDE

SMALLEST = 0.08  # of the largest part's cells; less is noise, unless points lie on it
SUPPORT, REACH = 4, 0.02  # a part is seen if at least so many points lie this near to it
SMALLEST_SEEN = 0.0015  # of the largest part's cells, at least, in a seen part
FARTHEST = 0.2  # longest gap that is bridged; seen parts beyond it stay apart
THINNEST, THICKEST = 1.2, 0.03  # radius of a bridge: in cells, and of the size
STEEPNESS = 100.0  # of a bridge's values, per unit of length

Grid = NDArray[np.float64]


def one_solid(grid: Grid, points: NDArray[np.floating] | None = None) -> Grid:
    """Values [n, n, n] at the corners of the centred box of BOX_SIDE, positive inside, with the inside made one piece.

    Small parts become outside, except those that seen `points` [N, 3] lie on, which are bridged to the rest over gaps
    of up to FARTHEST. Enclosed hollows become inside.
    """
    result = _filled(np.array(grid, dtype=np.float64))
    part, count = label(result > 0)
    if count < 2:
        return result
    cells = np.bincount(part.ravel(), minlength=count + 1)
    cells[0] = 0
    step = BOX_SIDE / (len(grid) - 1)
    seen = np.zeros(count + 1, dtype=np.int64)
    where = np.argwhere(part)
    tree = KDTree((where - (len(grid) - 1) / 2) * step)
    if points is not None and len(points):
        distance, near = tree.query(np.asarray(points, dtype=np.float64))
        seen = np.bincount(part[tuple(where[near[distance < max(REACH, 1.5 * step)]].T)], minlength=count + 1)
    largest = cells.max()
    kept = (cells >= SMALLEST * largest) | ((seen >= SUPPORT) & (cells >= SMALLEST_SEEN * largest))
    result[~kept[part]] = np.minimum(result[~kept[part]], -1.0)
    if kept.sum() == 1:
        return result
    return _bridged(result, part, np.flatnonzero(kept), int(cells.argmax()), seen, step)


def _filled(grid: Grid) -> Grid:
    """Turns enclosed hollows into inside, in place."""
    outside, count = label(grid <= 0, generate_binary_structure(3, 3))
    if count > 1:
        border = np.zeros(grid.shape, dtype=bool)
        border[1:-1, 1:-1, 1:-1] = True
        open_air = np.unique(outside[~border])
        hollow = (outside > 0) & ~np.isin(outside, open_air)
        grid[hollow] = np.maximum(-grid[hollow], 1e-3)
    return grid


def _bridged(
    grid: Grid, part: NDArray[np.integer], kept: NDArray[np.int64], main: int, seen: NDArray[np.int64], step: float
) -> Grid:
    """Tie the parts `kept` to the largest, `main`, nearest first; unseen ones too far away become outside."""
    thickness = distance_transform_edt(part > 0) * step
    shell = {number: np.argwhere((part == number) & (thickness < 1.5 * step)) for number in kept}
    joined, waiting = shell[main], [number for number in kept if number != main]
    while waiting:
        tree = KDTree(joined)
        gaps = [tree.query(shell[number]) for number in waiting]
        first = int(np.argmin([distance.min() for distance, _ in gaps]))
        number, (distance, near) = waiting.pop(first), gaps[first]
        row = int(distance.argmin())
        if distance[row] * step <= FARTHEST:
            here, there = shell[number][row], joined[near[row]]
            thick = max(_thickness(thickness, place) for place in (here, there))
            _add_rod(grid, here, there, np.clip(0.7 * thick, THINNEST * step, THICKEST) / step, step)
        elif seen[number] < SUPPORT:
            grid[part == number] = -1.0
            continue
        joined = np.concatenate([joined, shell[number]])
    return grid


def _thickness(thickness: Grid, place: NDArray[np.int64]) -> float:
    """Half the thickness of the solid near a surface cell."""
    low, high = (place - 4).clip(0), place + 5
    return float(thickness[low[0] : high[0], low[1] : high[1], low[2] : high[2]].max())


def _add_rod(grid: Grid, start: NDArray[np.int64], end: NDArray[np.int64], radius: float, step: float) -> None:
    """Raise the values along a rod between two corners, in place; its radius is in cells."""
    reach = int(np.ceil(radius)) + 1
    low = (np.minimum(start, end) - reach).clip(0)
    high = np.minimum(np.maximum(start, end) + reach + 1, grid.shape)
    places = np.stack(np.meshgrid(*map(np.arange, low, high), indexing="ij"), axis=-1)
    along = (end - start).astype(np.float64)
    share = ((places - start) @ along / max(float(along @ along), 1e-9)).clip(0, 1)
    apart = np.linalg.norm(places - start - share[..., None] * along, axis=-1)
    window = grid[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
    np.maximum(window, STEEPNESS * step * (radius - apart), out=window)
