"""Describes a kind of scan to the readers, and the settings a caller may give."""

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
    """How one kind of scan lies in files. `read` gets the files that `recognised` or `fitting` found to be of it."""

    name: str  # ScanSequence.modality of what is read
    title: str  # of several, in a sentence
    formats: str  # what may be opened, in a list
    read: Callable[[Path, ScanLayout, ReadingOptions], ScanSequence]
    suffixes: tuple[str, ...] = ()  # of files that hold nothing but this kind, as far as `recognised` says
    recognised: Callable[[Path], bool] = lambda path: True  # by a file's heading
    array: str = ""  # how names of arrays of this kind begin in .npz files
    fitting: Callable[[tuple[int, ...], DTypeLike], bool] = lambda shape, number: False  # an array of another name
    whole_arrays: bool = False  # one array file holds all frames
    stands_for: tuple[str, ...] = ()  # kinds that the same files show when the caller says so
    masks: bool = False  # its frames can be cut by masks


@dataclass(frozen=True)
class ScanLayout:
    """Files of one format in natural order, what they hold, and what was left aside."""

    kind: ScanKind  # what the files hold; points may stand for a back-projected depth scan
    files: list[Path]
    settings: dict = field(default_factory=dict)  # of scan.json
    notes: list[str] = field(default_factory=list)
    depth: DepthLayout | None = None  # of a data set's folder: its cameras, units and times


@dataclass(frozen=True)
class ReadingOptions:
    """Settings from the caller; None: to be determined."""

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
            raise DataError(f"The depth scale is {self.depth_scale}, but it is the number of units a metre, above 0.")

    def with_settings(self, settings: dict) -> ReadingOptions:
        """Fill unset options from scan.json; ignores values of the wrong type there."""

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
    """A finite number above 0 out of a settings file, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
        return None
    return float(value)
