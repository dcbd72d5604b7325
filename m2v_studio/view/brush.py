"""A brush that paints regions: visible vertices under it join a region, which moves and turns as one handle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polyscope.imgui as psim
from numpy.typing import NDArray

from m2v_studio.context import EditorContext
from m2v_studio.document import commands, regions
from m2v_studio.view import theme
from m2v_studio.view.camera import Region
from m2v_studio.view.lasso import seen_in_image
from m2v_studio.view.screen import Pixel
from m2v_studio.view.style import packed
from m2v_studio.view.widgets import WHITE, scale

STEP = 1.15  # the brush grows by this factor with a step of the wheel
SIZES = (5.0, 150.0)  # pixels at scale 1


@dataclass(eq=False)
class _Stroke:
    pixels: NDArray[np.float64]  # [V, 2] of the figure that is painted on
    seen: NDArray[np.bool_]  # [V]
    painted: NDArray[np.bool_]  # [V]
    take_away: bool
    at: Pixel


class Brush:
    """Active until Esc. One press is one stroke and one undo step; off the shape the mouse works as usual."""

    def __init__(self) -> None:
        self._stroke: _Stroke | None = None
        self._count = 0

    def update(self, context: EditorContext, region: Region) -> bool:
        """Read this frame's mouse; True while the brush owns it."""
        mouse, io = context.mouse, psim.GetIO()
        if self._stroke is not None:
            return self._go_on(context, self._stroke)
        free = region.contains(_at()) and not io.WantCaptureMouse and psim.IsMousePosValid()
        if not mouse.brush or mouse.mode is not None or not free:
            return False
        if io.MouseWheel != 0.0:
            resize(context, float(io.MouseWheel))
            return True
        if psim.IsMouseClicked(0):
            self._stroke = self._begin(context)
        return self._stroke is not None

    def _begin(self, context: EditorContext) -> _Stroke | None:
        """Start a stroke on the figure under the brush; None if there is no figure."""
        for figure in context.viewport.figures:
            pixels, seen = seen_in_image(context, figure)
            stroke = _Stroke(pixels, seen, np.zeros(len(seen), dtype=bool), bool(psim.GetIO().KeyCtrl), _at())
            if context.studio.state.document.source is not None and self._under(context, stroke).any():
                self._count += 1
                context.mouse.mode = "brush"
                context.studio.show(commands.hold_still)
                self._paint(context, stroke)
                return stroke
        return None

    def _go_on(self, context: EditorContext, stroke: _Stroke) -> bool:
        studio = context.studio
        if context.is_modal or not psim.IsMouseDown(0):
            self._stroke, context.mouse.mode = None, None
            if not context.is_modal and stroke.painted.any():
                if np.count_nonzero(stroke.painted) < regions.FEWEST and self._row(context) is None:
                    studio.show(commands.say, regions.SMALL)
                studio.session.end_gesture()
                studio.request_draft()
        elif psim.IsMousePosValid() and _at() != stroke.at:
            self._paint(context, stroke)
        return True

    def _paint(self, context: EditorContext, stroke: _Stroke) -> None:
        """Paint from the last mouse position to the current one; the region is rebuilt from the whole stroke."""
        studio, row = context.studio, self._row(context)
        stroke.painted |= self._under(context, stroke)
        stroke.at = _at()
        vertices = np.flatnonzero(stroke.painted)
        began = studio.session.began(f"paint {self._count}")
        grown = row is not None and row < len(began.handles) and len(began.handles[row].region) > 0
        if grown or stroke.take_away:
            if grown and len(vertices):
                label = "shrink region" if stroke.take_away else "grow region"
                studio.drag(f"paint {self._count}", label, regions.repaint, began, row, vertices, stroke.take_away)
        elif len(vertices) >= regions.FEWEST:
            studio.drag(f"paint {self._count}", "paint region", regions.repaint, began, None, vertices)

    def _row(self, context: EditorContext) -> int | None:
        """The selected handle's row if it has a region."""
        state = context.studio.state
        row = state.view.selected
        return row if row is not None and len(state.document.handles[row].region) else None

    @staticmethod
    def _under(context: EditorContext, stroke: _Stroke) -> NDArray[np.bool_]:
        """[V] visible vertices within reach of the mouse's path since the last frame."""
        a, b = np.array(stroke.at), np.array(_at())
        along = b - a
        share = ((stroke.pixels - a) @ along / max(float(along @ along), 1e-9)).clip(0.0, 1.0)
        away = np.linalg.norm(stroke.pixels - a - share[:, None] * along, axis=1)
        return stroke.seen & (away <= context.mouse.brush_size * scale())

    def draw(self, context: EditorContext, region: Region) -> None:
        """Draw the brush as a circle."""
        io, mouse = psim.GetIO(), context.mouse
        busy = mouse.mode not in (None, "brush") or (io.WantCaptureMouse and self._stroke is None)
        if not mouse.brush or busy or context.is_modal or not region.contains(_at()):
            return
        canvas, radius = psim.GetBackgroundDrawList(), mouse.brush_size * scale()
        color = theme.DANGER if io.KeyCtrl else theme.ACCENT
        canvas.AddCircleFilled(_at(), radius, packed(color, 0.10), 48)
        canvas.AddCircle(_at(), radius, packed(WHITE, 0.7), 48, 3.4 * scale())
        canvas.AddCircle(_at(), radius, packed(color), 48, 1.7 * scale())


def resize(context: EditorContext, steps: float) -> None:
    """Enlarge the brush, or with negative steps shrink it."""
    context.mouse.brush_size = min(max(context.mouse.brush_size * STEP**steps, SIZES[0]), SIZES[1])


def _at() -> Pixel:
    position = psim.GetIO().MousePos
    return float(position[0]), float(position[1])
