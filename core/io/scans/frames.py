"""Cleans frames of measured points: drops points that are not finite, skips frames without a shape."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from core.errors import DataError

Frame = tuple[str, NDArray[np.float64]]
_LARGEST = 1e30  # largest coordinate, so that squared differences fit single precision
_MIN_POINTS = 3
_OTHER_SIZE = 20.0  # times the typical size; a larger factor means another unit, not motion
_SAMPLE = 512


@dataclass
class Thinning:
    """Keeps at most `most` random points of each frame when it is read, so that long scans fit into memory.

    Frames with the same number of points keep the same rows, so that tracks stay tracks. In frames that are not
    `tracked`, points that are not finite are dropped first, since an organised scan may have many of them.
    """

    most: int
    tracked: bool | None = None
    frames: int = 0  # how many had more
    largest: int = 0

    def __call__(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        if len(points) <= self.most:
            return points
        if not self.tracked:
            finite = usable_rows(points)
            points = points if finite.all() else points[finite]
        if len(points) <= self.most:
            return points
        self.frames += 1
        self.largest = max(self.largest, len(points))
        return points[np.sort(np.random.default_rng(len(points)).permutation(len(points))[: self.most])]

    def notes(self) -> list[str]:
        """A note on what was left out, if anything."""
        if not self.frames:
            return []
        which = "1 frame has" if self.frames == 1 else f"{self.frames:,} frames have up to"
        return [f"{which} {self.largest:,} points; {self.most:,} of each, drawn at random, are used."]


def clean_frames(frames: list[Frame], tracked: bool | None) -> tuple[list[Frame], list[tuple[str, str]], list[str]]:
    """Usable frames, (name, reason) of those skipped, and notes on repairs.

    Points that are not finite are dropped, in tracked scans from all frames. Frames with fewer than three points, with
    all points in one place, or 20 times larger or smaller than most are skipped. Raises DataError if `tracked` frames
    have different numbers of points.
    """
    skipped: list[tuple[str, str]] = []
    kept: list[Frame] = []
    for name, points in frames:
        if len(points) == 0:
            skipped.append((name, "has no points"))
        elif not usable_rows(points).any():
            skipped.append((name, "has no point with finite coordinates"))
        else:
            kept.append((name, points))
    counts = {len(points) for _, points in kept}
    if tracked and len(counts) > 1:
        raise DataError(
            f"Tracked points need the same number in every frame, but there are {min(counts):,} to {max(counts):,}; "
            "give the scans as not tracked."
        )
    kept, notes = _drop_not_finite(kept, tracked)
    kept, shapeless = _with_shape(kept)
    kept, strange = _of_one_size(kept)
    return kept, skipped + shapeless + strange, notes


def are_tracked(frames: list[Frame]) -> bool:
    """Whether row i is the same surface point in every frame, which is so if neighbours in frame 0 stay neighbours.

    It needs two frames and the same number of points in all of them.
    """
    first = frames[0][1]
    count = len(first)
    if len(frames) < 2 or count < 8 or any(len(points) != count for _, points in frames):
        return False
    rows = np.linspace(0, count - 1, min(count, _SAMPLE)).astype(np.int64)
    nearest = np.asarray(cKDTree(first).query(first[rows], k=2)[1])
    # If points repeat, the row itself may come second.
    partner = np.where(nearest[:, 0] == rows, nearest[:, 1], nearest[:, 0])
    shuffled = np.random.default_rng(0).permutation(count)[rows]
    for _, points in frames[1:]:
        near = np.median(np.linalg.norm(points[rows] - points[partner], axis=1))
        apart = np.median(np.linalg.norm(points[rows] - points[shuffled], axis=1))
        if near > 0.5 * apart:
            return False
    return True


def usable_rows(points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """[N] true where all coordinates are finite numbers that fit single precision."""
    return np.asarray((np.abs(points) < _LARGEST).all(axis=1))


def _drop_not_finite(frames: list[Frame], tracked: bool | None) -> tuple[list[Frame], list[str]]:
    masks = [usable_rows(points) for _, points in frames]
    bad = sum(int((~mask).sum()) for mask in masks)
    if bad == 0:
        return frames, []
    names = [name for (name, _), mask in zip(frames, masks, strict=True) if not mask.all()]
    where = f"in {len(names):,} frames" if len(names) > 1 else f"in {names[0]}"
    if len({len(mask) for mask in masks}) == 1 and tracked is not False:
        everywhere = np.logical_and.reduce(masks)
        same_rows = all((mask == masks[0]).all() for mask in masks)
        trial = [(name, points[everywhere]) for name, points in frames]
        # Rows padded with NaN to a common length are not tracks.
        if tracked or ((same_rows or everywhere.mean() > 0.5) and everywhere.sum() >= 8 and are_tracked(trial)):
            lost = int((~everywhere).sum())
            return trial, [f"{lost:,} tracked points are not finite numbers {where}; they were left out everywhere."]
    kept = [(name, points[mask]) for (name, points), mask in zip(frames, masks, strict=True)]
    return kept, [f"{bad:,} points {where} are not finite numbers; they were left out."]


def _with_shape(frames: list[Frame]) -> tuple[list[Frame], list[tuple[str, str]]]:
    """Frames that have an extent in single precision, in which they are stored; and (name, reason) of the others."""
    kept, skipped = [], []
    for name, points in frames:
        extent = np.ptp(points, axis=0).max() if len(points) else 0.0
        if len(points) < _MIN_POINTS:
            number = {0: "no usable point", 1: "one point only"}.get(len(points), f"{len(points)} points only")
            skipped.append((name, f"has {number}"))
        elif extent <= max(1e-30, 1e-12 * np.abs(points).max()):
            skipped.append((name, "has all its points at one place"))
        else:
            kept.append((name, points))
    return kept, skipped


def _of_one_size(frames: list[Frame]) -> tuple[list[Frame], list[tuple[str, str]]]:
    """Frames of about the median size (of two frames, the earlier one's); and (name, reason) of the others."""
    if len(frames) < 2:
        return frames, []
    # Quantiles, so that one stray point does not change the size.
    sizes = [float(np.ptp(np.quantile(points, (0.05, 0.95), axis=0), axis=0).max()) for _, points in frames]
    sizes = [size or float(np.ptp(points, axis=0).max()) for size, (_, points) in zip(sizes, frames, strict=True)]
    order = np.argsort(sizes, kind="stable")
    usual = sizes[int(min(order[(len(order) - 1) // 2], order[len(order) // 2]))]
    kept, skipped = [], []
    for frame, size in zip(frames, sizes, strict=True):
        factor = size / usual
        if 1 / _OTHER_SIZE <= factor <= _OTHER_SIZE:
            kept.append(frame)
        else:
            comparison = f"{factor:,.0f} times larger" if factor > 1 else f"{1 / factor:,.0f} times smaller"
            skipped.append((frame[0], f"is {comparison} than most frames, as if in another unit"))
    return kept, skipped
