"""Reading scans: a folder or file of partial observations becomes a ScanSequence.

scans = read_scans("scans/")
scans = read_scans("depth/", intrinsics=[[525, 0, 320], [0, 525, 240], [0, 0, 1]], depth_max=3.0)

What can be used is used; what was skipped or repaired is named in the sequence's notes.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from core.errors import DataError
from core.io.scans.cutting import Cut
from core.io.scans.frame_numbers import places_of_times
from core.io.scans.layouts import find_scans
from core.io.scans.scan_kind import MAX_FRAMES, ReadingOptions, positive
from core.sequence import ScanSequence

DEFAULT_FPS = 24.0


def read_scans(
    path: str | Path,
    modality: str | None = None,
    up_axis: str | None = None,
    fps: float | None = None,
    tracked: bool | None = None,
    partial: bool | None = None,
    intrinsics: ArrayLike | str | Path | None = None,
    depth_max: float | None = None,
    depth_scale: float | None = None,
    cut: Cut | None = None,
) -> ScanSequence:
    """Read a sequence of scans; what is not given is recognised from the content or from `scan.json` beside it.

    `path` is a folder with one PLY, PCD, XYZ, OBJ, NPY or NPZ file per frame in natural order (frame2 before frame10),
    or a file `.npz` / `.npy` with points [T, N, 3]; depth maps (16-bit PNGs in millimetres, or a `.npz` with `depth`
    [T, H, W]) with `intrinsics` [3, 3] given or in a file, and optional `poses` [T, 4, 4], camera to world; images
    (PNG, JPEG); voxel grids (`.npy`, `.npz`, `.binvox`). Frames may differ in their number of points. Depth maps lose
    their background (see `scan_depth`) and all beyond `depth_max` metres; they come out Y up, the camera looking along
    -z, when no poses say otherwise. `modality` "depth" with points means that they were seen from one side.
    `depth_scale` is how many units of the depth maps are a metre (5,000 for TUM); without it, it is guessed and said.
    Folders laid out as ScanNet, TUM or 7-Scenes have them open as they are. Frames whose numbers or times say that
    others between them are missing keep their moments; those others have no points.

    `cut` says what is kept of each frame: by default all but a floor, and points that lie alone, in untracked scans.
    `fps` is 24 when nothing says otherwise. Raises DataError with one sentence when no frame can be used.
    """
    path = Path(path)
    if fps is not None and not (np.isfinite(fps) and fps > 0):
        raise DataError(f"{fps} frames per second is out of range; give a positive number.")
    asked = ReadingOptions(modality, up_axis, tracked, partial, cut or Cut(), intrinsics, depth_max, depth_scale)
    try:
        return _read(path, asked, fps)
    except (ValueError, TypeError, ArithmeticError, IndexError, AttributeError, np.linalg.LinAlgError) as error:
        # What a hostile file can still provoke between the readers' own checks.
        raise DataError(f"{path} contains impossible values ({type(error).__name__}); save it again.") from error


def _read(path: Path, asked: ReadingOptions, fps: float | None) -> ScanSequence:
    layout = find_scans(path, asked.modality)
    if len(layout.files) > MAX_FRAMES:
        layout.notes.append(f"Only the first {MAX_FRAMES:,} of {len(layout.files):,} frames are used.")
        layout = replace(layout, files=layout.files[:MAX_FRAMES])
    if asked.cut.masks and not layout.kind.masks:
        raise DataError(f"{path} contains no depth maps to mask; give a box instead.")
    scans = layout.kind.read(path, layout, asked.with_settings(layout.settings))
    measured = None if layout.depth is None or layout.depth.times is None else places_of_times(layout.depth.times)[1]
    fps = fps or positive(layout.settings.get("fps")) or measured or DEFAULT_FPS
    return replace(scans, fps=fps, name=path.stem or "scan", path=str(path))
