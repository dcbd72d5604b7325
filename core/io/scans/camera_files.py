"""Reads cameras of depth maps (intrinsics and poses, from files or arguments), and back-projects pixels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import DataError
from core.io.arrays import SkippedError, read_arrays, read_bytes
from core.io.beside import utf8

INTRINSICS_STEMS = ("intrinsics", "intrinsic", "camera")
POSES_STEMS = ("poses", "pose")
CAMERA_SUFFIXES = (".txt", ".json", ".npy", ".npz")
_HOW = "give a 3 x 3 matrix, for example in intrinsics.txt beside the depth maps"
_MAX_TEXT = 1 << 26


def find_camera_file(folder: Path, stems: tuple[str, ...]) -> Path | None:
    """The first of STEM.txt, .json, .npy and .npz in the folder; None without any."""
    for stem in stems:
        for suffix in CAMERA_SUFFIXES:
            if (folder / f"{stem}{suffix}").is_file():
                return folder / f"{stem}{suffix}"
    return None


def read_intrinsics(source: ArrayLike | str | Path) -> NDArray[np.float64]:
    """Intrinsics [3, 3] or [T, 3, 3] in pixels, from a matrix, from fx fy cx cy, or from a file. Raises DataError."""
    label = "The camera intrinsics"
    if isinstance(source, str | Path):
        label = Path(source).name
        source = _numbers_of_file(Path(source), ("intrinsics", "intrinsic", "K", "camera_matrix"), _named_intrinsics)
    try:
        numbers = np.asarray(source, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{label}: these are not numbers; {_HOW}.") from error
    if numbers.shape == (4,):
        fx, fy, cx, cy = numbers
        numbers = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    if numbers.size in (9, 16) and numbers.ndim == 1:
        numbers = numbers.reshape(3, 3) if numbers.size == 9 else numbers.reshape(4, 4)
    if numbers.ndim in (2, 3) and numbers.shape[-2:] == (4, 4):  # as ScanNet writes it
        numbers = numbers[..., :3, :3]
    if numbers.ndim not in (2, 3) or numbers.shape[-2:] != (3, 3):
        raise DataError(f"{label}: {numbers.size} numbers of shape {numbers.shape} are not a camera matrix; {_HOW}.")
    if not np.isfinite(numbers).all() or (numbers[..., 0, 0] <= 0).any() or (numbers[..., 1, 1] <= 0).any():
        raise DataError(f"{label}: the focal lengths must be positive numbers; {_HOW}.")
    with np.errstate(all="ignore"):
        scale = np.abs(numbers).max(axis=(-2, -1))
        if not (np.abs(np.linalg.det(numbers / scale[..., None, None])) > 1e-12).all() or scale.max() > 1e9:
            raise DataError(f"{label}: the matrix cannot be inverted; {_HOW}.")
    return numbers


def read_poses(source: ArrayLike | str | Path, frames: int) -> NDArray[np.float64]:
    """Camera-to-world matrices [T, 4, 4] from an array or a file. Raises DataError if one is no rigid motion."""
    label = "The camera poses"
    if isinstance(source, str | Path):
        label = Path(source).name
        source = _numbers_of_file(Path(source), ("poses", "pose", "camera_to_world"), lambda _: None)
    try:
        numbers = np.asarray(source, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{label}: these are not numbers; give one 4 x 4 camera-to-world matrix per frame.") from error
    if numbers.size not in (16 * frames, 12 * frames):
        raise DataError(
            f"{label}: {numbers.size} numbers are not one 4 x 4 camera-to-world matrix for each of {frames} frames; "
            "correct the file or remove it."
        )
    poses = np.broadcast_to(np.eye(4), (frames, 4, 4)).copy()
    rows = numbers.size // (4 * frames)
    poses[:, :rows] = numbers.reshape(frames, rows, 4)
    turns = poses[:, :3, :3]
    rigid = np.isfinite(poses).all(axis=(1, 2))
    with np.errstate(invalid="ignore", over="ignore"):
        rigid &= np.abs(turns @ turns.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2)) < 0.01
        rigid &= np.abs(poses[:, 3] - [0, 0, 0, 1]).max(axis=1) < 1e-6
        rigid[rigid] &= np.linalg.det(turns[rigid]) > 0
    if not rigid.all():
        raise DataError(
            f"{label}: the matrix of frame {int(np.flatnonzero(~rigid)[0])} is not a rotation with a translation; "
            "give camera-to-world matrices, row by row."
        )
    return poses


def back_project(
    depth: NDArray[np.float64], intrinsics: NDArray[np.float64], keep: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Points [N, 3] of the pixels `keep` of depth [H, W] along z, in camera axes: x right, y down, z forward."""
    row, column = np.nonzero(keep)
    z = depth[row, column]
    rays = np.stack([column, row, np.ones_like(row)], axis=1) @ np.linalg.inv(intrinsics).T
    return rays * z[:, None]


def world_turn(poses: NDArray[np.float64] | None) -> tuple[NDArray[np.float64], str]:
    """A rotation [3, 3] by 0 or 180 degrees after which a positive axis points up, and that axis.

    Up is the axis nearest to the mean direction of the images' upper edges. Without poses, the world has the camera's
    axes, whose y points down; turned about x, it has Y up and the camera looks along -z.
    """
    up = np.array([0.0, -1.0, 0.0]) if poses is None else -poses[:, :3, 1].mean(axis=0)
    axis = int(np.abs(up).argmax())
    if up[axis] >= 0:
        return np.eye(3), "xyz"[axis]
    return np.diag([-1.0, -1, 1] if axis == 0 else [1.0, -1, -1]), "xyz"[axis]


def _numbers_of_file(path: Path, names: tuple[str, ...], named: object) -> ArrayLike:
    try:
        data = read_bytes(path)
        if path.suffix.lower() in (".npy", ".npz"):
            arrays = read_arrays(path)
            chosen = next((name for name in names if name in arrays), next(iter(arrays), None))
            if chosen is None:
                raise SkippedError("holds no numbers")
            return arrays[chosen]
        if len(data) > _MAX_TEXT:
            raise SkippedError("is too large for a camera file")
        text = utf8(data).decode("utf-8", errors="replace")
        if path.suffix.lower() != ".json":
            return [float(word) for word in text.replace(",", " ").replace("[", " ").replace("]", " ").split()]
        found = json.loads(text)
        if isinstance(found, Mapping):
            fields = found
            found = next((fields[name] for name in names if name in fields), None)
            if found is None and callable(named):
                found = named(fields)
        if isinstance(found, list):
            return found
        raise SkippedError(f"holds none of {', '.join(names)}")
    except SkippedError as error:
        raise DataError(f"{path.name} {error}; {_HOW}.") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise DataError(f"{path.name} holds something that is not a number; {_HOW}.") from error


def _named_intrinsics(fields: Mapping) -> list | None:
    """The values of fx, fy, cx, cy, or of Open3D's `intrinsic_matrix`, which is stored column by column."""
    if all(name in fields for name in ("fx", "fy", "cx", "cy")):
        return [fields[name] for name in ("fx", "fy", "cx", "cy")]
    columns = fields.get("intrinsic_matrix")
    if isinstance(columns, list) and len(columns) == 9:
        return [columns[at] for at in (0, 3, 6, 1, 4, 7, 2, 5, 8)]
    return columns if isinstance(columns, list) else None
