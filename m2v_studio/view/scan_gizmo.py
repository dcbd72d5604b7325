"""The box that holds the whole shape in frame 0, taken hold of in the view: its middle, its axes and its corners."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polyscope.imgui as psim
from numpy.typing import NDArray

from core.sequence import Normalization
from m2v_studio.context import EditorContext
from m2v_studio.document import commands, scan_commands
from m2v_studio.document.scan_document import unit_corners
from m2v_studio.document.state import State
from m2v_studio.view.camera import Projection, Region
from m2v_studio.view.widgets import scale

HIT_PIXELS = 12.0
ARROW = 0.68  # length of the axes' arrows, in half sides of the box
SMALLEST = 0.02  # of the size at the start of a gesture: a corner that is pulled through the middle stays this far
Pixel = tuple[float, float]


@dataclass(frozen=True, eq=False)
class BoxInView:
    """The box as it is seen: `center` [3] and `half` its half side in the space of the view."""

    center: NDArray[np.float64]
    half: float

    @classmethod
    def of(cls, place: Normalization, view: Normalization) -> BoxInView:
        return cls(view.apply(place.center), place.scale / view.scale / 2)

    def corners(self) -> NDArray[np.float64]:
        """[8, 3], in the order of `unit_corners`."""
        return self.center + 2 * self.half * unit_corners()

    def tips(self) -> NDArray[np.float64]:
        """[3, 3] ends of the arrows along the axes of the view."""
        return self.center + ARROW * self.half * np.eye(3)

    def knobs(self) -> NDArray[np.float64]:
        """[12, 3] all that can be taken hold of: the middle, the three arrows, the eight corners."""
        return np.concatenate([self.center[None], self.tips(), self.corners()])


@dataclass(frozen=True, eq=False)
class _Grip:
    """What was taken hold of, and how everything was at that moment."""

    knob: int
    mouse: Pixel
    place: Normalization
    box: BoxInView
    projection: Projection


class BoxGizmo:
    """One press on a knob is one gesture, and one undo step."""

    def __init__(self) -> None:
        self._grip: _Grip | None = None
        self._count = 0

    @property
    def dragging(self) -> bool:
        return self._grip is not None

    def update(self, context: EditorContext, region: Region) -> bool:
        """Read this frame's mouse; True while the gizmo owns the mouse."""
        box = box_in_view(context)
        if box is None or not is_gizmo_shown(context.studio.state):
            self._let_go(context)
            context.mouse.hovered_knob = None
            return False
        if self._grip is not None:
            if not psim.IsMouseDown(0):
                self._let_go(context)
                return True
            if psim.IsMousePosValid():
                self._drag(context, self._grip, _mouse())
            return True
        projection = context.viewport.projection
        assert projection is not None
        free = psim.IsMousePosValid() and region.contains(_mouse()) and not psim.GetIO().WantCaptureMouse
        context.mouse.hovered_knob = (
            nearest_knob(box, projection, _mouse()) if free and context.mouse.mode is None else None
        )
        if context.mouse.hovered_knob is not None and psim.IsMouseClicked(0):
            place = context.studio.state.document.alignment
            assert place is not None
            self._count += 1
            self._grip = _Grip(context.mouse.hovered_knob, _mouse(), place, box, projection)
            # The box belongs to the first frame.
            context.studio.show(commands.set_time, 0.0)
        return context.mouse.hovered_knob is not None

    def _let_go(self, context: EditorContext) -> None:
        if self._grip is not None:
            self._grip = None
            context.studio.session.end_gesture()

    def _drag(self, context: EditorContext, grip: _Grip, mouse: Pixel) -> None:
        moved = dragged(grip.box, grip.knob, grip.projection, grip.mouse, mouse)
        view = context.viewport.norm
        if moved is None or view is None or mouse == grip.mouse:
            return
        label = "move the box" if grip.knob < 4 else "resize the box"
        context.studio.drag(
            f"box {self._count}",
            label,
            scan_commands.set_alignment,
            view.invert(moved.center) if grip.knob < 4 else None,
            grip.place.scale * moved.half / grip.box.half if grip.knob >= 4 else None,
        )


def box_in_view(context: EditorContext) -> BoxInView | None:
    """The box of the opened scans; None without scans or before the first frame is drawn."""
    place, view = context.studio.state.document.alignment, context.viewport.norm
    if place is None or view is None or context.viewport.projection is None:
        return None
    return BoxInView.of(place, view)


def is_gizmo_shown(state: State) -> bool:
    return state.document.scans is not None and state.view.gizmo and state.view.layout != "side"


def nearest_knob(box: BoxInView, projection: Projection, mouse: Pixel) -> int | None:
    """The knob within reach of the mouse; the middle and the arrows win over corners behind them."""
    pixels, depth = projection.project(box.knobs())
    distance = np.hypot(pixels[:, 0] - mouse[0], pixels[:, 1] - mouse[1])
    distance[4:] += 1.0
    distance[depth <= 0] = np.inf
    knob = int(distance.argmin())
    return knob if distance[knob] < HIT_PIXELS * scale() else None


def dragged(box: BoxInView, knob: int, projection: Projection, start: Pixel, mouse: Pixel) -> BoxInView | None:
    """The box after a knob was dragged from `start` to `mouse` (pixels); None when the way cannot be told."""
    dx, dy = mouse[0] - start[0], mouse[1] - start[1]
    if knob == 0:
        return BoxInView(box.center + projection.in_plane(box.center, dx, dy), box.half)
    middle, _ = projection.project(box.center)
    if knob < 4:
        tip, _ = projection.project(box.tips()[knob - 1])
        along = tip - middle
        length = float(along @ along)
        if length < 16.0:  # the arrow points at the viewer: a pixel would be a mile
            return None
        share = float(np.array([dx, dy]) @ along) / length
        return BoxInView(box.center + share * (box.tips()[knob - 1] - box.center), box.half)
    before = float(np.hypot(start[0] - middle[0], start[1] - middle[1]))
    after = float(np.hypot(mouse[0] - middle[0], mouse[1] - middle[1]))
    if before < 4.0:
        return None
    return BoxInView(box.center, box.half * max(after / before, SMALLEST))


def _mouse() -> Pixel:
    position = psim.GetIO().MousePos
    return float(position[0]), float(position[1])
