"""The content and settings of a film: plain values, validated before drawing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import ExportError
from core.io.appearance import Appearance

# Called after each image with the number of images so far and in all; it may raise core.errors.Cancelled to stop.
OnImage = Callable[[int, int], None]
Color = tuple[float, float, float]
CLAY: Color = (0.80, 0.70, 0.60)
LARGEST = 3840  # pixels along a side
LONGEST = 5000  # images


@dataclass(frozen=True, eq=False)
class Actor:
    """One motion in the film: `track` [T, V, 3] on `faces` [F, 3], in any units, with `up_axis` up.

    It has the appearance `looks`, or if None, one `color`.
    """

    track: NDArray[np.float32]
    faces: NDArray[np.int32]
    fps: float = 24.0
    up_axis: str = "y"
    looks: Appearance | None = None
    color: Color = CLAY
    label: str = ""


@dataclass(frozen=True)
class FilmOptions:
    """How to film. Angles are in degrees: `yaw` 0 looks at the front (+Z), 90 at the right side (+X)."""

    width: int = 1280
    height: int = 720
    fps: float | None = None  # None: that of the first actor
    yaw: float = 52.0
    pitch: float = 12.0
    turntable: float = 0.0  # seconds of one turn, rounded to whole repeats of the motion; 0: no turn
    repeat: int = 1  # how often the motion is played
    bounce: bool = False  # forwards and backwards, so that any motion loops
    transparent: bool = False  # nothing but the figures and their shadow; for PNG images only
    labels: bool = True

    def validate(self, transparent_possible: bool = True) -> None:
        """Raises ExportError that says what is wrong and what is possible."""
        if not (64 <= self.width <= LARGEST and 64 <= self.height <= LARGEST):
            raise ExportError(f"{self.width} x {self.height} pixels is out of range; ask for 64 to {LARGEST} a side.")
        if self.fps is not None and not (np.isfinite(self.fps) and 1.0 <= self.fps <= 240.0):
            raise ExportError(f"{self.fps} frames per second is out of range; ask for 1 to 240.")
        if not (np.isfinite(self.yaw) and 0.0 <= self.pitch <= 85.0):
            raise ExportError("The camera must be 0 to 85 degrees above the ground; give another angle.")
        if not (np.isfinite(self.turntable) and 0.0 <= self.turntable <= 120.0):
            raise ExportError(f"A turn of {self.turntable} seconds is out of range; ask for up to 120.")
        if not 1 <= self.repeat <= 1000:
            raise ExportError(f"{self.repeat} repeats is out of range; ask for 1 to 1000.")
        if self.transparent and not transparent_possible:
            raise ExportError("Only PNG images can be transparent; give a folder instead of a film.")


@dataclass(frozen=True)
class Moment:
    """One image: the frame of the motion, and the figure's rotation in degrees."""

    frame: int
    turn: float = 0.0


def rate_of(actors: tuple[Actor, ...], options: FilmOptions) -> float:
    """Images per second."""
    return actors[0].fps if options.fps is None else options.fps


def moments(actors: tuple[Actor, ...], options: FilmOptions) -> tuple[Moment, ...]:
    """Every image of the film in order; raises ExportError when there are too many."""
    count = max(len(actor.track) for actor in actors)
    once = list(range(count))
    if options.bounce and count > 2:
        once += once[-2:0:-1]
    repeats = options.repeat
    if options.turntable:
        repeats = max(repeats, round(options.turntable * rate_of(actors, options) / len(once)), 1)
    total = repeats * len(once)
    if total > LONGEST:
        raise ExportError(
            f"The film would have {total:,} frames, more than the {LONGEST:,} supported; repeat it fewer times."
        )
    turn = 360.0 / total if options.turntable else 0.0
    return tuple(Moment(once[number % len(once)], number * turn) for number in range(total))
