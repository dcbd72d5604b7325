"""Cuts the shape out of a scan: with a box, with masks of depth maps, and by removing the floor and isolated points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError
from core.geometry.scan_cleaning import floor_plane, stray_points
from core.io.arrays import SkippedError
from core.io.scans.frames import Frame
from core.io.scans.images import IMAGE_SUFFIXES, read_mask
from core.io.scans.scan_files import natural_key

STANDING = np.pi / 6  # largest tilt of a floor if the up axis is known,
LOOKING_DOWN = np.pi / 3  # and if the camera's pose is unknown
WORTH_SAYING = 0.001  # share of removed points from which a note says so


@dataclass(frozen=True)
class Cut:
    """What to keep of every frame.

    `box` is x0, y0, z0, x1, y1, z1 in the scans' units, `mask` an image or a folder of images; `cleaned` removes a
    floor and isolated points. Raises DataError for a box or masks that cannot be used.
    """

    box: tuple[float, float, float, float, float, float] | None = None
    mask: Path | None = None
    cleaned: bool = True
    masks: list[Path] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        if self.box is not None:
            low, high = np.array(self.box[:3]), np.array(self.box[3:])
            if not (np.isfinite(self.box).all() and (low < high).all()):
                raise DataError("The box needs three smallest coordinates, then three larger ones; correct it.")
        if self.mask is None:
            return
        if self.mask.is_dir():
            images = (path for path in self.mask.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
            found = sorted(images, key=natural_key)
        else:
            found = [self.mask] if self.mask.is_file() else []
        if not found:
            raise DataError(f"There are no masks at {self.mask}; give an image, or a folder with one image per frame.")
        self.masks.extend(found)

    def masked(self, depth: NDArray[np.float64], frame: int, total: int) -> NDArray[np.float64]:
        """A depth map [H, W] with 0 where its mask is black. Raises DataError for masks that do not fit."""
        if not self.masks:
            return depth
        if len(self.masks) not in (1, total):
            raise DataError(f"There are {len(self.masks):,} masks for {total:,} depth maps; give one, or one for each.")
        path = self.masks[frame if len(self.masks) > 1 else 0]
        try:
            mask = read_mask(path, depth.shape)
        except SkippedError as error:
            raise DataError(f"The mask {path.name} {error}; save it again.") from error
        return np.where(mask, depth, 0.0)

    def applied(self, frames: list[Frame], tracked: bool, up_axis: str, leaning: bool) -> tuple[list[Frame], list[str]]:
        """The frames reduced to the shape, and notes on what was removed.

        With `leaning` a floor may be tilted, since the camera's pose is unknown. Raises DataError if nothing is left.
        """
        notes: list[str] = []
        if self.box is not None:
            frames = self._boxed(frames, tracked)
        if self.cleaned and not tracked:
            frames = _without_floor(frames, up_axis, LOOKING_DOWN if leaning else STANDING, notes)
            frames = _without_strays(frames, notes)
        return frames, notes

    def _boxed(self, frames: list[Frame], tracked: bool) -> list[Frame]:
        assert self.box is not None
        low, high = np.array(self.box[:3]), np.array(self.box[3:])
        inside = [((points >= low) & (points <= high)).all(axis=1) for _, points in frames]
        if tracked:
            inside = [inside[0]] * len(frames)
        if inside[0].sum() < 3:
            raise DataError("The box holds fewer than 3 points of the first frame; correct it.")
        return [(name, points[kept]) for (name, points), kept in zip(frames, inside, strict=True)]


def _without_floor(frames: list[Frame], up_axis: str, tilt: float, notes: list[str]) -> list[Frame]:
    found = floor_plane(frames[0][1], np.eye(3)["xyz".index(up_axis)], tilt)
    if found is None:
        return frames
    normal, level, thick = found
    above = [points @ normal > level + thick for _, points in frames]
    if min(int(kept.sum()) for kept in above) < 3:
        return frames
    lost = sum(int((~kept).sum()) for kept in above)
    notes.append(f"The shape stands on a floor; its {lost:,} points were removed.")
    return [(name, points[kept]) for (name, points), kept in zip(frames, above, strict=True)]


def _without_strays(frames: Sequence[Frame], notes: list[str]) -> list[Frame]:
    stray = [stray_points(points) for _, points in frames]
    lost = sum(int(found.sum()) for found in stray)
    share = lost / max(sum(len(found) for found in stray), 1)
    if share >= WORTH_SAYING:
        notes.append(f"{lost:,} points ({share:.1%}) are isolated; they were removed.")
    return [(name, points[~found]) for (name, points), found in zip(frames, stray, strict=True)]
