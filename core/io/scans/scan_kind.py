"""The record that describes a kind of scan to the readers, and the caller's settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from core.errors import DataError
from core.io.scans.cutting import Cut
from core.io.scans.dataset_layouts import DepthLayout
from core.sequence import ScanSequence

MAX_FRAMES = 2000


@dataclass(frozen=True)
class ScanKind:
    """How files of one kind of scan are recognised and read. `read` gets the files found to be of this kind."""

    name: str  # ScanSequence.modality of what is read
    title: str  # the plural, for sentences
    formats: str  # its file formats, for sentences
    read: Callable[[Path, ScanLayout, ReadingOptions], ScanSequence]
    suffixes: tuple[str, ...] = ()  # of files that can only be of this kind, if `recognised` agrees
    recognised: Callable[[Path], bool] = lambda path: True  # whether a file's header is of this kind
    array: str = ""  # prefix of the names of such arrays in .npz files
    fitting: Callable[[tuple[int, ...], DTypeLike], bool] = lambda shape, number: False  # for arrays of other names
    whole_arrays: bool = False  # one array file holds all frames
    stands_for: tuple[str, ...] = ()  # other kinds that the same files may be, if the caller says so
    boxes: bool = False  # its frames can be cut by a box
    masks: bool = False  # its frames can be cut by masks
    scaled: bool = False  # its numbers have a scale, in units per metre


@dataclass(frozen=True)
class ScanLayout:
    """The files to read, of one format and in natural order, with their settings and notes."""

    kind: ScanKind
    files: list[Path]
    settings: dict = field(default_factory=dict)  # of scan.json
    notes: list[str] = field(default_factory=list)
    depth: DepthLayout | None = None  # of a data set's folder: its cameras, units and times


@dataclass(frozen=True)
class ReadingOptions:
    """The caller's settings; None means that they are recognised or guessed."""

    modality: str | None = None
    up_axis: str | None = None
    tracked: bool | None = None
    partial: bool | None = None
    cut: Cut = field(default_factory=Cut)
    intrinsics: ArrayLike | str | Path | None = None
    depth_max: float | None = None
    depth_scale: float | None = None
    viewpoint: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        if self.up_axis not in (None, "x", "y", "z"):
            raise DataError(f"The up axis is {self.up_axis!r}, but it must be x, y or z.")
        if self.depth_max is not None and not self.depth_max > 0:
            raise DataError(f"The greatest depth is {self.depth_max} m, but it must be above 0.")
        if self.depth_scale is not None and not 0 < self.depth_scale < 1e9:
            raise DataError(f"The depth scale is {self.depth_scale}, but it is the number of units per metre, above 0.")

    def with_settings(self, settings: dict) -> ReadingOptions:
        """The options, completed from scan.json; values of the wrong type there are ignored."""

        def flag(name: str, asked: bool | None) -> bool | None:
            found = settings.get(name)
            return found if asked is None and isinstance(found, bool) else asked

        axis = settings.get("up_axis")
        return replace(
            self,
            modality=self.modality or settings.get("modality"),
            up_axis=axis if self.up_axis is None and axis in ("x", "y", "z") else self.up_axis,
            tracked=flag("tracked", self.tracked),
            partial=flag("partial", self.partial),
            depth_scale=self.depth_scale or positive(settings.get("depth_scale")),
            viewpoint=triple(settings.get("viewpoint")),
        )


def triple(numbers: object) -> tuple[float, float, float] | None:
    """Three finite numbers, or None."""
    try:
        x, y, z = (float(number) for number in numbers)  # type: ignore[attr-defined]
    except (TypeError, ValueError, OverflowError):
        return None
    return (x, y, z) if np.isfinite([x, y, z]).all() else None


def positive(value: object) -> float | None:
    """The value as a number if it is finite and above 0; else None."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
        return None
    return float(value)
