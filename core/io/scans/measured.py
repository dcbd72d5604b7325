"""Makes a sequence of frames of measured points: cleans and cuts them, and guesses settings left open."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError
from core.geometry.scan_normalization import guess_up_axis
from core.io.mesh.source_mesh import far_origin
from core.io.scans.frame_numbers import frame_places, numbers_in_names, places_of_times, with_gaps
from core.io.scans.frames import Frame, are_tracked, clean_frames
from core.io.scans.scan_files import Skipped, none_usable, skipped_notes
from core.io.scans.scan_kind import MAX_FRAMES, ReadingOptions, ScanLayout, triple
from core.sequence import ScanSequence, frozen_array

MAX_POINTS = 20_000  # kept of each frame; the models see some thousands


def measured_sequence(
    path: Path,
    layout: ScanLayout,
    frames: list[Frame],
    skipped: Skipped,
    asked: ReadingOptions,
    viewpoints: dict[str, NDArray[np.float64]] | None = None,
    seen_from_one_side: bool = False,
) -> ScanSequence:
    """The sequence of the frames' points. Raises DataError if no frame can be used.

    `viewpoints` are camera positions by frame name. With `seen_from_one_side` the points are a depth scan.
    """
    total = len(frames) + len(skipped)
    cleaned, also_skipped, repairs = clean_frames(frames, asked.tracked)
    skipped = skipped + also_skipped
    if not cleaned:
        raise DataError(none_usable(path, total, skipped))
    tracked = asked.tracked
    if tracked is None:
        tracked = not seen_from_one_side and are_tracked(cleaned)
    cleaned, cuts = asked.cut.applied(cleaned, tracked, asked.up_axis or "y", seen_from_one_side)
    repairs = [*repairs, *cuts]
    origin = far_origin(np.concatenate([frame for _, frame in cleaned]))
    if any(origin):
        cleaned = [(name, frame - origin) for name, frame in cleaned]
        around = " ".join(f"{value:.10g}" for value in origin)
        repairs = [
            *repairs,
            f"Its coordinates lie far from 0; here they are relative to {around}, and exports have the original ones.",
        ]
    points = tuple(frozen_array(frame, np.float32, (None, 3), "points") for _, frame in cleaned)
    scans = ScanSequence(
        points,
        tracked=tracked,
        modality="depth" if seen_from_one_side else layout.kind.name,
        notes=(*layout.notes, *skipped_notes(total, skipped), *repairs),
        origin=origin,
    )
    up_axis = asked.up_axis
    if up_axis is None:
        up_axis = guess_up_axis(scans)
        if up_axis != "y":
            said = f"The scans stand on the plane {up_axis} = 0, so {up_axis} is taken as the up axis."
            scans = replace(scans, notes=(*scans.notes, said))
    partial = seen_from_one_side if asked.partial is None else asked.partial
    names = [name for name, _ in cleaned]
    viewpoint, path_of_camera = _camera(asked, viewpoints, names, scans.origin)
    scans = replace(scans, up_axis=up_axis, partial=partial, viewpoint=viewpoint, viewpoints=path_of_camera)
    return _at_their_moments(scans, names, _moments(layout))


def _at_their_moments(scans: ScanSequence, names: list[str], places: dict[str, int] | None) -> ScanSequence:
    """The scans with empty frames where some are missing; there, a moving camera keeps its last position."""
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
    """{file name: place in time}, if numbers or times in the names show gaps; else None."""
    names = [file.name for file in layout.files]
    if layout.depth is not None and layout.depth.times is not None:
        places = places_of_times(layout.depth.times)[0]
    else:
        places = frame_places(numbers_in_names(names))
    return None if places is None else dict(zip(names, places, strict=True))


def _camera(
    asked: ReadingOptions,
    viewpoints: dict[str, NDArray[np.float64]] | None,
    frames: list[str],
    origin: tuple[float, float, float],
) -> tuple[tuple[float, float, float] | None, NDArray[np.float64] | None]:
    """The camera's position in the first of these frames, and in each frame [T, 3] if it moved."""
    if viewpoints is None:
        return None if asked.viewpoint is None else triple(np.array(asked.viewpoint) - origin), None
    places = np.stack([viewpoints[name] for name in frames]) - origin
    return triple(places[0]), places if np.ptp(places, axis=0).any() else None
