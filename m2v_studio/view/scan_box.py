"""Draws the box of the whole shape in the view, with the knobs that move it."""

from __future__ import annotations

import polyscope.imgui as psim
from numpy.typing import NDArray

from m2v_studio.context import EditorContext
from m2v_studio.document.state import is_box_shown
from m2v_studio.view import theme
from m2v_studio.view.camera import Projection, Region
from m2v_studio.view.scan_gizmo import FIRST_CORNER, FIRST_SIDE, BoxInView, box_in_view, is_gizmo_shown
from m2v_studio.view.style import packed
from m2v_studio.view.widgets import WHITE, scale

EDGES = tuple((i, i | bit) for i in range(8) for bit in (1, 2, 4) if not i & bit)
BOTTOM = (0, 1, 5, 4)  # corners of the side that lies below, in order around it
AXIS_COLORS: tuple[theme.Color, ...] = ((0.78, 0.24, 0.22), (0.22, 0.58, 0.24), (0.20, 0.40, 0.80))


def draw_box(context: EditorContext, region: Region) -> None:
    """Draw the edges of normalised space and the knobs that move them."""
    state, projection = context.studio.state, context.viewport.projection
    box = box_in_view(context)
    if box is None or projection is None or not is_box_shown(state) or state.view.layout == "side":
        return
    canvas = psim.GetBackgroundDrawList()
    canvas.PushClipRect((region.x, region.y), (region.x + region.width, region.y + region.height), True)
    pixels, depth = projection.project(box.corners())
    if (depth > 0).all():
        moving = is_gizmo_shown(state)
        _edges(canvas, pixels, depth, theme.ACCENT if moving else theme.TEXT_MUTED, 0.9 if moving else 0.45)
        if moving:
            _knobs(canvas, context, box, projection)
    canvas.PopClipRect()


def _edges(canvas: psim.ImDrawList, pixels: NDArray, depth: NDArray, color: theme.Color, alpha: float) -> None:
    """The tinted bottom shows which way is up; edges that meet in the farthest corner are fainter."""
    corners = [(float(x), float(y)) for x, y in pixels]
    canvas.AddQuadFilled(*(corners[i] for i in BOTTOM), packed(color, 0.07))
    farthest = int(depth.argmax())
    for a, b in EDGES:
        faint = 0.35 if farthest in (a, b) else 1.0
        canvas.AddLine(corners[a], corners[b], packed(color, alpha * faint), 1.4 * scale())


def _knobs(canvas: psim.ImDrawList, context: EditorContext, box: BoxInView, projection: Projection) -> None:
    s = scale()
    pixels, _ = projection.project(box.knobs())
    points = [(float(x), float(y)) for x, y in pixels]
    hovered = context.mouse.hovered_knob
    for axis in range(3):
        canvas.AddLine(points[0], points[1 + axis], packed(AXIS_COLORS[axis]), 2.6 * s)
    for index, point in enumerate(points):
        side = (index - FIRST_SIDE) // 2 if index >= FIRST_SIDE else index - 1 if 0 < index < FIRST_CORNER else None
        color = theme.ACCENT if side is None else AXIS_COLORS[side]
        radius = (6.5 if index == 0 else 5.5 if index < FIRST_CORNER else 4.5) * s + (
            2.0 * s if index == hovered else 0.0
        )
        if index >= FIRST_CORNER:
            corner = radius * 0.95
            low, high = (point[0] - corner, point[1] - corner), (point[0] + corner, point[1] + corner)
            rim = 1.5 * s
            canvas.AddRectFilled((low[0] - rim, low[1] - rim), (high[0] + rim, high[1] + rim), packed(WHITE), 2 * s)
            canvas.AddRectFilled(low, high, packed(color), 1.5 * s)
        else:
            canvas.AddCircleFilled(point, radius + 1.6 * s, packed(WHITE), 28)
            canvas.AddCircleFilled(point, radius, packed(color), 28)
