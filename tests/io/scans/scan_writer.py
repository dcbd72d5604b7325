"""Writing scans in the layouts that `read_scans` reads, so that samples can be shipped and shared."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.atomic import write_atomically
from core.errors import DataError
from core.io.scans.camera_files import read_intrinsics, read_poses
from core.io.scans.layouts import SETTINGS_NAME
from core.sequence import ScanSequence

_OWN = re.compile(r"frame\d{4,}\.(ply|png)|voxels\.npz|scan\.json|intrinsics\.txt|poses\.txt")
_MOST_MILLIMETRES = np.iinfo(np.uint16).max


def write_scans(scans: ScanSequence, folder: str | Path) -> Path:
    """Write points (and back-projected depth) as one binary PLY per frame, voxels as one .npz, pictures as PNGs.

    What the frames do not say (modality, frames per second, tracked, partial, up-axis, viewpoints, the grid's box) goes
    to `scan.json`; `read_scans(folder)` gives it all back. A folder that holds other files is refused; frames of an
    earlier writing are replaced. Raises DataError.
    """
    if not scans.frames:
        raise DataError(f"{scans.name} has no frames to write.")
    files: dict[str, bytes] = {}
    if scans.modality == "voxels":
        if scans.voxels is None:
            raise DataError(f"{scans.name} has no voxel grids to write.")
        files["voxels.npz"] = _npz(scans.voxels, scans.voxel_center, scans.voxel_side)
    elif scans.modality == "images":
        if scans.images is None:
            raise DataError(f"{scans.name} has no pictures to write.")
        files |= {f"frame{frame:04}.png": _png(picture) for frame, picture in enumerate(scans.images)}
    else:
        files |= {f"frame{frame:04}.ply": _ply(points) for frame, points in enumerate(scans.points)}
    return _write(files, scans, Path(folder))


def write_depth_maps(
    depth: NDArray, intrinsics: ArrayLike, folder: str | Path, poses: ArrayLike | None = None, fps: float = 24.0
) -> Path:
    """Write depth maps [T, H, W] in metres (0: nothing measured) as 16-bit PNGs in millimetres.

    `intrinsics` [3, 3] goes to intrinsics.txt, camera-to-world `poses` [T, 4, 4] to poses.txt. Raises DataError.
    """
    maps = np.asarray(depth, dtype=np.float64)
    if maps.ndim != 3 or 0 in maps.shape:
        raise DataError(f"The depth maps have shape {maps.shape}, expected [T, H, W].")
    millimetres = np.round(np.nan_to_num(maps, nan=0.0, posinf=0.0, neginf=0.0) * 1000)
    if millimetres.max() > _MOST_MILLIMETRES:
        raise DataError(f"A depth of {maps.max():.1f} m does not fit in 16 bits of millimetres; give metres.")
    files = {
        f"frame{frame:04}.png": _png(picture.clip(0).astype(np.uint16)) for frame, picture in enumerate(millimetres)
    }
    files["intrinsics.txt"] = _text(read_intrinsics(intrinsics).reshape(-1, 3))
    if poses is not None:
        files["poses.txt"] = _text(read_poses(poses, len(maps)).reshape(-1, 4))
    return _write(files, {"modality": "depth", "fps": float(fps)}, Path(folder))


def _write(files: dict[str, bytes], about: ScanSequence | dict[str, object], folder: Path) -> Path:
    """Every file whole or not at all, the settings last; frames that a longer sequence left there are deleted."""
    settings = _settings(about) if isinstance(about, ScanSequence) else about
    files = {**files, SETTINGS_NAME: json.dumps(settings, indent=1).encode()}
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is a file, but scans need a folder; choose another name.")
    try:
        before = sorted(e.name for e in folder.iterdir() if not e.name.startswith(".")) if folder.exists() else []
    except OSError as error:
        raise DataError(f"{folder} cannot be read ({error.strerror}); choose another folder.") from error
    if strangers := [name for name in before if not _OWN.fullmatch(name)]:
        raise DataError(f"The folder {folder} holds other files than scans ({strangers[0]}); choose another folder.")
    for name, data in files.items():
        write_atomically(folder / name, lambda path, data=data: path.write_bytes(data), DataError)  # type: ignore[misc]
    for name in before:
        if name not in files:
            (folder / name).unlink(missing_ok=True)
    return folder


def _settings(scans: ScanSequence) -> dict[str, object]:
    settings: dict[str, object] = {
        "modality": scans.modality,
        "fps": scans.fps,
        "tracked": scans.tracked,
        "partial": scans.partial,
        "up_axis": scans.up_axis,
    }
    if scans.viewpoint is not None:
        settings["viewpoint"] = list(scans.viewpoint)
    if scans.viewpoints is not None:
        settings["viewpoint"] = scans.viewpoints.tolist()
    return settings


def _ply(points: NDArray[np.float32]) -> bytes:
    heading = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(points)}\n"
    return (heading + "".join(f"property float {axis}\n" for axis in "xyz") + "end_header\n").encode() + points.astype(
        "<f4"
    ).tobytes()


def _png(picture: NDArray) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(picture).save(out, format="PNG")
    return out.getvalue()


def _npz(voxels: NDArray[np.bool_], center: tuple[float, float, float], side: float) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, voxels=voxels, center=np.array(center), side=np.array(side))
    return out.getvalue()


def _text(rows: NDArray[np.float64]) -> bytes:
    return "".join(" ".join(repr(float(number)) for number in row) + "\n" for row in rows).encode()
