"""PC2 and MDD: positions of every vertex in every frame, played on a base OBJ with the same vertex order."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from core.io.export_clip import ExportClip


def write_pc2(clip: ExportClip, path: Path) -> None:
    """Header `<12siiffi` (signature, version, points, start, rate, samples), then little-endian float32 xyz.

    The rate counts frames between samples, so it is 1; the frame rate is the scene's.
    """
    count, points = clip.frames.shape[:2]
    with path.open("wb") as file:
        file.write(struct.pack("<12siiffi", b"POINTCACHE2\0", 1, points, 0.0, 1.0, count))
        for frame in clip.frames:
            file.write(np.ascontiguousarray(frame, dtype="<f4").tobytes())


def write_mdd(clip: ExportClip, path: Path) -> None:
    """Header `>ii` (frames, points), then the frames' times in seconds and their xyz as big-endian float32."""
    count, points = clip.frames.shape[:2]
    with path.open("wb") as file:
        file.write(struct.pack(">ii", count, points))
        file.write((np.arange(count) / clip.fps).astype(">f4").tobytes())
        for frame in clip.frames:
            file.write(frame.astype(">f4").tobytes())
