"""The positions of frames and rows of the timeline on the screen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from m2v_studio.view.widgets import scale

ROW = 26.0  # height, pixels at scale 1
REACH = 9.0  # pixels at scale 1 within which a key is under the mouse


@dataclass(frozen=True)
class Strip:
    """In pixels: frame 0 is at `left`, the last frame at `right`, the first row's top at `top`."""

    x: float
    left: float
    right: float
    top: float
    width: float
    frames: int

    def x_of(self, frame: float) -> float:
        return self.left + (self.right - self.left) * frame / max(self.frames - 1, 1)

    def frame_at(self, x: float) -> int:
        share = (x - self.left) / max(self.right - self.left, 1.0)
        return min(max(round(share * (self.frames - 1)), 0), self.frames - 1)

    def middle_of(self, row: int) -> float:
        return self.top + (row + 0.5) * ROW * scale()

    def key_near(self, frames: Iterable[int], x: float) -> int | None:
        near = [(abs(self.x_of(frame) - x), frame) for frame in frames if frame > 0]
        return min(near)[1] if near and min(near)[0] <= REACH * scale() else None
