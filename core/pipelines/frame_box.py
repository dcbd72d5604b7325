"""The box of frame 0's whole shape, which says how far the part reaches that a cut scan does not show.

Normalised space has the box's centre at its origin, so that an end of the shape that was seen tells where the opposite
end is, unless the box was only guessed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

HALF = 0.5  # the box's longest half side
MARGIN = 0.02  # since few points lie on the very end
MISSING = 0.5  # share of the half side without points from which on one end counts as unseen, the other as seen
TIP = 0.04  # of the size: vertices this near to a body's end are its tip
STEEPNESS = 100.0  # of the carved field, per unit of length
SHORT = 0.1  # misfit per distance between a body's end and the box's


@dataclass(frozen=True, eq=False)
class FrameBox:
    """Half sides [3] of the box in normalised space, which is centred, and the end that was not seen."""

    half: Floats
    axis: int | None = None  # of the unseen end; None where no end is known
    sign: float = 1.0  # the side of the origin that it is on

    @classmethod
    def unknown(cls) -> FrameBox:
        """A box of which only the longest side is known."""
        return cls(np.full(3, HALF))

    @classmethod
    def of_cut(cls, points: NDArray[np.floating]) -> FrameBox:
        """The box of a shape of which points [N, 3] show all that is above some plane."""
        low, high = points.min(axis=0).astype(np.float64), points.max(axis=0).astype(np.float64)
        reached = np.maximum(-low, high)
        missing = 1 - np.minimum(-low, high) / reached.clip(1e-9)
        axis = int(missing.argmax())
        if missing[axis] < MISSING:
            return cls.unknown()
        half = np.full(3, HALF)
        half[axis] = min(reached[axis], HALF)
        return cls(half, axis, -1.0 if high[axis] > -low[axis] else 1.0)

    def beyond(self, places: Floats, margin: float) -> Floats:
        """How far [..., 3] places [..., 3] are outside, beyond a margin."""
        result: Floats = np.maximum(np.abs(places) - self.half - margin, 0)
        return result

    def short_of_end(self, surface: Floats) -> float:
        """How far the end of a surface [V, 3] is from the unseen end of the box; 0 where that is unknown."""
        if self.axis is None:
            return 0.0
        return float(abs(self.half[self.axis] - (self.sign * surface[:, self.axis]).max()))

    def misfit(self, surfaces: Floats) -> Floats:
        """How much [C] the ends of surfaces [C, V, 3] count against them."""
        result: Floats = SHORT * np.maximum(np.array([self.short_of_end(surface) for surface in surfaces]) - MARGIN, 0)
        return result

    def tip(self, surface: Floats) -> tuple[NDArray[np.int64], Floats]:
        """Rows [R] of the vertices [V, 3] at a surface's end, and their places [R, 3] if it reached that of the box."""
        if self.axis is None:
            return np.zeros(0, dtype=np.int64), np.zeros((0, 3))
        along = self.sign * surface[:, self.axis]
        rows = np.flatnonzero(along > along.max() - TIP)
        places = surface[rows].copy()
        places[:, self.axis] += self.sign * (self.half[self.axis] - along.max())
        return rows, places

    def carved(self, logits: Floats, places: Floats) -> Floats:
        """Occupancy logits [Q] at places [Q, 3], negative beyond the unseen end."""
        if self.axis is None:
            return logits
        over = self.sign * places[:, self.axis] - self.half[self.axis] - MARGIN
        result: Floats = np.where(over > 0, np.minimum(logits, -STEEPNESS * over), logits)
        return result
