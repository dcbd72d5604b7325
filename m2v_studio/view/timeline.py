"""The timeline: transport buttons, the ruler, and a row of key markers per handle."""

from __future__ import annotations

from dataclasses import dataclass

import polyscope.imgui as psim

from m2v_studio.context import EditorContext
from m2v_studio.document import commands
from m2v_studio.document.state import SPEEDS, frame_shown, handle_label, next_step, why_not_play
from m2v_studio.view import theme, widgets
from m2v_studio.view.camera import Region
from m2v_studio.view.fields import number
from m2v_studio.view.overlay import handle_color
from m2v_studio.view.scan_rows import draw_rows
from m2v_studio.view.style import packed, rgba
from m2v_studio.view.widgets import WHITE, icon_button, panel, scale, shorten, tooltip

LABELS = 132.0  # width of the names, pixels at scale 1
LABELS_SHARE = 0.42  # of the timeline's width, at most
ROW = 26.0
RULER = 24.0


@dataclass
class KeyDrag:
    """A key marker under the mouse. `to` follows; the key itself is moved once, on release."""

    row: int
    frame: int
    to: int
    copy: bool


class Timeline:
    def __init__(self) -> None:
        self.dragged: KeyDrag | None = None
        self._followed: tuple[int | None, int] = (None, 0)  # the chosen row and the number of rows last seen

    def draw(self, context: EditorContext, region: Region) -> None:
        with panel("timeline", region):
            self._transport(context)
            widgets.gap(1)
            psim.BeginChild("##tracks", (0.0, 0.0))
            self._tracks(context)
            psim.EndChild()

    # ---- transport ----------------------------------------------------------------------------------------

    def _transport(self, context: EditorContext) -> None:
        studio = context.studio
        state, view = studio.state, studio.state.view
        why = why_not_play(state)
        last = state.document.frames - 1
        if icon_button("##first", _first, "First frame, the rest pose (Home)"):
            studio.show(commands.set_time, 0.0)
        psim.SameLine()
        if icon_button("##back", _back, "One frame back ( , )"):
            studio.show(commands.step_frame, -1)
        psim.SameLine()
        icon = _pause if view.playing else _play
        if icon_button("##play", icon, "Play or pause (Space)", why, primary=next_step(state) == "play"):
            studio.play()
        psim.SameLine()
        if icon_button("##forward", _forward, "One frame forward ( . )"):
            studio.show(commands.step_frame, 1)
        psim.SameLine()
        if icon_button("##last", _last, "Last frame (End)"):
            studio.show(commands.set_time, float(last))
        if self._room() < 80 * scale():
            return
        psim.SameLine(0.0, 14 * scale())
        if widgets.button("Repeat", "Start again at the end (L)", active=view.loop):
            studio.show(commands.with_view, loop=not view.loop)
        if self._room() < 120 * scale():
            return
        psim.SameLine()
        psim.SetNextItemWidth(92 * scale())
        labels = [f"{speed:g}x" for speed in SPEEDS]
        current = SPEEDS.index(view.speed) if view.speed in SPEEDS else 2
        chosen = widgets.choice("##speed", current, labels)
        tooltip("Playback speed; the file keeps its frames per second.")
        if chosen is not None:
            studio.show(commands.with_view, speed=SPEEDS[chosen])
        if self._room() > 160 * scale():
            psim.SameLine(0.0, 14 * scale())
            self._frame_field(context, last)

    def _room(self) -> float:
        """Pixels between the last control and the panel's edge."""
        return float(psim.GetWindowPos()[0] + psim.GetWindowSize()[0] - psim.GetItemRectMax()[0])

    def _frame_field(self, context: EditorContext, last: int) -> None:
        psim.AlignTextToFramePadding()
        psim.TextUnformatted("frame")
        psim.SameLine()
        psim.SetNextItemWidth(64 * scale())
        if context.focus_frame:
            psim.SetKeyboardFocusHere()
            context.focus_frame = False
        state = context.studio.state
        edited = number("##frame", frame_shown(state), lambda now: psim.InputInt("##frame", now, 0, 0))
        tooltip("The frame shown; type a number and press Enter to go there (G). Frame 0 is the rest pose.")
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

    def _tracks(self, context: EditorContext) -> None:
        s = scale()
        x, y = psim.GetCursorScreenPos()
        width = psim.GetContentRegionAvail()[0]
        left, right = x + min(LABELS * s, LABELS_SHARE * width), x + width - 16 * s
        document = context.studio.state.document
        self._ruler(context, left, right, y, width)
        rows = len(document.handles)
        self._follow(context.studio.state.view.selected, rows)
        for row in range(rows):
            self._row(context, row, x, left, right, y + RULER * s + row * ROW * s, width)
        if document.scans is not None:
            rows = draw_rows(context, (x, left, right, y + RULER * s, width, ROW * s))
        elif not rows:
            ink = packed(theme.TEXT_MUTED)
            text = "Keys of your handles appear here: drag them to another frame, Ctrl+drag to copy, Del to delete."
            psim.GetWindowDrawList().AddText(psim.GetFont(), 15 * s, (left + 14 * s, y + (RULER + 9) * s), ink, text)
            psim.Dummy((1.0, ROW * s))
        bottom = y + RULER * s + max(rows, 1) * ROW * s
        at = _x_of(frame_shown(context.studio.state), document.frames, left, right)
        draw = psim.GetWindowDrawList()
        draw.AddLine((at, y + 12 * s), (at, bottom), packed(theme.ACCENT), 2.0 * s)
        _playhead(draw, at, y, context)

    def _follow(self, selected: int | None, rows: int) -> None:
        """Scroll to a row that was just added or chosen."""
        if (selected, rows) != self._followed and selected is not None:
            top = (RULER + selected * ROW) * scale()
            room = psim.GetWindowSize()[1]
            if not psim.GetScrollY() + RULER * scale() <= top <= psim.GetScrollY() + room - ROW * scale():
                psim.SetScrollY(max(top - room / 2, 0.0))
        self._followed = (selected, rows)

    def _ruler(self, context: EditorContext, left: float, right: float, y: float, width: float) -> None:
        s = scale()
        document = context.studio.state.document
        psim.SetCursorScreenPos((left - 12 * s, y))
        psim.InvisibleButton("##ruler", (max(right - left + 24 * s, 1.0), RULER * s))
        if psim.IsItemActive():
            mouse = float(psim.GetIO().MousePos[0])
            context.studio.show(commands.set_time, float(_frame_at(mouse, document.frames, left, right)))
        draw = psim.GetWindowDrawList()
        per_frame = (right - left) / max(document.frames - 1, 1)
        every = next(n for n in (1, 2, 4, 5, 8, 10, 20, 25, 40, 50, 100, 200) if n * per_frame >= 34 * s or n == 200)
        for frame in range(document.frames):
            at = _x_of(frame, document.frames, left, right)
            long = frame % every == 0
            if long or per_frame > 6 * s:
                draw.AddLine((at, y + (15 if long else 19) * s), (at, y + 23 * s), packed(theme.BORDER), 1.0)
            if long:
                text = str(frame)
                wide = _width(text, 13 * s)
                draw.AddText(psim.GetFont(), 13 * s, (at - wide / 2, y), packed(theme.TEXT_MUTED), text)

    def _row(
        self, context: EditorContext, row: int, x: float, left: float, right: float, y: float, width: float
    ) -> None:
        s = scale()
        studio = context.studio
        document, view = studio.state.document, studio.state.view
        handle = document.handles[row]
        draw = psim.GetWindowDrawList()
        selected = view.selected == row
        if selected:
            draw.AddRectFilled((x, y + 1), (x + width, y + ROW * s - 1), packed(theme.ACCENT_SOFT, 0.7), 5 * s)
        psim.SetCursorScreenPos((x, y))
        psim.InvisibleButton(f"##row{row}", (width, ROW * s))
        hovered = psim.IsItemHovered()
        mouse = float(psim.GetIO().MousePos[0])
        frame = _frame_at(mouse, document.frames, left, right)
        over = _key_near(handle.keys, mouse, document.frames, left, right) if hovered else None
        if psim.IsItemActivated():
            if over is not None:
                studio.show(commands.select_key, row, over)
                self.dragged = KeyDrag(row, over, over, bool(psim.GetIO().KeyCtrl))
            else:
                studio.show(commands.select_handle, row)
                if mouse > left - 10 * s:
                    studio.show(commands.set_time, float(frame))
        dragged = self.dragged if self.dragged is not None and self.dragged.row == row else None
        if dragged is not None:
            dragged.to = min(max(frame, 1), document.frames - 1)
            if not psim.IsItemActive():
                self._drop(context, dragged)
                dragged = None
        elif hovered and over is not None:
            psim.SetTooltip(f"Key at frame {over}: drag to move, Ctrl+drag to copy, Del to delete")
        name = shorten(handle_label(document, row), left - x - 44 * s)
        draw.AddCircleFilled((x + 12 * s, y + ROW * s / 2), 4.5 * s, packed(handle_color(handle)), 20)
        draw.AddText((x + 24 * s, y + (ROW * s - psim.GetFontSize()) / 2), packed(theme.TEXT), name)
        self._keys(draw, context, row, left, right, y + ROW * s / 2, dragged, over)

    def _keys(
        self,
        draw: psim.ImDrawList,
        context: EditorContext,
        row: int,
        left: float,
        right: float,
        y: float,
        dragged: KeyDrag | None,
        over: int | None,
    ) -> None:
        s = scale()
        document, view = context.studio.state.document, context.studio.state.view
        handle = document.handles[row]
        if handle.pinned:
            draw.AddLine((left, y), (right, y), packed(theme.PINNED, 0.55), 3.0 * s)
            return
        draw.AddLine((left, y), (right, y), packed(theme.BORDER), 1.0 * s)
        frames = [frame for frame in handle.keys if frame > 0]
        if handle.hold and frames:
            end = _x_of(max(frames), document.frames, left, right)
            draw.AddLine((left, y), (end, y), packed(theme.MOVED, 0.5), 2.5 * s)
        draw.AddCircleFilled((left, y), 3.0 * s, packed(theme.TEXT_MUTED), 12)
        for frame in frames:
            moving = dragged is not None and dragged.frame == frame
            if not moving or (dragged is not None and dragged.copy):
                chosen = view.selected == row and view.key == frame
                _marker(draw, _x_of(frame, document.frames, left, right), y, theme.MOVED, chosen or over == frame)
        if dragged is not None:
            _marker(draw, _x_of(dragged.to, document.frames, left, right), y, theme.ACCENT, True)

    def _drop(self, context: EditorContext, dragged: KeyDrag) -> None:
        self.dragged = None
        if dragged.to != dragged.frame:
            label = "copy key" if dragged.copy else "move key"
            context.studio.do(label, commands.move_key, dragged.row, dragged.frame, dragged.to, dragged.copy)
            context.studio.request_draft()


def _width(text: str, size: float) -> float:
    return float(psim.CalcTextSize(text)[0]) * size / float(psim.GetFontSize())


def _x_of(frame: int, frames: int, left: float, right: float) -> float:
    return left + (right - left) * frame / max(frames - 1, 1)


def _frame_at(x: float, frames: int, left: float, right: float) -> int:
    share = (x - left) / max(right - left, 1.0)
    return min(max(round(share * (frames - 1)), 0), frames - 1)


def _key_near(keys: object, x: float, frames: int, left: float, right: float) -> int | None:
    near = [(abs(_x_of(f, frames, left, right) - x), f) for f in keys if f > 0]  # type: ignore[attr-defined]
    return min(near)[1] if near and min(near)[0] <= 9 * scale() else None


def _marker(draw: psim.ImDrawList, x: float, y: float, color: theme.Color, big: bool) -> None:
    r = (7.5 if big else 6.0) * scale()
    o = r + 1.6 * scale()
    draw.AddQuadFilled((x, y - o), (x + o, y), (x, y + o), (x - o, y), packed(WHITE))
    draw.AddQuadFilled((x, y - r), (x + r, y), (x, y + r), (x - r, y), packed(color))


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
