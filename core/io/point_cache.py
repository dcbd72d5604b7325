"""Reads and writes PC2 and MDD: positions of all vertices in all frames, played on a base OBJ of the same order."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError
from core.io.export_clip import ExportClip


def write_pc2(clip: ExportClip, path: Path) -> None:
    """Write the header `<12siiffi` (signature, version, points, start, rate, samples) and little-endian float32 xyz.

    The rate is in frames per sample, so 1; the frame rate is the scene's.
    """
    count, points = clip.frames.shape[:2]
    with path.open("wb") as file:
        file.write(struct.pack("<12siiffi", b"POINTCACHE2\0", 1, points, 0.0, 1.0, count))
        for frame in clip.frames:
            file.write(np.ascontiguousarray(frame, dtype="<f4").tobytes())


def read_pc2(path: Path) -> tuple[NDArray[np.float32], float]:
    """Positions [T, V, 3] and the frame rate, assuming a scene of 24 frames per second.

    Raises DataError for a damaged file.
    """
    try:
        content = path.read_bytes()
        _, _, points, _, rate, count = struct.unpack("<12siiffi", content[:32])
        if not content.startswith(b"POINTCACHE2") or points < 1 or count < 1 or not rate > 0:
            raise ValueError("no point cache")
        values = np.frombuffer(content, "<f4", count * points * 3, 32)
    except (OSError, struct.error, ValueError):
        raise DataError(f"{path.name} is damaged or not a PC2 file; export it again.") from None
    return _checked(values.reshape(count, points, 3), path), 24.0 / rate


def read_mdd(path: Path) -> tuple[NDArray[np.float32], float]:
    """Positions [T, V, 3] and the frame rate. Raises DataError for a damaged file."""
    try:
        content = path.read_bytes()
        count, points = struct.unpack(">ii", content[:8])
        if points < 1 or count < 2:
            raise ValueError("no point cache")
        times = np.frombuffer(content, ">f4", count, 8)
        values = np.frombuffer(content, ">f4", count * points * 3, 8 + 4 * count)
        step = float(times[-1] - times[0]) / (count - 1)
        if not step > 0:
            raise ValueError("times that do not increase")
    except (OSError, struct.error, ValueError):
        raise DataError(f"{path.name} is damaged or not an MDD file; export it again.") from None
    return _checked(values.reshape(count, points, 3).astype(np.float32), path), 1.0 / step


def _checked(positions: NDArray, path: Path) -> NDArray[np.float32]:
    if not np.isfinite(positions).all():
        raise DataError(f"{path.name} holds positions that are not finite numbers; export it again.")
    return positions


def write_mdd(clip: ExportClip, path: Path) -> None:
    """Write the header `>ii` (frames, points), the frames' times in seconds, and xyz, in big-endian float32."""
    count, points = clip.frames.shape[:2]
    with path.open("wb") as file:
        file.write(struct.pack(">ii", count, points))
        file.write((np.arange(count) / clip.fps).astype(">f4").tobytes())
        for frame in clip.frames:
            file.write(frame.astype(">f4").tobytes())
