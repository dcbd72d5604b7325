"""Reading scans: a folder or file of partial observations becomes a ScanSequence.

scans = read_scans("scans/")
scans = read_scans("depth/", intrinsics=[[525, 0, 320], [0, 525, 240], [0, 0, 1]], depth_max=3.0)

What can be used is used; what was skipped or repaired is named in the sequence's notes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import DataError
from core.geometry.scan_normalization import guess_up_axis
from core.io.arrays import SkippedError
from core.io.mesh.source_mesh import far_origin
from core.io.scans.cutting import Cut
from core.io.scans.depth import read_depth_frames
from core.io.scans.frame_numbers import frame_places, numbers_in_names, places_of_times, with_gaps
from core.io.scans.frames import Frame, Thinning, are_tracked, clean_frames
from core.io.scans.images import read_image_frames
from core.io.scans.layouts import ScanLayout, find_scans
from core.io.scans.points import read_points
from core.io.scans.scan_files import Skipped, none_usable, skipped_notes
from core.io.scans.voxels import VoxelFile, cell_centers, read_voxels
from core.sequence import MODALITIES, Modality, ScanSequence, frozen_array

MAX_FRAMES = 2000
MAX_POINTS = 20_000  # kept of each frame; the models look at some thousands
MAX_GRID_BYTES = 1 << 29
DEFAULT_FPS = 24.0


def read_scans(
    path: str | Path,
    modality: Modality | None = None,
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
    [T, H, W]) with `intrinsics` [3, 3] given or in a file, and optional `poses` [T, 4, 4], camera to world; pictures
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
    _check(modality, up_axis, fps, depth_max, depth_scale)
    try:
        return _read(path, modality, up_axis, fps, tracked, partial, intrinsics, depth_max, depth_scale, cut or Cut())
    except (ValueError, TypeError, ArithmeticError, IndexError, AttributeError, np.linalg.LinAlgError) as error:
        # What a hostile file can still provoke between the readers' own checks.
        raise DataError(
            f"{path} holds values that no scan can have ({type(error).__name__}); save it again."
        ) from error


def _read(
    path: Path,
    modality: Modality | None,
    up_axis: str | None,
    fps: float | None,
    tracked: bool | None,
    partial: bool | None,
    intrinsics: ArrayLike | str | Path | None,
    depth_max: float | None,
    depth_scale: float | None,
    cut: Cut,
) -> ScanSequence:
    layout = find_scans(path, modality)
    if len(layout.files) > MAX_FRAMES:
        layout.notes.append(f"Only the first {MAX_FRAMES:,} of {len(layout.files):,} frames are used.")
        layout = replace(layout, files=layout.files[:MAX_FRAMES])
    asked = _Wish(modality or layout.settings.get("modality"), up_axis, tracked, partial, cut=cut)
    wish = asked.with_settings(layout.settings)
    if cut.masks and layout.kind != "depth":
        raise DataError(f"{path} holds no depth maps that masks could cut; give a box instead.")
    if layout.kind == "points":
        wish = replace(wish, viewpoints=_places(layout), places=_moments(layout))
        scans = _points(path, layout, wish)
    elif layout.kind == "depth":
        scale = depth_scale or _positive(layout.settings.get("depth_scale"))
        thinned = Thinning(MAX_POINTS)
        found = read_depth_frames(layout.files, intrinsics, depth_max, thinned, scale, layout.depth, cut)
        wish = replace(wish, modality="depth", up_axis=wish.up_axis or found.up_axis)
        layout.notes.extend(found.notes)
        wish = replace(wish, viewpoints=found.viewpoints, places=_moments(layout))
        scans = _from_frames(path, found.frames, found.skipped, layout.notes, wish)
    elif layout.kind == "voxels":
        scans = _voxels(path, layout, wish)
    else:
        scans = _images(path, layout, wish)
    measured = None if layout.depth is None or layout.depth.times is None else places_of_times(layout.depth.times)[1]
    return replace(scans, fps=_fps(fps, layout.settings, measured), name=path.stem or "scan", path=str(path))


@dataclass(frozen=True)
class _Wish:
    """Settings from the caller; None: to be determined."""

    modality: Modality | None
    up_axis: str | None
    tracked: bool | None
    partial: bool | None
    viewpoint: tuple[float, float, float] | None = None
    viewpoints: dict[str, NDArray[np.float64]] | None = None  # by the frame's name
    places: dict[str, int] | None = None  # by the frame's name: its moment, where some are missing
    cut: Cut | None = None

    def with_settings(self, settings: dict) -> _Wish:
        """Fill what was not asked for from scan.json; values of a wrong kind there count for nothing."""

        def flag(name: str, asked: bool | None) -> bool | None:
            found = settings.get(name)
            return found if asked is None and isinstance(found, bool) else asked

        axis = settings.get("up_axis")
        return _Wish(
            self.modality if self.modality in MODALITIES else None,
            axis if self.up_axis is None and axis in ("x", "y", "z") else self.up_axis,
            flag("tracked", self.tracked),
            flag("partial", self.partial),
            _triple(settings.get("viewpoint")),
            cut=self.cut,
        )


def _points(path: Path, layout: ScanLayout, wish: _Wish) -> ScanSequence:
    frames: list[Frame] = []
    skipped: Skipped = []
    thinned = Thinning(MAX_POINTS, wish.tracked)
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
    return _from_frames(path, frames, skipped, [*layout.notes, *thinned.notes()], wish)


def _from_frames(path: Path, frames: list[Frame], skipped: Skipped, notes: list[str], wish: _Wish) -> ScanSequence:
    """The sequence of measured points: cleaned, with all settings that were left open determined."""
    total = len(frames) + len(skipped)
    modality: Modality = "depth" if wish.modality == "depth" else "points"
    cleaned, also_skipped, repairs = clean_frames(frames, wish.tracked)
    skipped = skipped + also_skipped
    if not cleaned:
        raise DataError(none_usable(path, total, skipped))
    tracked = wish.tracked
    if tracked is None:
        tracked = modality == "points" and are_tracked(cleaned)
    cleaned, cuts = (wish.cut or Cut()).applied(cleaned, tracked, wish.up_axis or "y", modality == "depth")
    repairs = [*repairs, *cuts]
    origin = far_origin(np.concatenate([frame for _, frame in cleaned]))
    if any(origin):
        cleaned = [(name, frame - origin) for name, frame in cleaned]
        around = " ".join(f"{value:.10g}" for value in origin)
        repairs = [
            *repairs,
            f"Its coordinates lie far from 0; they are counted from {around} here, and exported there.",
        ]
    points = tuple(frozen_array(frame, np.float32, (None, 3), "points") for _, frame in cleaned)
    scans = ScanSequence(
        points,
        tracked=tracked,
        modality=modality,
        notes=(*notes, *skipped_notes(total, skipped), *repairs),
        origin=origin,
    )
    up_axis = wish.up_axis
    if up_axis is None:
        up_axis = guess_up_axis(scans)
        if up_axis != "y":
            said = f"The scans stand on the plane {up_axis} = 0, so {up_axis} is taken for the up axis."
            scans = replace(scans, notes=(*scans.notes, said))
    partial = modality == "depth" if wish.partial is None else wish.partial
    viewpoint, viewpoints = _camera(wish, [name for name, _ in cleaned], scans.origin)
    scans = replace(scans, up_axis=up_axis, partial=partial, viewpoint=viewpoint, viewpoints=viewpoints)
    return _at_their_moments(scans, [name for name, _ in cleaned], wish.places)


def _at_their_moments(scans: ScanSequence, names: list[str], places: dict[str, int] | None) -> ScanSequence:
    """With frames without points where some are missing; cameras that move stay where the frame before had them."""
    if places is None or any(name not in places for name in names):
        return scans
    own = [places[name] - places[names[0]] for name in names]
    if own[-1] + 1 == len(own) or own[-1] + 1 > MAX_FRAMES:
        return scans
    frames, said = with_gaps(scans.points, own)
    viewpoints = scans.viewpoints
    if viewpoints is not None:
        viewpoints = viewpoints[np.searchsorted(own, np.arange(len(frames)), side="right") - 1]
    points = tuple(frozen_array(frame, np.float32, (None, 3), "points") for frame in frames)
    return replace(scans, points=points, viewpoints=viewpoints, notes=(*scans.notes, said))


def _moments(layout: ScanLayout) -> dict[str, int] | None:
    """The place in time of each file by its name, where numbers or times in the names say that some are missing."""
    names = [file.name for file in layout.files]
    if layout.depth is not None and layout.depth.times is not None:
        places = places_of_times(layout.depth.times)[0]
    else:
        places = frame_places(numbers_in_names(names))
    return None if places is None else dict(zip(names, places, strict=True))


def _camera(
    wish: _Wish, frames: list[str], origin: tuple[float, float, float]
) -> tuple[tuple[float, float, float] | None, NDArray[np.float64] | None]:
    """Where the camera was in the first of these frames, and in each [T, 3] if it moved."""
    if wish.viewpoints is None:
        return None if wish.viewpoint is None else _triple(np.array(wish.viewpoint) - origin), None
    places = np.stack([wish.viewpoints[name] for name in frames]) - origin
    return _triple(places[0]), places if np.ptp(places, axis=0).any() else None


def _voxels(path: Path, layout: ScanLayout, wish: _Wish) -> ScanSequence:
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
        points, modality="voxels", up_axis=wish.up_axis or "y", partial=bool(wish.partial), voxels=stack,
        voxel_center=first.center, voxel_side=first.side, notes=tuple(notes),
    )  # fmt: skip


def _images(path: Path, layout: ScanLayout, wish: _Wish) -> ScanSequence:
    stack, names, skipped, notes = read_image_frames(layout.files)
    stack = stack[:MAX_FRAMES]
    total = len(names) + len(skipped)
    if not len(stack):
        raise DataError(none_usable(path, total, skipped))
    empty = frozen_array(np.zeros((0, 3)), np.float32, (None, 3), "points")
    images = np.ascontiguousarray(stack)
    images.setflags(write=False)
    return ScanSequence(
        (empty,) * len(images), modality="images", up_axis=wish.up_axis or "y", partial=True, images=images,
        notes=(*layout.notes, *skipped_notes(total, skipped), *notes),
    )  # fmt: skip


def _moved(first: VoxelFile, other: VoxelFile) -> bool:
    """Whether two grids fill boxes more than half a cell apart."""
    cell = first.side / first.grids.shape[1]
    shift = np.abs(np.subtract(first.center, other.center)).max()
    return bool(shift > cell / 2 or abs(first.side - other.side) > cell)


def _triple(numbers: object) -> tuple[float, float, float] | None:
    """Three finite numbers, or None."""
    try:
        x, y, z = (float(number) for number in numbers)  # type: ignore[attr-defined]
    except (TypeError, ValueError, OverflowError):
        return None
    return (x, y, z) if np.isfinite([x, y, z]).all() else None


def _places(layout: ScanLayout) -> dict[str, NDArray[np.float64]] | None:
    """Where scan.json says that the camera was, by the frame's file: one place for each, or nothing."""
    told = layout.settings.get("viewpoint")
    places = [_triple(place) for place in told] if isinstance(told, list) else []
    if len(places) != len(layout.files) or any(place is None for place in places):
        return None
    return {file.name: np.array(place) for file, place in zip(layout.files, places, strict=True)}


def _fps(asked: float | None, settings: dict, measured: float | None) -> float:
    return asked or _positive(settings.get("fps")) or measured or DEFAULT_FPS


def _positive(value: object) -> float | None:
    """A finite number above 0 out of a settings file, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
        return None
    return float(value)


def _check(
    modality: str | None, up_axis: str | None, fps: float | None, depth_max: float | None, depth_scale: float | None
) -> None:
    if modality is not None and modality not in get_args(Modality):
        raise DataError(f"The modality {modality!r} does not exist; choose {', '.join(MODALITIES)}.")
    if up_axis not in (None, "x", "y", "z"):
        raise DataError(f"The up axis is {up_axis!r}, but it has to be x, y or z.")
    if fps is not None and not (np.isfinite(fps) and fps > 0):
        raise DataError(f"{fps} frames per second is not possible; give a positive number.")
    if depth_max is not None and not depth_max > 0:
        raise DataError(f"The greatest depth is {depth_max} m, but it has to be above 0.")
    if depth_scale is not None and not 0 < depth_scale < 1e9:
        raise DataError(f"The depth scale is {depth_scale}, but it is the number of units a metre, above 0.")
