"""Reads measured points from PLY, PCD, XYZ, OBJ, NPY or NPZ files, one per frame, or from an array of all frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import MeshError
from core.io.arrays import SkippedError, read_arrays, read_bytes
from core.io.beside import is_number, utf8
from core.io.mesh.ply_reader import read_ply_points
from core.io.scans.frames import Frame, Thinning
from core.io.scans.measured import MAX_POINTS, measured_sequence
from core.io.scans.pcd import parse_pcd
from core.io.scans.scan_files import Skipped
from core.io.scans.scan_kind import MAX_FRAMES, ReadingOptions, ScanKind, ScanLayout, triple
from core.sequence import ScanSequence

POINT_SUFFIXES = (".ply", ".pcd", ".xyz", ".pts", ".obj")
ARRAY_SUFFIXES = (".npy", ".npz")
_POINT_NAMES = ("points", "xyz", "positions", "vertices")
_MOST_COLUMNS = 16  # x, y, z, then normals or colours


def read_points(path: Path) -> NDArray[np.float64]:
    """Points [N, 3] as stored, including those that are not finite. Raises SkippedError that says what is wrong."""
    suffix = path.suffix.lower()
    if suffix in ARRAY_SUFFIXES:
        return points_of_arrays(read_arrays(path))
    data = read_bytes(path)
    try:
        if suffix == ".ply":
            return read_ply_points(path)
        if suffix == ".pcd":
            return parse_pcd(data)
        return parse_text_points(data, only="v" if suffix == ".obj" else "")
    except SkippedError:
        raise
    except MeshError as error:
        reason = str(error).removeprefix(f"{path.name} ").removesuffix("; copy or export it again.")
        raise SkippedError(reason.rstrip(".")) from error
    except Exception as error:  # a hostile header can still provoke errors in numpy
        reason = " ".join(str(error).split())[:80] or type(error).__name__
        raise SkippedError(f"is damaged or cut short ({reason})") from error


def points_of_arrays(arrays: dict[str, NDArray]) -> NDArray[np.float64]:
    """Points [N, 3] or [T, N, 3]: the array named points (or the like), else the only one of such a shape.

    With `loc` [3] and `scale`, as in the OFlow layout, they are mapped back to the original coordinates. Raises
    SkippedError.
    """
    fitting = {name: array for name, array in arrays.items() if is_points(array.shape)}
    name = next((name for name in _POINT_NAMES if name in fitting), None)
    if name is None:
        if not fitting:
            shapes = ", ".join(f"{name} {array.shape}" for name, array in list(arrays.items())[:4]) or "nothing"
            raise SkippedError(f"holds {shapes}, expected points of shape [N, 3] or [T, N, 3]")
        if len(fitting) > 1:
            raise SkippedError(
                f"holds several arrays of points ({', '.join(list(fitting)[:4])}); name one of them points"
            )
        name = next(iter(fitting))
    points = fitting[name][..., :3].astype(np.float64)
    loc, scale = arrays.get("loc"), arrays.get("scale")
    if loc is not None and scale is not None and loc.shape == (3,) and scale.size == 1:
        points = points * float(scale.reshape(-1)[0]) + loc
    return points


def is_points(shape: tuple[int, ...]) -> bool:
    """Whether an array of this shape can be points: [N, 3] (more columns are normals or colours) or [T, N, 3]."""
    return (len(shape) == 2 and 3 <= shape[1] <= _MOST_COLUMNS) or (len(shape) == 3 and shape[2] == 3)


def parse_text_points(data: bytes, only: str = "") -> NDArray[np.float64]:
    """Points [N, 3] from lines that begin with three numbers, or for OBJ with the word `only` and three numbers.

    Commas separate like blanks, and `#` and `//` begin comments. A first line of words is a header (`X Y Z`), a first
    line with a single number a count, and an incomplete last line is dropped. Raises SkippedError that quotes a line
    which is not a point.
    """
    data = utf8(data)
    if b"\0" in data[:4096]:
        raise SkippedError("holds binary data where text is needed")
    rows: list[list[str]] = []
    numbers: list[int] = []
    headings = 0
    for number, line in enumerate(data.decode("utf-8", errors="replace").splitlines(), start=1):
        if line.startswith(("#", "//")):
            continue
        words = line.replace(",", " ").replace(";", " ").split()
        if only:
            if words[:1] != [only]:
                continue
            words = words[1:]
        if words and not rows and not only and not is_number(words[0]) and not headings:
            headings += 1
            continue
        if words and not (not rows and len(words) == 1):
            rows.append(words[:3])
            numbers.append(number)
    if rows and len(rows[-1]) < 3:
        rows.pop()
    if not rows:
        return np.zeros((0, 3))
    try:
        return np.array(rows, dtype=np.float64).reshape(len(rows), 3)
    except ValueError as error:
        for row, number in zip(rows, numbers, strict=False):
            if not _is_point(row):
                raise SkippedError(f"has the line {number} {' '.join(row)[:40]!r}, which is not a point") from error
        raise SkippedError("holds lines that are not points") from error


def _is_point(words: list[str]) -> bool:
    try:
        return len([float(word) for word in words]) == 3
    except ValueError:
        return False


def read_point_scans(path: Path, layout: ScanLayout, asked: ReadingOptions) -> ScanSequence:
    """All frames of points. With the modality "depth" they show one side of the shape."""
    frames: list[Frame] = []
    skipped: Skipped = []
    thinned = Thinning(MAX_POINTS, asked.tracked)
    for file in layout.files:
        try:
            points = read_points(file)
        except SkippedError as error:
            skipped.append((file.name, str(error)))
            continue
        if points.ndim == 2:
            frames.append((file.name, thinned(points)))
        elif len(layout.files) == 1:
            frames = [(f"frame {number}", thinned(frame)) for number, frame in enumerate(points[:MAX_FRAMES])]
            if len(points) > MAX_FRAMES:
                layout.notes.append(f"Only the first {MAX_FRAMES:,} of {len(points):,} frames are used.")
        else:
            skipped.append((file.name, "holds several frames, among files of one frame each"))
    layout.notes.extend(thinned.notes())
    return measured_sequence(path, layout, frames, skipped, asked, _places(layout), asked.modality == "depth")


def _places(layout: ScanLayout) -> dict[str, NDArray[np.float64]] | None:
    """{file name: camera position} from scan.json, if it has one for each frame; else None."""
    told = layout.settings.get("viewpoint")
    places = [triple(place) for place in told] if isinstance(told, list) else []
    if len(places) != len(layout.files) or any(place is None for place in places):
        return None
    return {file.name: np.array(place) for file, place in zip(layout.files, places, strict=True)}


POINTS = ScanKind(
    "points",
    "points",
    "PLY, PCD, XYZ, OBJ, NPY or NPZ points",
    read_point_scans,
    suffixes=POINT_SUFFIXES,
    array="points",
    fitting=lambda shape, number: np.dtype(number).kind in "biuf" and is_points(shape),
    stands_for=("depth",),  # another program may have back-projected a depth scan
    boxes=True,
)
