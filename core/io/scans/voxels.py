"""Reads voxel grids: .binvox files, and .npy or .npz files with booleans or numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError
from core.io.arrays import SkippedError, read_arrays, read_bytes
from core.io.scans.scan_files import Skipped, none_usable, skipped_notes
from core.io.scans.scan_kind import MAX_FRAMES, ReadingOptions, ScanKind, ScanLayout
from core.sequence import BOX_SIDE, ScanSequence, frozen_array

MAX_SIDE = 256
MAX_GRID_BYTES = 1 << 29
_GRID_NAMES = ("voxels", "occupancy", "occupancies", "grid", "array")
_INSIDE = 0.5  # numbers above it are inside


@dataclass(frozen=True, eq=False)
class VoxelFile:
    """Grids [T, R, R, R] in index order x, y, z, and the box that they fill."""

    grids: NDArray[np.bool_]
    center: tuple[float, float, float] = (0.0, 0.0, 0.0)
    side: float = BOX_SIDE


def is_grid(shape: tuple[int, ...]) -> bool:
    """Whether an array of this shape can be one grid [X, Y, Z] or several [T, X, Y, Z]."""
    return len(shape) in (3, 4) and min(shape[-3:], default=0) >= 4


def read_voxels(path: Path) -> VoxelFile:
    """The grids of one file; boxes that are no cubes are padded with empty cells. Raises SkippedError."""
    if path.suffix.lower() == ".binvox":
        return parse_binvox(read_bytes(path))
    arrays = read_arrays(path)
    fitting = {name: array for name, array in arrays.items() if is_grid(array.shape)}
    name = next((name for name in _GRID_NAMES if name in fitting), next(iter(fitting), None))
    if name is None:
        raise SkippedError("holds no voxel grid of shape [R, R, R] or [T, R, R, R]")
    grids = fitting[name]
    _check_sides(grids.shape[-3:])
    grids = grids > _INSIDE if grids.dtype.kind == "f" else grids.astype(bool)
    center, side = np.zeros(3), BOX_SIDE
    if "center" in arrays and arrays["center"].size == 3:
        center = arrays["center"].reshape(3).astype(np.float64)
    if "side" in arrays and arrays["side"].size == 1:
        side = float(arrays["side"].reshape(-1)[0])
    return _cube(grids if grids.ndim == 4 else grids[None], center, side)


def parse_binvox(data: bytes) -> VoxelFile:
    """The grid of a binvox file's bytes, with its position and size. Raises SkippedError."""
    marker = data.find(b"data\n", 0, 4096)
    if not data.startswith(b"#binvox") or marker < 0:
        raise SkippedError("is not a binvox file, or its header is cut short")
    dims, corner, scale = None, np.zeros(3), 1.0
    try:
        for line in data[:marker].decode("ascii", errors="replace").splitlines():
            words = line.split()
            if words[:1] == ["dim"]:
                dims = tuple(int(word) for word in words[1:4])
            elif words[:1] == ["translate"]:
                corner = np.array([float(word) for word in words[1:4]])
            elif words[:1] == ["scale"]:
                scale = float(words[1])
    except (IndexError, ValueError) as error:
        raise SkippedError("has an invalid header") from error
    if dims is None or len(dims) != 3 or corner.shape != (3,):
        raise SkippedError("has an invalid header")
    _check_sides(dims)
    body = np.frombuffer(data, np.uint8, offset=marker + 5)
    values, counts = body[0 : len(body) // 2 * 2 : 2], body[1::2].astype(np.int64)
    if counts.sum() != math.prod(dims):
        raise SkippedError(f"holds {int(counts.sum()):,} of {math.prod(dims):,} cells, so it is damaged or cut short")
    # On disk y runs fastest, then z, then x.
    grid = np.repeat(values > 0, counts).reshape(dims).transpose(0, 2, 1)
    side = scale * 1.0
    shape = np.array(grid.shape)
    center = corner + side * shape / shape.max() / 2
    return _cube(grid[None], center, side)


def cell_centers(grid: NDArray[np.bool_], center: tuple[float, float, float], side: float) -> NDArray[np.float64]:
    """Centres [N, 3] of the occupied cells of one grid [R, R, R]."""
    return (np.argwhere(grid) + 0.5) * (side / len(grid)) - side / 2 + np.asarray(center)


def _cube(grids: NDArray[np.bool_], center: NDArray[np.float64], side: float) -> VoxelFile:
    """Pad grids to cubes; `side` is the length of the longest side, and cells stay where they are."""
    if not (np.isfinite(center).all() and np.abs(center).max() < 1e30 and np.isfinite(side) and 1e-30 < side < 1e30):
        raise SkippedError("has an invalid position or size")
    shape = np.array(grids.shape[1:])
    longest = int(shape.max())
    before = (longest - shape) // 2
    after = longest - shape - before
    padded = np.pad(grids, [(0, 0), *zip(before.tolist(), after.tolist(), strict=True)])
    x, y, z = center + (after - before) / 2 * (side / longest)
    return VoxelFile(padded, (float(x), float(y), float(z)), side)


def _check_sides(shape: tuple[int, ...]) -> None:
    if not 4 <= min(shape) <= max(shape) <= MAX_SIDE:
        raise SkippedError(f"has {' x '.join(map(str, shape))} cells; 4 to {MAX_SIDE} a side are supported")


def read_voxel_scans(path: Path, layout: ScanLayout, asked: ReadingOptions) -> ScanSequence:
    """All grids that have as many cells as the first. Raises DataError if none can be used."""
    grids: list[NDArray[np.bool_]] = []
    first: VoxelFile | None = None
    skipped: Skipped = []
    total = moved = 0
    for file in layout.files:
        try:
            found = read_voxels(file)
        except SkippedError as error:
            skipped.append((file.name, str(error)))
            total += 1
            continue
        first = found if first is None else first
        moved += int(_moved(first, found))
        for number, grid in enumerate(found.grids[:MAX_FRAMES]):
            name = file.name if len(layout.files) > 1 else f"frame {number}"
            total += 1
            if grid.shape != first.grids.shape[1:]:
                skipped.append((name, f"has {len(grid)} cells a side where the first has {first.grids.shape[1]}"))
            elif not grid.any():
                skipped.append((name, "has no occupied cells"))
            elif grid.all():
                skipped.append((name, "has no empty cells, so it shows no shape"))
            elif (len(grids) + 1) * grid.size > MAX_GRID_BYTES:
                skipped.append((name, f"goes beyond {MAX_GRID_BYTES >> 20} MB of cells in all"))
            else:
                grids.append(grid)
    if first is None or not grids:
        raise DataError(none_usable(path, total, skipped))
    notes = [*layout.notes, *skipped_notes(total, skipped)]
    if moved:
        notes.append(f"{moved:,} grids fill another box than the first; all are shown in the first one's.")
    points = tuple(
        frozen_array(cell_centers(grid, first.center, first.side), np.float32, (None, 3), "points") for grid in grids
    )
    stack: NDArray[np.bool_] = np.stack(grids)
    stack.setflags(write=False)
    return ScanSequence(
        points, modality="voxels", up_axis=asked.up_axis or "y", partial=bool(asked.partial), dense=stack,
        voxel_center=first.center, voxel_side=first.side, notes=tuple(notes),
    )  # fmt: skip


def _moved(first: VoxelFile, other: VoxelFile) -> bool:
    """Whether two grids fill boxes more than half a cell apart."""
    cell = first.side / first.grids.shape[1]
    shift = np.abs(np.subtract(first.center, other.center)).max()
    return bool(shift > cell / 2 or abs(first.side - other.side) > cell)


VOXELS = ScanKind(
    "voxels",
    "voxel grids",
    "voxel grids",
    read_voxel_scans,
    suffixes=(".binvox",),
    array="voxels",
    fitting=lambda shape, number: np.dtype(number).kind in "biuf" and is_grid(shape),
)
