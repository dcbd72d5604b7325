"""The timeline: transport buttons, the ruler, and a row of key markers per handle."""

from __future__ import annotations

from functools import lru_cache

import polyscope.imgui as psim

from m2v_studio.context import EditorContext
from m2v_studio.document import commands
from m2v_studio.document.state import frame_shown, next_step, why_not_play
from m2v_studio.view import theme, widgets
from m2v_studio.view.camera import Region
from m2v_studio.view.fields import number
from m2v_studio.view.footing_marks import draw_speed, speed_height
from m2v_studio.view.key_rows import KeyRows
from m2v_studio.view.key_strip import ROW, Strip
from m2v_studio.view.motion_row import draw_motion_row
from m2v_studio.view.scan_rows import draw_rows
from m2v_studio.view.style import packed, rgba
from m2v_studio.view.widgets import WHITE, icon_button, panel, scale, tooltip

LABELS = 132.0  # width of the names, pixels at scale 1
LABELS_SHARE = 0.42  # of the timeline's width, at most
RULER = 24.0
FRAME = "The frame shown; frame 0 is the rest pose. Type a number and press Enter to go there"
NO_FIELD = "This window is too narrow for the frame number: click the ruler, or make the window wider."


class Timeline:
    def __init__(self) -> None:
        self.rows = KeyRows()
        self.strip: Strip | None = None  # positions of rows and frames in the last drawing
        self._followed: tuple[int | None, int] = (None, 0)  # the selected row and the number of rows in the last frame

    def draw(self, context: EditorContext, region: Region) -> None:
        with panel("timeline", region):
            self._transport(context)
            draw_motion_row(context)
            widgets.gap(1)
            below = speed_height(context.studio.state)
            # Room for the scroll bar is always kept, so that frames do not move when it appears.
            width = psim.GetContentRegionAvail()[0] - psim.GetStyle().ScrollbarSize
            psim.BeginChild("##tracks", (0.0, -below - psim.GetStyle().ItemSpacing[1] if below else 0.0))
            self._tracks(context, width)
            psim.EndChild()
            self._speed(context, width)

    # ---- transport ----------------------------------------------------------------------------------------

    def _transport(self, context: EditorContext) -> None:
        studio = context.studio
        state, view = studio.state, studio.state.view
        why = why_not_play(state)
        last = state.document.frames - 1
        if icon_button("##first", _first, context.with_keys("First frame, the rest pose", "first_frame")):
            studio.show(commands.set_time, 0.0)
        psim.SameLine()
        if icon_button("##back", _back, context.with_keys("One frame back", "back")):
            studio.show(commands.step_frame, -1)
        psim.SameLine()
        icon = _pause if view.playing else _play
        if icon_button(
            "##play", icon, context.with_keys("Play or pause", "play"), why, primary=next_step(state) == "play"
        ):
            studio.play()
        psim.SameLine()
        if icon_button("##forward", _forward, context.with_keys("One frame forward", "forward")):
            studio.show(commands.step_frame, 1)
        psim.SameLine()
        if icon_button("##last", _last, context.with_keys("Last frame", "last_frame")):
            studio.show(commands.set_time, float(last))
        if self._room() >= 80 * scale():
            psim.SameLine(0.0, 14 * scale())
            if widgets.button("Repeat", context.with_keys("Start again at the end", "repeat"), active=view.loop):
                studio.show(commands.with_view, loop=not view.loop)
        if self._room() > 88 * scale():
            psim.SameLine(0.0, 14 * scale() if self._room() > 126 * scale() else 8 * scale())
            self._frame_field(context, last, with_word=self._room() > 126 * scale())
        elif context.focus_frame:
            context.focus_frame = False
            studio.show(commands.say, NO_FIELD)

    def _room(self) -> float:
        """Pixels between the last control and the panel's edge."""
        return float(psim.GetWindowPos()[0] + psim.GetWindowSize()[0] - psim.GetItemRectMax()[0])

    def _frame_field(self, context: EditorContext, last: int, with_word: bool) -> None:
        if with_word:
            psim.AlignTextToFramePadding()
            psim.TextUnformatted("frame")
            psim.SameLine()
        psim.SetNextItemWidth(64 * scale())
        if context.focus_frame:
            psim.SetKeyboardFocusHere()
            context.focus_frame = False
        state = context.studio.state
        edited = number("##frame", frame_shown(state), lambda now: psim.InputInt("##frame", now, 0, 0))
        tooltip(context.with_keys(FRAME, "go_to_frame"))
        if edited.changed:
            context.studio.show(commands.set_time, float(edited.value))
        document = state.document
        seconds = document.frames / document.fps
        for text in (f"of {last}    {document.fps:g} frames per second, {seconds:.2f} s", f"of {last}"):
            end = psim.GetItemRectMax()[0] + psim.CalcTextSize(text)[0] + 20 * scale()
            if end < psim.GetWindowPos()[0] + psim.GetWindowSize()[0]:
                psim.SameLine()
                psim.AlignTextToFramePadding()
                psim.TextColored(rgba(theme.TEXT_MUTED), text)
                return

    # ---- tracks -------------------------------------------------------------------------------------------

    def _tracks(self, context: EditorContext, width: float) -> None:
        s = scale()
        x, y = psim.GetCursorScreenPos()
        left, right = x + min(LABELS * s, LABELS_SHARE * width), x + width - 16 * s
        document = context.studio.state.document
        strip = Strip(x, left, right, y + RULER * s, width, document.frames)
        self.strip = strip
        self._ruler(context, strip, y)
        rows = len(document.handles)
        self._follow(context.studio.state.view.selected, rows)
        self.rows.draw(context, strip)
        if document.scans is not None:
            rows = draw_rows(context, (x, left, right, y + RULER * s, width, ROW * s))
        elif not rows:
            ink = packed(theme.TEXT_MUTED)
            text = "Keys of your handles appear here: drag to move them, Ctrl+drag to copy, right-click for more."
            psim.GetWindowDrawList().AddText(psim.GetFont(), 15 * s, (left + 14 * s, y + (RULER + 9) * s), ink, text)
            psim.Dummy((1.0, ROW * s))
        bottom = y + RULER * s + max(rows, 1) * ROW * s
        if rows and psim.IsWindowHovered() and psim.IsMouseReleased(1) and not context.menu_asked:
            context.menu_asked = "timeline"
        at = strip.x_of(frame_shown(context.studio.state))
        draw = psim.GetWindowDrawList()
        draw.AddLine((at, y + 12 * s), (at, bottom), packed(theme.ACCENT), 2.0 * s)
        _playhead(draw, at, y, context)

    def _speed(self, context: EditorContext, width: float) -> None:
        """Draw the curve of speed under the rows; it does not scroll with them."""
        if speed_height(context.studio.state):
            x, y = psim.GetCursorScreenPos()
            s = scale()
            left, right = x + min(LABELS * s, LABELS_SHARE * width), x + width - 16 * s
            draw_speed(context, Strip(x, left, right, y, width, context.studio.state.document.frames))

    def _follow(self, selected: int | None, rows: int) -> None:
        """Scroll to a row that was just added or selected."""
        if (selected, rows) != self._followed and selected is not None:
            top = (RULER + selected * ROW) * scale()
            room = psim.GetWindowSize()[1]
            if not psim.GetScrollY() + RULER * scale() <= top <= psim.GetScrollY() + room - ROW * scale():
                psim.SetScrollY(max(top - room / 2, 0.0))
        self._followed = (selected, rows)

    def _ruler(self, context: EditorContext, strip: Strip, y: float) -> None:
        s, left, right = scale(), strip.left, strip.right
        document = context.studio.state.document
        psim.SetCursorScreenPos((left - 12 * s, y))
        psim.InvisibleButton("##ruler", (max(right - left + 24 * s, 1.0), RULER * s))
        if psim.IsItemActive():
            mouse = float(psim.GetIO().MousePos[0])
            context.studio.show(commands.set_time, float(strip.frame_at(mouse)))
        draw = psim.GetWindowDrawList()
        per_frame = (right - left) / max(document.frames - 1, 1)
        every = next(n for n in (1, 2, 4, 5, 8, 10, 20, 25, 40, 50, 100, 200) if n * per_frame >= 34 * s or n == 200)
        for frame in range(document.frames):
            at = strip.x_of(frame)
            long = frame % every == 0
            if long or per_frame > 6 * s:
                draw.AddLine((at, y + (15 if long else 19) * s), (at, y + 23 * s), packed(theme.BORDER), 1.0)
            if long:
                text = str(frame)
                wide = _width(text, 13 * s)
                draw.AddText(psim.GetFont(), 13 * s, (at - wide / 2, y), packed(theme.TEXT_MUTED), text)


def _width(text: str, size: float) -> float:
    return _unit_width(text, float(psim.GetFontSize())) * size


@lru_cache(maxsize=512)
def _unit_width(text: str, font_size: float) -> float:
    return float(psim.CalcTextSize(text)[0]) / font_size


def _playhead(draw: psim.ImDrawList, at: float, y: float, context: EditorContext) -> None:
    s = scale()
    text = str(frame_shown(context.studio.state))
    half = max(_width(text, 13 * s) / 2 + 6 * s, 12 * s)
    draw.AddRectFilled((at - half, y - 1), (at + half, y + 17 * s), packed(theme.ACCENT), 5 * s)
    wide = _width(text, 13 * s)
    draw.AddText(psim.GetFont(), 13 * s, (at - wide / 2, y + 0.5 * s), packed(WHITE), text)


# ---- icons ------------------------------------------------------------------------------------------------


def _triangle(draw: psim.ImDrawList, x: float, y: float, r: float, color: int, way: int) -> None:
    a, b, c = (x - way * r * 0.8, y - r), (x - way * r * 0.8, y + r), (x + way * r, y)
    draw.AddTriangleFilled(*((a, c, b) if way > 0 else (a, b, c)), color)


def _bar(draw: psim.ImDrawList, x: float, y: float, r: float, color: int) -> None:
    draw.AddRectFilled((x - r * 0.22, y - r), (x + r * 0.22, y + r), color, 1.0)


def _play(draw: psim.ImDrawList, at: tuple[float, float], r: float, color: int) -> None:
    _triangle(draw, at[0], at[1], r * 1.25, color, 1)


def _pause(draw: psim.ImDrawList, at: tuple[float, float], r: float, color: int) -> None:
    _bar(draw, at[0] - r * 0.5, at[1], r * 1.15, color)
    _bar(draw, at[0] + r * 0.5, at[1], r * 1.15, color)


def _back(draw: psim.ImDrawList, at: tuple[float, float], r: float, color: int) -> None:
    _triangle(draw, at[0], at[1], r, color, -1)


def _forward(draw: psim.ImDrawList, at: tuple[float, float], r: float, color: int) -> None:
    _triangle(draw, at[0], at[1], r, color, 1)


def _first(draw: psim.ImDrawList, at: tuple[float, float], r: float, color: int) -> None:
    _triangle(draw, at[0] + r * 0.3, at[1], r, color, -1)
    _bar(draw, at[0] - r * 0.95, at[1], r, color)


def _last(draw: psim.ImDrawList, at: tuple[float, float], r: float, color: int) -> None:
    _triangle(draw, at[0] - r * 0.3, at[1], r, color, 1)
    _bar(draw, at[0] + r * 0.95, at[1], r, color)
