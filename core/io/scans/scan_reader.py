"""Reads a folder or file of partial scans as a ScanSequence.

scans = read_scans("scans/")
scans = read_scans("depth/", intrinsics=[[525, 0, 320], [0, 525, 240], [0, 0, 1]], depth_max=3.0)

All usable frames are read; the sequence's notes name what was skipped or repaired.
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
    """Read a sequence of scans. Settings left out are recognised from the content or from `scan.json` beside it.

    `path` is a folder with a file per frame, in natural order (frame2 before frame10), or one file with all frames:
    points (PLY, PCD, XYZ, OBJ, NPY, NPZ; in one array, [T, N, 3]), depth maps (16-bit PNGs, or a `.npz` with `depth`
    [T, H, W]), images (PNG, JPEG), or voxel grids (`.npy`, `.npz`, `.binvox`). Folders of ScanNet, TUM and 7-Scenes
    are read as they are. Frames may differ in their number of points. If file names show that frames are missing, the
    sequence has empty frames there.

    Depth maps need `intrinsics` [3, 3], as an argument or in a file, and may have camera-to-world `poses` [T, 4, 4] in
    one; without poses, Y is up and the camera looks along -z. `depth_scale` is the number of their units in a metre
    (5,000 for TUM); if it is guessed, a note says so. Their background (see `depth`) and everything beyond `depth_max`
    metres is removed. The `modality` "depth" for points means that they were seen from one side.

    `cut` says what to keep of each frame; by default, a floor and isolated points of untracked scans are removed. `fps`
    is 24 if it is given nowhere. Raises DataError if no frame can be used.
    """
    path = Path(path)
    if fps is not None and not (np.isfinite(fps) and fps > 0):
        raise DataError(f"{fps} frames per second is out of range; give a positive number.")
    asked = ReadingOptions(modality, up_axis, tracked, partial, cut or Cut(), intrinsics, depth_max, depth_scale)
    try:
        return _read(path, asked, fps)
    except (ValueError, TypeError, ArithmeticError, IndexError, AttributeError, np.linalg.LinAlgError) as error:
        # Hostile files can still provoke these between the readers' own checks.
        raise DataError(f"{path} contains impossible values ({type(error).__name__}); save it again.") from error


def _read(path: Path, asked: ReadingOptions, fps: float | None) -> ScanSequence:
    layout = find_scans(path, asked.modality)
    if len(layout.files) > MAX_FRAMES:
        layout.notes.append(f"Only the first {MAX_FRAMES:,} of {len(layout.files):,} frames are used.")
        layout = replace(layout, files=layout.files[:MAX_FRAMES])
    if asked.cut.box is not None and not layout.kind.boxes:
        raise DataError(f"{path} contains {layout.kind.title}, which a box cannot cut; leave the box out.")
    if asked.cut.masks and not layout.kind.masks:
        raise DataError(f"{path} contains no depth maps to mask; give a box instead.")
    scans = layout.kind.read(path, layout, asked.with_settings(layout.settings))
    measured = None if layout.depth is None or layout.depth.times is None else places_of_times(layout.depth.times)[1]
    fps = fps or positive(layout.settings.get("fps")) or measured or DEFAULT_FPS
    return replace(scans, fps=fps, name=path.stem or "scan", path=str(path))
