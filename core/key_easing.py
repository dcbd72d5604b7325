"""Easing between keys: linear, smooth, hold or overshoot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import HandleError

EasingKind = Literal["linear", "smooth", "hold", "overshoot"]
EASING_KINDS: tuple[EasingKind, ...] = get_args(EasingKind)
BENDS = {"linear": 0.0, "smooth": 0.6, "hold": 0.0, "overshoot": 0.5}


@dataclass(frozen=True)
class Easing:
    """The easing between two keys. `bend` from 0 to 1 is its strength: 0 makes smooth and overshoot linear."""

    kind: EasingKind = "linear"
    bend: float = 0.6

    def __post_init__(self) -> None:
        if self.kind not in EASING_KINDS:
            raise HandleError(f"{self.kind!r} is not an easing; choose one of {', '.join(EASING_KINDS)}.")
        if not 0.0 <= self.bend <= 1.0:
            raise HandleError(f"The bend of an easing is {self.bend:g}, but it must be from 0 to 1.")

    def share(self, time: ArrayLike) -> NDArray[np.float64]:
        """The fraction of the path covered after a fraction of the time; may exceed 1 when overshooting."""
        u = np.asarray(time, dtype=np.float64)
        if self.kind == "smooth":
            return u + self.bend * (u**3 * (10.0 - 15.0 * u + 6.0 * u**2) - u)
        if self.kind == "hold":
            return (u >= 1.0).astype(np.float64)
        if self.kind == "overshoot":
            swing = 4.0 * self.bend  # past the goal by 10% of the way at a bend of 0.43
            eased = 1.0 + (swing + 1.0) * (u - 1.0) ** 3 + swing * (u - 1.0) ** 2
            return u + min(4.0 * self.bend, 1.0) * (eased - u)
        return u


def easing_from(value: object) -> Easing:
    """From a file: a kind, or a kind and its bend, as `smooth` or `[overshoot, 0.4]`; raises HandleError."""
    kind, bend = value if isinstance(value, (list, tuple)) and len(value) == 2 else (value, None)
    if not isinstance(kind, str) or kind not in EASING_KINDS:
        raise HandleError(f"an easing is {str(value)[:40]!r}, but it must be one of {', '.join(EASING_KINDS)}.")
    if bend is None:
        return Easing(kind, BENDS[kind])
    if isinstance(bend, bool) or not isinstance(bend, (int, float)):
        raise HandleError("the bend of an easing must be a number from 0 to 1.")
    return Easing(kind, float(bend))


def easing_record(easing: Easing) -> list[str | float]:
    """For a file; `easing_from` reads it."""
    return [easing.kind, easing.bend]
