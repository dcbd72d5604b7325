"""Reads depth maps, removes the background and back-projects the rest to points.

The background is found frame by frame in a histogram of 256 bins. A gap is a run of nearly empty bins, at least 4% of
the depth wide. The cut is in the middle of the farthest gap whose near side touches under a tenth of the image border
and whose far side covers at least a quarter of it, as a wall does. Without such a gap nothing is cut. `depth_max` cuts
in addition.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import DataError
from core.io.arrays import SkippedError, read_arrays
from core.io.scans.camera_files import (
    INTRINSICS_STEMS,
    POSES_STEMS,
    back_project,
    find_camera_file,
    read_intrinsics,
    read_poses,
    world_turn,
)
from core.io.scans.cutting import Cut
from core.io.scans.dataset_layouts import MILLIMETRES, TUM_SCALE, DepthLayout
from core.io.scans.frames import Frame, Thinning
from core.io.scans.images import png_is_depth, read_depth_image
from core.io.scans.measured import MAX_POINTS, measured_sequence
from core.io.scans.scan_kind import ReadingOptions, ScanKind, ScanLayout
from core.sequence import ScanSequence

_BINS = 256
_SMALLEST_GAP = 0.04  # of the depth where it begins
_STRAY = 0.0005  # of the pixels; a bin with fewer counts as empty
_FREE_BORDER = 0.1
_COVERED_BORDER = 0.25
_SMALLEST_SUBJECT = 0.002  # of the pixels
_TOO_FAR = 6.0  # metres; a median depth beyond it means another unit
_DEPTH_NAMES = {"depth": None, "depths": None, "depth_m": 1.0, "depth_mm": 0.001, "array": None}
DepthMap = tuple[int, str, NDArray[np.float64]]  # number of the frame, name, metres


@dataclass(frozen=True, eq=False)
class DepthFrames:
    """Points in world space of each frame that could be used."""

    frames: list[Frame]
    up_axis: str
    viewpoints: dict[str, NDArray[np.float64]]  # where the camera was, by the frame's name
    skipped: list[tuple[str, str]]
    notes: list[str]


def read_depth_frames(
    files: list[Path],
    intrinsics: ArrayLike | str | Path | None,
    depth_max: float | None,
    thinned: Thinning,
    scale: float | None = None,
    layout: DepthLayout | None = None,
    cut: Cut | None = None,
) -> DepthFrames:
    """Points of 16-bit depth PNGs in order, or of one .npz (`depth` [T, H, W], `intrinsics`, `poses`).

    `scale` is the number of the files' units in a metre. By default it is 1,000 for whole numbers, 1 for floats (or
    what the array's name, depth_mm or depth_m, says), and 5,000 in TUM's layout and where the first image would be too
    far away otherwise; guesses become notes. Intrinsics and camera-to-world `poses` are taken from the file, the
    argument, the data set's `layout`, or files beside it. Of `cut`, only masks are applied. Raises DataError without
    intrinsics, and for poses or masks that do not fit.
    """
    said: list[str] = []
    folder = files[0].parent
    poses_source: ArrayLike | Path | None = None
    skipped: list[tuple[str, str]] = []
    maps: Iterator[DepthMap]
    if files[0].suffix.lower() in (".npz", ".npy"):
        total, stack, inside = _arrays(files[0], scale)
        maps = ((frame, f"frame {frame}", stack[frame]) for frame in range(total))
        intrinsics = inside.get("intrinsics", inside.get("K")) if intrinsics is None else intrinsics
        poses_source = inside.get("poses")
    else:
        total = len(files)
        scale = _depth_scale_of(files, scale, layout, said)
        maps = _depth_images(files, scale, skipped)
    if intrinsics is None and layout is not None:
        intrinsics = layout.intrinsics
    if intrinsics is None:
        places = [folder, folder.parent] if layout is not None else [folder]
        intrinsics = next((found for place in places if (found := find_camera_file(place, INTRINSICS_STEMS))), None)
        if intrinsics is None and (beside := _beside(places)) is not None:
            said.append(f"The camera is the one of {beside.name}.")
            intrinsics = beside
    if intrinsics is None:
        raise DataError(
            f"{folder if len(files) > 1 else files[0]} holds depth maps without camera intrinsics; "
            "put the 3 x 3 matrix into intrinsics.txt beside them, or beside the folder into "
            f"{places[-1].name}-intrinsics.txt."
        )
    matrices = read_intrinsics(intrinsics)
    if matrices.ndim == 3 and len(matrices) not in (1, total):
        raise DataError(f"There are intrinsics for {len(matrices)} frames, but {total} depth maps; give one matrix.")
    poses, lost = None, frozenset[int]()
    if layout is not None and layout.poses is not None:
        lost = frozenset(frame for frame, pose in enumerate(layout.poses) if pose is None)
        poses = np.stack([np.eye(4) if pose is None else pose for pose in layout.poses])
        if len(lost) == len(layout.poses):
            raise DataError(f"No frame in {folder} has a camera pose that can be used; remove the poses' files.")
    elif layout is None:
        if poses_source is None:
            poses_source = find_camera_file(folder, POSES_STEMS)
        poses = None if poses_source is None else read_poses(poses_source, total)
    turn, up_axis = world_turn(poses)
    frames: list[Frame] = []
    viewpoints: dict[str, NDArray[np.float64]] = {}
    uncut = 0
    for frame, name, depth in maps:
        if frame in lost:
            skipped.append((name, "has no camera pose"))
            continue
        depth = depth if cut is None else cut.masked(depth, frame, total)
        matrix = matrices if matrices.ndim == 2 else matrices[min(frame, len(matrices) - 1)]
        keep = np.isfinite(depth) & (depth > 0)
        if depth_max is not None:
            keep &= depth <= depth_max
        limit = background_limit(np.where(keep, depth, 0.0))
        uncut += int(limit is None and _border(keep).mean() > 0.5)
        if limit is not None:
            keep &= depth <= limit
        points = thinned(back_project(depth, matrix, keep))
        if poses is not None:
            points = points @ poses[frame, :3, :3].T + poses[frame, :3, 3]
        viewpoints[name] = np.zeros(3) if poses is None else turn @ poses[frame, :3, 3]
        frames.append((name, points @ turn.T))
    notes = [*said, *thinned.notes()]
    if uncut:
        notes.append(
            f"In {uncut:,} of {len(frames):,} depth maps no gap lies between subject and background, so nothing "
            "was cut; give the greatest depth to keep."
        )
    return DepthFrames(frames, up_axis, viewpoints, skipped, notes)


def _beside(places: list[Path]) -> Path | None:
    """The intrinsics file in these folders, or beside them and named after them (`tum-intrinsics.txt` beside `tum`)."""
    named = ((place.resolve().parent, tuple(f"{place.name}-{stem}" for stem in INTRINSICS_STEMS)) for place in places)
    return next((found for folder, stems in named if (found := find_camera_file(folder, stems))), None)


def background_limit(depth: NDArray[np.float64]) -> float | None:
    """The depth at which the background of depth [H, W] (0: not measured) begins, or None; the module says how."""
    seen = depth > 0
    values = depth[seen]
    if len(values) < 100:
        return None
    border = _border(depth)
    # Outliers must not stretch the bins.
    low, high = np.quantile(values, 0.001), np.quantile(values, 0.999)
    if high <= low:
        return None
    counts, edges = np.histogram(values, bins=_BINS, range=(low, high))
    empty = counts <= _STRAY * len(values)
    starts = np.flatnonzero(np.diff(np.concatenate([[False], empty, [False]]).astype(int)) == 1)
    ends = np.flatnonzero(np.diff(np.concatenate([[False], empty, [False]]).astype(int)) == -1)
    for start, end in zip(starts[::-1], ends[::-1], strict=True):
        near, far = edges[start], edges[end]
        if far - near < _SMALLEST_GAP * near or start == 0 or end == _BINS:
            continue
        if (values <= near).sum() < _SMALLEST_SUBJECT * depth.size:
            continue
        nearer, farther = (border > 0) & (border <= near), border >= far
        if nearer.mean() < _FREE_BORDER and farther.mean() >= _COVERED_BORDER:
            return float(near + far) / 2
    return None


def _depth_scale_of(files: list[Path], scale: float | None, layout: DepthLayout | None, said: list[str]) -> float:
    """Units per metre: as requested, by the data set's convention, or guessed; `said` gets a note on that."""
    if scale is not None:
        return scale
    if layout is not None and layout.scale != MILLIMETRES:
        said.append(f"Depth is read as {layout.scale:,.0f} units per metre, as in {layout.name}.")
        return layout.scale
    if layout is not None:
        return layout.scale
    for file in files[:3]:
        try:
            depth = read_depth_image(file)
        except SkippedError:  # reading the frames says why
            continue
        seen = depth[depth > 0]
        if len(seen) and np.median(seen) > _TOO_FAR * MILLIMETRES:
            said.append(
                f"Depth is read as {TUM_SCALE:,.0f} units per metre, as the subject would be "
                f"{np.median(seen) / MILLIMETRES:.1f} m away in millimetres; give the depth scale if that is wrong."
            )
            return TUM_SCALE
        break
    return MILLIMETRES


def _depth_images(files: list[Path], scale: float, skipped: list[tuple[str, str]]) -> Iterator[DepthMap]:
    """One depth map in metres after the other, so that long sequences need not fit into memory."""
    for frame, path in enumerate(files):
        try:
            depth = read_depth_image(path)
            yield frame, path.name, np.where(depth < 65535, depth, 0.0) / scale  # the maximum means no measurement
        except SkippedError as error:
            skipped.append((path.name, str(error)))


def _border(image: NDArray) -> NDArray:
    return np.concatenate([image[0], image[-1], image[1:-1, 0], image[1:-1, -1]])


def _arrays(path: Path, scale: float | None) -> tuple[int, NDArray[np.float64], dict[str, NDArray]]:
    """The number of frames, depth maps [T, H, W] in metres, and all arrays of the file. Raises DataError."""
    try:
        arrays = read_arrays(path)
    except SkippedError as error:
        raise DataError(f"{path.name} {error}; export it again.") from error
    name = next((name for name in _DEPTH_NAMES if name in arrays), None)
    if name is None:
        raise DataError(f"{path.name} holds no array called depth; save the depth maps [T, H, W] under that name.")
    depth = arrays[name]
    if depth.ndim == 2:
        depth = depth[None]
    if depth.ndim != 3 or 0 in depth.shape:
        raise DataError(f"{path.name}: its depth has shape {depth.shape}, expected [T, H, W].")
    factor = 1.0 / scale if scale else _DEPTH_NAMES[name] or (1.0 if depth.dtype.kind == "f" else 0.001)
    return len(depth), depth.astype(np.float64) * factor, arrays


def read_depth_scans(path: Path, layout: ScanLayout, asked: ReadingOptions) -> ScanSequence:
    """All depth maps, as points seen from one side."""
    thinned = Thinning(MAX_POINTS)
    found = read_depth_frames(
        layout.files, asked.intrinsics, asked.depth_max, thinned, asked.depth_scale, layout.depth, asked.cut
    )
    layout.notes.extend(found.notes)
    asked = replace(asked, up_axis=asked.up_axis or found.up_axis)
    return measured_sequence(path, layout, found.frames, found.skipped, asked, found.viewpoints, True)


DEPTH = ScanKind(
    "depth",
    "depth maps",
    "depth PNGs",
    read_depth_scans,
    suffixes=(".png",),
    recognised=png_is_depth,
    array="depth",
    whole_arrays=True,
    boxes=True,
    masks=True,
    scaled=True,
)
