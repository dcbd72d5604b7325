"""Recognises the folders of RGB-D data sets (ScanNet, TUM, 7-Scenes), and finds their cameras, units and times."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError
from core.io.arrays import SkippedError, read_bytes
from core.io.beside import utf8
from core.io.scans.scan_files import natural_key

MILLIMETRES, TUM_SCALE = 1000.0, 5000.0  # units of a depth image per metre
_NEAREST_POSE = 0.05  # largest gap in seconds between an image and its pose
_INVALID_DEPTH = 65535


@dataclass(frozen=True, eq=False)
class DepthLayout:
    """Depth images in order, with their companion files; a frame without a usable pose has None."""

    name: str
    files: list[Path]
    scale: float
    intrinsics: Path | None = None
    poses: list[NDArray[np.float64] | None] | None = None  # camera to world [4, 4]
    times: list[float] | None = None  # seconds
    notes: list[str] = field(default_factory=list)


def find_depth_layout(folder: Path) -> DepthLayout | None:
    """The data set layout of a folder (for a `depth` folder, of its parent); None if there is none."""
    if folder.name == "depth" and _is_data_set(folder.parent):
        folder = folder.parent
    try:
        if _is_data_set(folder):
            return _scannet(folder) if _is_scannet(folder) else _tum(folder)
        if any(folder.glob("*.depth.png")):
            return _seven_scenes(folder)
    except OSError as error:
        raise DataError(f"{folder} cannot be read ({error.strerror}); check its permissions.") from error
    return None


def images_folder(folder: Path) -> Path | None:
    """Where a data set keeps its colour images."""
    return next((folder / name for name in ("color", "rgb") if (folder / name).is_dir()), None)


def _is_data_set(folder: Path) -> bool:
    return (folder / "depth").is_dir() and (_is_scannet(folder) or _is_tum(folder))


def _is_scannet(folder: Path) -> bool:
    return (folder / "pose").is_dir() or (folder / "intrinsic").is_dir()


def _is_tum(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("depth.txt", "groundtruth.txt", "associations.txt"))


def _scannet(folder: Path) -> DepthLayout:
    files = sorted((folder / "depth").glob("*.png"), key=natural_key)
    camera = next(
        (path for name in ("intrinsic_depth.txt", "intrinsic.txt") if (path := folder / "intrinsic" / name).is_file()),
        None,
    )
    poses = None
    if (folder / "pose").is_dir():
        poses = [_matrix(folder / "pose" / f"{file.stem}.txt") for file in files]
    return DepthLayout("ScanNet", files, MILLIMETRES, camera, poses)


def _seven_scenes(folder: Path) -> DepthLayout:
    files = sorted(folder.glob("*.depth.png"), key=natural_key)
    poses = [_matrix(file.with_name(file.name.replace(".depth.png", ".pose.txt"))) for file in files]
    note = f"Depths of {_INVALID_DEPTH} mean that nothing was measured, as in 7-Scenes."
    return DepthLayout(
        "7-Scenes", files, MILLIMETRES, None, poses if any(pose is not None for pose in poses) else None, notes=[note]
    )


def _tum(folder: Path) -> DepthLayout:
    """The layout of TUM, where file names are times in seconds; poses are those nearest in time."""
    files = sorted((folder / "depth").glob("*.png"), key=lambda file: (_time(file) or 0.0, natural_key(file)))
    times = [_time(file) for file in files]
    if any(time is None for time in times):
        return DepthLayout("TUM", files, TUM_SCALE)
    known = [time for time in times if time is not None]
    return DepthLayout("TUM", files, TUM_SCALE, None, _poses_at(folder / "groundtruth.txt", known), known)


def _time(file: Path) -> float | None:
    try:
        value = float(file.stem)
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def _matrix(path: Path) -> NDArray[np.float64] | None:
    """A camera-to-world matrix [4, 4]; None if it is missing or no rigid motion, as where tracking was lost."""
    try:
        numbers = np.array(utf8(read_bytes(path)).split(), dtype=np.float64)
    except (SkippedError, ValueError):
        return None
    return numbers.reshape(4, 4) if numbers.size == 16 and is_rigid(numbers.reshape(4, 4)) else None


def is_rigid(matrix: NDArray[np.float64]) -> bool:
    """Whether a matrix [4, 4] is a rotation and a translation."""
    if not np.isfinite(matrix).all() or np.abs(matrix).max() > 1e9:
        return False
    turn = matrix[:3, :3]
    straight = np.abs(turn @ turn.T - np.eye(3)).max() < 0.01 and np.linalg.det(turn) > 0
    return bool(straight and np.abs(matrix[3] - [0, 0, 0, 1]).max() < 1e-6)


def _poses_at(path: Path, times: list[float]) -> list[NDArray[np.float64] | None] | None:
    """Poses at the nearest times in a trajectory with lines `time tx ty tz qx qy qz qw`; None without the file."""
    if not path.is_file():
        return None
    try:
        lines = [line.split() for line in utf8(read_bytes(path)).splitlines() if not line.startswith(b"#")]
        table = np.array([line[:8] for line in lines if len(line) >= 8], dtype=np.float64).reshape(-1, 8)
    except (SkippedError, ValueError) as error:
        raise DataError(f"{path.name} holds something that is not a number; correct the file or remove it.") from error
    table = table[np.isfinite(table).all(axis=1)]
    poses: list[NDArray[np.float64] | None] = []
    for time in times:
        near = int(np.abs(table[:, 0] - time).argmin()) if len(table) else -1
        found = near >= 0 and abs(table[near, 0] - time) <= _NEAREST_POSE
        pose = _pose(table[near, 1:]) if found else None
        poses.append(pose if pose is not None and is_rigid(pose) else None)
    return poses


def _pose(row: NDArray[np.float64]) -> NDArray[np.float64]:
    """The matrix [4, 4] of a position x y z and a quaternion x y z w, a row [7]."""
    x, y, z, w = row[3:] / max(float(np.linalg.norm(row[3:])), 1e-300)
    matrix = np.eye(4)
    matrix[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    matrix[:3, 3] = row[:3]
    return matrix
