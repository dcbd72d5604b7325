"""The rows of the timeline, one per handle, and mouse gestures on their keys."""

from __future__ import annotations

from dataclasses import dataclass, replace

import polyscope.imgui as psim

from m2v_studio.context import EditorContext
from m2v_studio.document import block_edits, commands, selection
from m2v_studio.document.names import handle_label
from m2v_studio.document.selection import Key
from m2v_studio.document.state import State
from m2v_studio.view import theme
from m2v_studio.view.key_strip import ROW, Strip
from m2v_studio.view.overlay import draw_box_select
from m2v_studio.view.pin_bars import TIP as PIN_TIP
from m2v_studio.view.pin_bars import PinBars, draw_easings
from m2v_studio.view.region_tints import handle_color
from m2v_studio.view.style import packed
from m2v_studio.view.widgets import scale, shorten

STILL = 4.0  # a press that moves less is a click
TIP = "Key at frame {}: drag to move, Ctrl+drag to copy, Alt+drag to scale in time, right-click for more"


@dataclass(frozen=True)
class Press:
    """What the mouse was pressed on: a key (then `frame` is its own), or the empty part of a row."""

    kind: str  # "move", "copy", "scale" or "box"
    row: int
    frame: int
    start: tuple[float, float]
    block: tuple[Key, ...]
    adding: bool  # Shift or Ctrl was held
    moved: bool = False


class KeyRows:
    """Draws the rows. A dragged key moves on screen only; the document is changed once, on release."""

    def __init__(self) -> None:
        self.press: Press | None = None
        self.bars = PinBars()
        self._chosen: frozenset[Key] = frozenset()  # the selected keys of this frame's drawing

    def draw(self, context: EditorContext, strip: Strip) -> None:
        """Draw all rows from `strip.top` down, and put the next item below them."""
        mouse = float(psim.GetIO().MousePos[0]), float(psim.GetIO().MousePos[1])
        if self.press is not None and not self.press.moved:
            far = max(abs(mouse[0] - self.press.start[0]), abs(mouse[1] - self.press.start[1]))
            self.press = replace(self.press, moved=far > STILL * scale())
        preview = self.bars.preview(self._preview(context.studio.state, strip, mouse), strip, mouse)
        self._chosen = frozenset(selection.chosen_keys(preview))
        active = False
        for row in range(len(context.studio.state.document.handles)):
            if row < len(preview.document.handles):
                active |= self._row(context, preview, row, strip, mouse)
        press = self.press
        if press is not None and press.kind == "box" and press.moved:
            draw_box_select(psim.GetWindowDrawList(), (press.start, mouse))
        if self.bars.press is not None and not active:
            self.bars.drop(context, strip, mouse)
        if press is not None and not active:
            self.press = None
            self._drop(context, press, strip, mouse)

    def _row(self, context: EditorContext, preview: State, row: int, strip: Strip, mouse: tuple[float, float]) -> bool:
        s, state = scale(), context.studio.state
        handle = state.document.handles[row]
        draw, y = psim.GetWindowDrawList(), strip.top + row * ROW * s
        if row in selection.chosen_rows(state):
            end = strip.x + strip.width
            draw.AddRectFilled((strip.x, y + 1), (end, y + ROW * s - 1), packed(theme.ACCENT_SOFT, 0.7), 5 * s)
        psim.SetCursorScreenPos((strip.x, y))
        psim.InvisibleButton(f"##row{row}", (strip.width, ROW * s))
        hovered, active = psim.IsItemHovered(), bool(psim.IsItemActive())
        bar = PinBars.under(state, row, strip, mouse) if hovered and not handle.pinned else None
        over = strip.key_near(handle.keys, mouse[0]) if hovered and bar is None and not handle.pinned else None
        if psim.IsItemActivated() and bar is not None:
            context.studio.show(commands.select_handle, row)
            self.bars.begin(state, row, strip, mouse)
        elif psim.IsItemActivated():
            self._begin(context, row, over, strip, mouse)
        if hovered and psim.IsMouseReleased(1):
            if bar is not None:  # the menu is about the pin under the mouse
                context.studio.show(commands.set_time, float(strip.frame_at(mouse[0])))
            self._ask_menu(context, row, over)
        if self.press is None and bar is not None:
            psim.SetTooltip(PIN_TIP.format(*handle.pins[bar[0]]))
        if self.press is None and hovered and over is not None:
            psim.SetTooltip(TIP.format(over))
        name = shorten(handle_label(state.document, row), strip.left - strip.x - 44 * s)
        draw.AddCircleFilled((strip.x + 12 * s, y + ROW * s / 2), 4.5 * s, packed(handle_color(handle)), 20)
        draw.AddText((strip.x + 24 * s, y + (ROW * s - psim.GetFontSize()) / 2), packed(theme.TEXT), name)
        self._keys(draw, preview, row, strip, over)
        return active

    def _begin(
        self, context: EditorContext, row: int, over: int | None, strip: Strip, mouse: tuple[float, float]
    ) -> None:
        studio, io = context.studio, psim.GetIO()
        adding = bool(io.KeyCtrl or io.KeyShift)
        if over is None:
            studio.show(selection.toggle_handle if adding else commands.select_handle, row)
            if mouse[0] > strip.left - 10 * scale() and not adding:
                studio.show(commands.set_time, float(strip.frame_at(mouse[0])))
            self.press = Press("box", row, 0, mouse, (), adding)
            return
        chosen = selection.chosen_keys(studio.state)
        if (row, over) not in chosen and not adding:
            studio.show(commands.select_key, row, over)
        block = chosen if (row, over) in chosen else ((row, over),)
        kind = "copy" if io.KeyCtrl else "scale" if io.KeyAlt and len({f for _, f in block}) > 1 else "move"
        self.press = Press(kind, row, over, mouse, block, adding)

    @staticmethod
    def _ask_menu(context: EditorContext, row: int, over: int | None) -> None:
        """Open the menu of a right click, and select the key or handle under the mouse unless it is selected."""
        studio = context.studio
        if over is not None and (row, over) not in selection.chosen_keys(studio.state):
            studio.show(commands.select_key, row, over)
        elif over is None and row not in selection.chosen_rows(studio.state):
            studio.show(commands.select_handle, row)
        context.menu_asked = "timeline"

    def _preview(self, state: State, strip: Strip, mouse: tuple[float, float]) -> State:
        """The state if the mouse were released now."""
        press = self.press
        return state if press is None or not press.moved else _retimed(state, press, strip.frame_at(mouse[0]))

    def _drop(self, context: EditorContext, press: Press, strip: Strip, mouse: tuple[float, float]) -> None:
        studio = context.studio
        if press.kind == "box":
            if press.moved:
                studio.show(selection.choose_keys, self._inside(studio.state, press, strip, mouse), press.adding)
        elif not press.moved:
            choose = selection.toggle_key if press.adding else commands.select_key
            studio.show(choose, press.row, press.frame)
        elif strip.frame_at(mouse[0]) != press.frame:
            noun = "keys" if len(press.block) > 1 else "key"
            studio.do(f"{press.kind} {noun}", _retimed, press, strip.frame_at(mouse[0]))
            studio.request_draft()

    @staticmethod
    def _inside(state: State, press: Press, strip: Strip, mouse: tuple[float, float]) -> list[Key]:
        left, right = sorted((press.start[0], mouse[0]))
        top, bottom = sorted((press.start[1], mouse[1]))
        return [
            (row, frame)
            for row, frame in selection.keys_of(state, range(len(state.document.handles)))
            if left <= strip.x_of(frame) <= right and top <= strip.middle_of(row) <= bottom
        ]

    def _keys(self, draw: psim.ImDrawList, state: State, row: int, strip: Strip, over: int | None) -> None:
        s, y = scale(), strip.middle_of(row)
        handle = state.document.handles[row]
        if handle.pinned:
            draw.AddLine((strip.left, y), (strip.right, y), packed(theme.PINNED, 0.55), 3.0 * s)
            return
        draw.AddLine((strip.left, y), (strip.right, y), packed(theme.BORDER), 1.0 * s)
        frames = [frame for frame in handle.keys if frame > 0]
        if handle.hold and frames:
            draw.AddLine((strip.left, y), (strip.x_of(max(frames)), y), packed(theme.MOVED, 0.5), 2.5 * s)
        draw_easings(draw, state, row, strip)
        self.bars.draw(draw, state, row, strip)
        draw.AddCircleFilled((strip.left, y), 3.0 * s, packed(theme.TEXT_MUTED), 12)
        for frame in frames:
            is_chosen = (row, frame) in self._chosen
            color = theme.ACCENT if is_chosen else theme.MOVED
            marker(draw, strip.x_of(frame), y, color, is_chosen or over == frame)


def _retimed(state: State, press: Press, to: int) -> State:
    """The keys moved, copied or scaled so that the one under the mouse is at frame `to`."""
    if press.kind == "box":
        return state
    if press.kind == "scale":
        frames = [frame for _, frame in press.block]
        about = max(frames) if press.frame == min(frames) else min(frames)
        return block_edits.scale_keys(state, press.block, (to - about) / (press.frame - about), about)
    return block_edits.shift_keys(state, press.block, to - press.frame, press.kind == "copy")


def marker(draw: psim.ImDrawList, x: float, y: float, color: theme.Color, big: bool) -> None:
    """A key: a diamond with a white edge."""
    r = (7.5 if big else 6.0) * scale()
    o = r + 1.6 * scale()
    draw.AddQuadFilled((x, y - o), (x + o, y), (x, y + o), (x - o, y), packed(theme.CARD))
    draw.AddQuadFilled((x, y - r), (x + r, y), (x, y + r), (x - r, y), packed(color))
