"""Draws handles, trajectories, labels, the legend and the hint of the next step over the view."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polyscope.imgui as psim
from numpy.typing import NDArray

from core.sequence import Handle
from m2v_studio.context import EditorContext
from m2v_studio.document.commands import key_frame_for_drag
from m2v_studio.document.names import handle_label
from m2v_studio.document.state import State, frame_shown, is_stale, next_step
from m2v_studio.view import theme
from m2v_studio.view.camera import Region
from m2v_studio.view.figure import Figure
from m2v_studio.view.footing_marks import draw_contacts
from m2v_studio.view.region_tints import handle_color
from m2v_studio.view.screen import HandleOnScreen, Pixel
from m2v_studio.view.style import packed
from m2v_studio.view.theme import Color
from m2v_studio.view.widgets import WHITE, scale

HANDLE_RADIUS = 7.0
RING, WIDE_RING = 42.0, 96.0  # the radius of the ring that turns; with the gizmo
SCAN_HINT = "Press Generate, or fit the box to the shape first{keys}."
HINTS = {
    "open": "Open a mesh or scans, choose a sample on the left, or drop a file here.",
    "add_handle": "Click the creature to add a handle, then drag it.",
    "drag": "Drag the handle to where it should be {when}.",
}


def draw(context: EditorContext, region: Region) -> None:
    """Everything above the scene and below the panels."""
    state, viewport = context.studio.state, context.viewport
    canvas = psim.GetBackgroundDrawList()
    canvas.PushClipRect((region.x, region.y), (region.x + region.width, region.y + region.height), True)
    if viewport.projection is not None:
        for figure in viewport.figures:
            draw_contacts(canvas, context, figure)
            _handles_of(canvas, context, figure)
            if figure.label and (figure.cell is not None or figure.opacity == 1.0 or state.view.layout != "overlay"):
                _label(canvas, figure, viewport.cells.get(figure.name, region))
        _overlay_names(canvas, state, viewport.figures, region)
        _legend(canvas, context, region)
    _hint(canvas, context, region)
    if context.mouse.box is not None:
        draw_box_select(canvas, context.mouse.box)
    canvas.PopClipRect()


def draw_box_select(canvas: psim.ImDrawList, box: tuple[Pixel, Pixel]) -> None:
    """Draw the selection box."""
    (ax, ay), (bx, by) = box
    low, high = (min(ax, bx), min(ay, by)), (max(ax, bx), max(ay, by))
    canvas.AddRectFilled(low, high, packed(theme.ACCENT, 0.12))
    canvas.AddRect(low, high, packed(theme.ACCENT, 0.9), 0.0, 0, 1.5 * scale())


# ---- handles and their paths ------------------------------------------------------------------------------


def _handles_of(canvas: psim.ImDrawList, context: EditorContext, figure: Figure) -> None:
    state, viewport = context.studio.state, context.viewport
    overlay = state.view.layout == "overlay" and len(viewport.figures) > 1
    first = figure is viewport.figures[0]
    handles = state.document.handles
    for row, (handle, at) in enumerate(zip(handles, viewport.on_screen(figure, handles), strict=True)):
        if not handle.pinned:
            _trajectory(canvas, context, figure, row, at, overlay)
        if overlay and not first and handle.pinned:
            continue
        if not handle.pinned and (not overlay or first):
            _targets(canvas, context, figure, row, at)
        _knob(canvas, context, figure, row, at)


def _trajectory(
    canvas: psim.ImDrawList, context: EditorContext, figure: Figure, row: int, at: HandleOnScreen, overlay: bool
) -> None:
    """Draw the handle's path through all frames, with a small dot per frame if there is room."""
    if at.line is None or not at.keys:
        return
    state = context.studio.state
    color = figure.color if overlay else theme.MOVED
    selected = row == state.view.selected
    ink = packed(color, 0.30 if is_stale(state) else 0.85 if selected or overlay else 0.6)
    canvas.AddPolyline(at.line, ink, 0, 2.4 * scale())
    radius = 2.3 * scale()
    for point in at.dots:
        canvas.AddCircleFilled(point, radius, ink, 10)


def _targets(canvas: psim.ImDrawList, context: EditorContext, figure: Figure, row: int, at: HandleOnScreen) -> None:
    """Draw keys as diamonds, with a dashed line from the rest position through them until a motion passes there."""
    if not at.keys or at.chain is None:
        return
    if len(figure.track) < 2 or is_stale(context.studio.state):
        for a, b in pairwise(at.chain):
            _dashed(canvas, np.array(a), np.array(b), packed(theme.MOVED, 0.9), 2.0 * scale())
    view = context.studio.state.view
    for frame, point in at.keys.items():
        chosen = (view.selected == row and view.key == frame) or (row, frame) in view.keys
        if point is not None:
            _diamond(canvas, point, (6.0 if chosen else 4.8) * scale(), theme.MOVED, chosen)


def _knob(canvas: psim.ImDrawList, context: EditorContext, figure: Figure, row: int, at: HandleOnScreen) -> None:
    state = context.studio.state
    handle = state.document.handles[row]
    center = at.knob(figure.frame, knob_key(state, handle))
    if center is None:
        return
    s = scale()
    color = handle_color(handle)
    hovered = context.mouse.hovered_handle == row
    radius = (HANDLE_RADIUS + (1.5 if hovered else 0.0)) * s
    if figure.cell is not None or figure.opacity < 1.0:
        radius *= 0.75
    if row == state.view.selected or row in state.view.rows:
        canvas.AddCircle(center, radius + 5 * s, packed(WHITE, 0.9), 40, 4.0 * s)
        canvas.AddCircle(center, radius + 5 * s, packed(color), 40, 2.2 * s)
    canvas.AddCircleFilled((center[0], center[1] + 1.2 * s), radius + 1.6 * s, packed((0.1, 0.1, 0.15), 0.22), 32)
    canvas.AddCircleFilled(center, radius + 1.6 * s, packed(WHITE), 32)
    canvas.AddCircleFilled(center, radius, packed(color), 32)
    shine = (center[0] - radius * 0.30, center[1] - radius * 0.34)
    canvas.AddCircleFilled(shine, radius * 0.28, packed(WHITE, 0.5), 16)
    if figure is context.viewport.figures[0] and figure.cell is None and (row == state.view.selected or hovered):
        ringed = row == state.view.selected and state.view.ring and not handle.pinned
        beside = (ring_radius(state) - 4) * s if ringed else radius
        _chip(canvas, center, beside + 12 * s, handle_label(state.document, row), color)


def ring_radius(state: State) -> float:
    """Radius of the outer ring around the selected handle, in pixels at scale 1."""
    return WIDE_RING if state.view.gizmo else RING


def knob_key(state: State, handle: Handle) -> int | None:
    """The frame of the key that a handle is drawn at while no motion meets that key; else None."""
    frame = frame_shown(state)
    unmet = state.results is None or is_stale(state)
    return frame if frame > 0 and unmet and not handle.pinned and frame in handle.keys else None


def knob_position(context: EditorContext, figure: Figure, handle: Handle) -> NDArray[np.float64]:
    """Where a handle is drawn in the scene: on the surface, or at its key."""
    key = knob_key(context.studio.state, handle)
    if key is None:
        return context.viewport.position(figure, handle.vertex)
    return context.viewport.to_view(figure, handle.keys[key])


# ---- texts ------------------------------------------------------------------------------------------------


def _label(canvas: psim.ImDrawList, figure: Figure, cell: Region) -> None:
    s = scale()
    x, y = cell.x + 16 * s, cell.y + 14 * s
    canvas.AddCircleFilled((x + 6 * s, y + 9 * s), 5.5 * s, packed(figure.color), 24)
    canvas.AddText(psim.GetFont(), 16 * s, (x + 20 * s, y), packed(theme.TEXT), figure.label)
    if figure.cell is not None:
        canvas.AddRect(
            (cell.x + 5 * s, cell.y + 5 * s),
            (cell.x + cell.width - 5 * s, cell.y + cell.height - 5 * s),
            packed(theme.BORDER),
            10 * s,
            0,
            1.0 * s,
        )


def _overlay_names(canvas: psim.ImDrawList, state: State, figures: tuple[Figure, ...], region: Region) -> None:
    """Name every seed's colour in the overlay, one under the other."""
    if state.view.layout != "overlay":
        return
    s = scale()
    others = [figure for figure in figures if figure.opacity < 1.0]
    for line, figure in enumerate(others, start=1):
        x, y = region.x + 16 * s, region.y + (14 + 22 * line) * s
        canvas.AddCircleFilled((x + 6 * s, y + 9 * s), 5.5 * s, packed(figure.color), 24)
        canvas.AddText(psim.GetFont(), 16 * s, (x + 20 * s, y), packed(theme.TEXT), figure.label)


def _legend(canvas: psim.ImDrawList, context: EditorContext, region: Region) -> None:
    """Draw the viridis bar, in per cent of the shape's size."""
    figure = next((f for f in context.viewport.figures if f.heat is not None), None)
    if figure is None:
        return
    s = scale()
    width, height = min(220 * s, region.width * 0.55), 12 * s
    x, y = region.x + region.width - width - 24 * s, region.y + region.height - 46 * s
    names = {
        "disagreement": "Seeds differ by, % of size",
        "handle_error": "Handle error, % of size",
        "to_scan": "Distance to the scan, % of size",
        "unseen": "Distance from all scans, % of size",
        "truth_error": "True error, % of size",
        "stretch": "Stretch, % of length",
    }
    title = names.get(context.studio.state.view.color, "")
    card = packed(theme.CARD, 0.88)
    canvas.AddRectFilled((x - 14 * s, y - 36 * s), (x + width + 14 * s, y + height + 28 * s), card, 8 * s)
    canvas.AddText(psim.GetFont(), 15 * s, (x, y - 27 * s), packed(theme.TEXT), title)
    steps = len(theme.VIRIDIS) - 1
    for index in range(steps):
        a, b = packed(theme.VIRIDIS[index]), packed(theme.VIRIDIS[index + 1])
        left, right = x + width * index / steps, x + width * (index + 1) / steps
        canvas.AddRectFilledMultiColor((left, y), (right, y + height), a, b, b, a)
    for share in (0.0, 0.5, 1.0):
        text = f"{100 * figure.heat_max * share:.3g} %"
        wide = _width(text, 14 * s)
        at = x + share * width - wide * share
        canvas.AddText(psim.GetFont(), 14 * s, (at, y + height + 5 * s), packed(theme.TEXT_MUTED), text)


def _hint(canvas: psim.ImDrawList, context: EditorContext, region: Region) -> None:
    state = context.studio.state
    step = next_step(state)
    if state.busy.startswith("Opening"):
        text = f"{state.busy} …"
    elif step == "generate" and state.document.scans is not None and state.results is None:
        keys = context.with_keys("", "gizmo")
        text = SCAN_HINT.format(keys=keys) if context.studio.settings.hints else ""
    elif step in HINTS and (context.studio.settings.hints or step == "open"):
        text = HINTS[step].format(when=_when(state))
    else:
        return
    if not text or (step == "drag" and context.mouse.dragging):
        return
    s = scale()
    size = 19 * s
    lines = _wrapped(text, size, region.width - 60 * s)
    if len(lines) > 2 and step != "open":
        return  # it would cover the handle that it is about
    wide, high = max(_width(line, size) for line in lines), size * (1.25 * len(lines) - 0.25)
    middle = region.y + region.height / 2 if step == "open" else region.y + region.height - 36 * s - high / 2
    left, right, top = region.center[0] - wide / 2, region.center[0] + wide / 2, middle - high / 2
    box = (left - 20 * s, top - 11 * s), (right + 20 * s, top + high + 13 * s)
    canvas.AddRectFilled(*box, packed(theme.ACCENT, 0.94), 18 * s)
    for number, line in enumerate(lines):
        at = region.center[0] - _width(line, size) / 2, top + 1.25 * size * number
        canvas.AddText(psim.GetFont(), size, at, packed(WHITE), line)


def _when(state: State) -> str:
    """The frame that a drag would write to, in words."""
    frame = key_frame_for_drag(state)
    return "in the last frame" if frame == state.document.frames - 1 else f"in frame {frame}"


# ---- drawing helpers --------------------------------------------------------------------------------------


def _width(text: str, size: float) -> float:
    """Width in pixels of a text drawn at `size` pixels, which can differ from the font's own size."""
    return float(psim.CalcTextSize(text)[0]) * size / float(psim.GetFontSize())


def _wrapped(text: str, size: float, width: float) -> list[str]:
    """The text in lines of at most `width` pixels, a longer word in a line of its own."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and _width(longer, size) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _chip(canvas: psim.ImDrawList, center: Pixel, beside: float, text: str, color: Color) -> None:
    """A label at the right of `center`, or at its left where the view ends."""
    s = scale()
    wide = _width(text, 15 * s)
    left, room = center[0] + beside, canvas.GetClipRectMax()[0]
    at = (left if left + wide + 16 * s <= room else center[0] - beside - wide - 16 * s, center[1] - 11 * s)
    canvas.AddRectFilled(at, (at[0] + wide + 16 * s, at[1] + 23 * s), packed(theme.CARD, 0.92), 6 * s)
    canvas.AddText(
        psim.GetFont(), 15 * s, (at[0] + 8 * s, at[1] + 3 * s), packed(theme.mix(color, theme.TEXT, 0.25)), text
    )


def _dashed(canvas: psim.ImDrawList, a: NDArray, b: NDArray, color: int, thickness: float) -> None:
    length = float(np.linalg.norm(b - a))
    dash = 7.0 * scale()
    count = max(int(length / dash), 1)
    for index in range(0, count, 2):
        p, q = a + (b - a) * (index / count), a + (b - a) * (min(index + 1, count) / count)
        canvas.AddLine((float(p[0]), float(p[1])), (float(q[0]), float(q[1])), color, thickness)


def _diamond(canvas: psim.ImDrawList, point: Pixel, radius: float, color: Color, chosen: bool) -> None:
    x, y = point
    outer = radius + 1.8 * scale()
    canvas.AddQuadFilled((x, y - outer), (x + outer, y), (x, y + outer), (x - outer, y), packed(WHITE))
    fill = theme.ACCENT if chosen else color
    canvas.AddQuadFilled((x, y - radius), (x + radius, y), (x, y + radius), (x - radius, y), packed(fill))
