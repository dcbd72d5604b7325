"""Opened scans in the editor, and the box of the whole shape. No Polyscope, no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import DataError
from core.sequence import MeshSequence, Normalization, ScanSequence

Corners = tuple[float, float, float, float, float, float]  # the smallest coordinates, then the largest
Shares = tuple[float, float, float]  # the sides of the box along the axes of the file, the longest 1
WHOLE: Shares = (1.0, 1.0, 1.0)
SMALLEST_SHARE = 0.02
UP_AXES = ("x", "y", "z")
# The box may be made this many times larger or smaller than the guess, and moved this many guessed sides away.
MAX_RESIZE = 1000.0
MAX_SHIFT = 1000.0


@dataclass(frozen=True)
class Reading:
    """Settings for reading scans: what files do not say, and what to cut away."""

    box: Corners | None = None  # what lies outside it is left out; in the units of the file
    mask: str = ""  # path of a mask image, or a folder of them, that cuts the shape out of depth maps
    depth_scale: float | None = None  # units of the depth maps per metre; None: recognised by the reader


@dataclass(frozen=True, eq=False)
class OpenedScans:
    """A scan sequence and what was found beside it. `guess` is the initial alignment."""

    sequence: ScanSequence
    guess: Normalization
    truth: MeshSequence | None = None  # the real surface in the scans' units, where it is known
    reading: Reading = Reading()

    @property
    def name(self) -> str:
        return self.sequence.name

    @property
    def path(self) -> str:
        return self.sequence.path

    def point_counts(self) -> NDArray[np.int64]:
        """[T] measured points per frame."""
        return np.array([len(points) for points in self.sequence.points], dtype=np.int64)


def box_corners(alignment: Normalization, shares: Shares = WHOLE) -> NDArray[np.float64]:
    """[8, 3] corners of the box in the scans' units; corner i has bit 0, 1, 2 of i along x, y, z."""
    return alignment.center + alignment.scale * np.array(shares) * unit_corners()


def cut_box(alignment: Normalization, shares: Shares, sequence: ScanSequence) -> Corners:
    """The cutting box in the units of the scans' file."""
    corners = box_corners(alignment, shares) + np.asarray(sequence.origin)
    x0, y0, z0, x1, y1, z1 = (float(value) for value in (*corners.min(axis=0), *corners.max(axis=0)))
    return x0, y0, z0, x1, y1, z1


def shares_of(sides: ArrayLike) -> tuple[float, Shares]:
    """The longest of a box's three sides, and all three as fractions of it. Raises DataError unless they are finite."""
    lengths = np.array(sides, dtype=np.float64)
    if lengths.shape != (3,) or not np.isfinite(lengths).all() or not lengths.max() > 0:
        raise DataError("The sides of the box must be three finite numbers above 0; type them again.")
    x, y, z = (lengths / lengths.max()).clip(SMALLEST_SHARE, 1.0).tolist()
    return float(lengths.max()), (x, y, z)


def unit_corners() -> NDArray[np.float64]:
    """[8, 3] corners of the unit cube around the origin."""
    return np.array([[(i >> axis) & 1 for axis in range(3)] for i in range(8)], dtype=np.float64) - 0.5


def checked_alignment(guess: Normalization, center: ArrayLike, scale: float, up_axis: str) -> Normalization:
    """An alignment within reach of the guess: numbers too large or too small are brought back.

    Raises DataError when they are not finite or the axis does not exist.
    """
    middle = np.array(center, dtype=np.float64)
    if middle.shape != (3,) or not np.isfinite(middle).all() or not np.isfinite(scale):
        raise DataError("The centre and the size of the box must be finite numbers; type them again.")
    if up_axis not in UP_AXES:
        raise DataError(f"The up axis is {up_axis!r}, but it must be x, y or z.")
    scale = float(np.clip(scale, guess.scale / MAX_RESIZE, guess.scale * MAX_RESIZE))
    reach = MAX_SHIFT * guess.scale
    middle = np.clip(middle, guess.center - reach, guess.center + reach)
    middle.setflags(write=False)
    return replace(guess, center=middle, scale=scale, up_axis=up_axis)


def same_alignment(a: Normalization, b: Normalization) -> bool:
    return a.up_axis == b.up_axis and a.scale == b.scale and bool(np.array_equal(a.center, b.center))


def is_guessed(scans: OpenedScans, alignment: Normalization, shares: Shares) -> bool:
    """Whether the box is still the guess."""
    return same_alignment(alignment, scans.guess) and shares == WHOLE


def view_frame(guess: Normalization, up_axis: str) -> Normalization:
    """The space of the view: the guessed alignment with this up axis. It does not change while the box is moved."""
    return replace(guess, up_axis=up_axis)


def upright(sequence: MeshSequence, alignment: Normalization) -> MeshSequence:
    """The motion turned to Y up, as the export needs it; units and origin stay those of the scans."""
    if alignment.up_axis == "y":
        return sequence
    x, y, z = (alignment.rotation @ sequence.origin).tolist()
    return replace(sequence, vertices=sequence.vertices @ alignment.rotation.T.astype(np.float32), origin=(x, y, z))


def scan_bounds(scans: ScanSequence) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Lowest and highest corner of all measured points but the outermost half per cent, in the scans' units.

    Without these, a few flying pixels would shrink the shape to a dot. None for scans without points, such as images.
    """
    filled = [points for points in scans.points if len(points)]
    if not filled:
        return None
    lows = [np.quantile(points, 0.005, axis=0) for points in filled]
    highs = [np.quantile(points, 0.995, axis=0) for points in filled]
    return np.min(lows, axis=0).astype(np.float64), np.max(highs, axis=0).astype(np.float64)
