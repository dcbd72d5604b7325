"""Pins over a range of frames in the timeline: bars under the keys, whose ends are dragged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import polyscope.imgui as psim

from m2v_studio.context import EditorContext
from m2v_studio.document import pin_commands
from m2v_studio.document.state import State
from m2v_studio.view import theme
from m2v_studio.view.key_strip import ROW, Strip
from m2v_studio.view.style import packed
from m2v_studio.view.widgets import WHITE, scale

LOW = 0.62  # of a row's height: below it the mouse is on a bar, above on a key
END = 7.0  # pixels at scale 1 around a bar's end within which a press grabs the end
TIP = "Pinned from frame {} to {}: drag an end, or the bar; right-click to let go"


@dataclass(frozen=True)
class BarPress:
    """The bar that the mouse was pressed on, and which part of it."""

    row: int
    pin: int
    part: str  # "first", "last" or "both"
    grabbed: int  # frame under the mouse when it was pressed
    moved: bool = False


class PinBars:
    """Draws the bars. A dragged bar follows the mouse; the document is changed once, on release."""

    def __init__(self) -> None:
        self.press: BarPress | None = None

    def begin(self, state: State, row: int, strip: Strip, mouse: tuple[float, float]) -> bool:
        """Grab the bar under the mouse; True when there is one."""
        found = self.under(state, row, strip, mouse)
        if found is not None:
            self.press = BarPress(row, *found, strip.frame_at(mouse[0]))
        return found is not None

    @staticmethod
    def under(state: State, row: int, strip: Strip, mouse: tuple[float, float]) -> tuple[int, str] | None:
        """Number and part of the bar of this row that the mouse is on."""
        s = scale()
        if mouse[1] < strip.top + (row + LOW) * ROW * s:
            return None
        for pin, (first, last) in enumerate(state.document.handles[row].pins):
            left, right = strip.x_of(first), strip.x_of(last)
            if left - END * s <= mouse[0] <= right + END * s:
                near_left, near_right = abs(mouse[0] - left), abs(mouse[0] - right)
                if min(near_left, near_right) > END * s:
                    return pin, "both"
                return pin, "first" if near_left < near_right else "last"
        return None

    def preview(self, state: State, strip: Strip, mouse: tuple[float, float]) -> State:
        """The state if the mouse were released now."""
        press = self.press
        if press is None:
            return state
        by = strip.frame_at(mouse[0]) - press.grabbed
        if by and not press.moved:
            self.press = replace(press, moved=True)
        first, last = state.document.handles[press.row].pins[press.pin]
        end = state.document.frames - 1
        if press.part == "both":
            by = min(max(by, -first), end - last)
            first, last = first + by, last + by
        elif press.part == "first":
            first = min(max(first + by, 0), last)
        else:
            last = max(min(last + by, end), first)
        return pin_commands.drag_pin(state, press.row, press.pin, first, last)

    def drop(self, context: EditorContext, strip: Strip, mouse: tuple[float, float]) -> None:
        """Release the bar: one undo step."""
        changed = self.preview(context.studio.state, strip, mouse).document is not context.studio.state.document
        if changed:
            context.studio.do("drag a pin", self.preview, strip, mouse)
            context.studio.request_draft()
        self.press = None

    def draw(self, draw: psim.ImDrawList, state: State, row: int, strip: Strip) -> None:
        s = scale()
        y = strip.top + (row + 0.82) * ROW * s
        for first, last in state.document.handles[row].pins:
            left, right = strip.x_of(first), strip.x_of(last)
            draw.AddRectFilled((left - 2 * s, y - 3 * s), (right + 2 * s, y + 3 * s), packed(theme.PINNED, 0.6), 3 * s)
            for x in (left, right):
                draw.AddRectFilled((x - 3.5 * s, y - 5 * s), (x + 3.5 * s, y + 5 * s), packed(WHITE), 2 * s)
                draw.AddRectFilled((x - 2.2 * s, y - 4 * s), (x + 2.2 * s, y + 4 * s), packed(theme.PINNED), 2 * s)


def draw_easings(draw: psim.ImDrawList, state: State, row: int, strip: Strip) -> None:
    """Draw a small curve from each eased key to the next."""
    handle, s = state.document.handles[row], scale()
    if handle.pinned:
        return
    stops = sorted({0, *(frame for frame in handle.keys if frame > 0)})
    y, height = strip.middle_of(row), 0.36 * ROW * s
    for frame, after in pairwise(stops):
        easing = handle.easing.get(frame)
        if easing is None:
            continue
        shares = easing.share([step / 24 for step in range(25)])
        left, right = strip.x_of(frame), strip.x_of(after)
        points = [
            (left + (right - left) * step / 24, y + height - 2 * height * min(max(float(share), -0.2), 1.25))
            for step, share in enumerate(shares)
        ]
        for a, b in pairwise(points):
            draw.AddLine(a, b, packed(theme.MOVED, 0.65), 1.8 * s)
