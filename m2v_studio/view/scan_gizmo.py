"""Moves and resizes the box of the whole shape in the view, by knobs at its middle, axes, corners and sides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polyscope.imgui as psim
from numpy.typing import NDArray

from core.sequence import Normalization
from m2v_studio.context import EditorContext
from m2v_studio.document import commands, scan_commands
from m2v_studio.document.scan_document import Shares, unit_corners
from m2v_studio.document.state import State
from m2v_studio.view.camera import Projection, Region
from m2v_studio.view.screen import Pixel
from m2v_studio.view.widgets import scale

HIT_PIXELS = 12.0
ARROW = 0.68  # length of the axes' arrows, in half sides of the box
SMALLEST = 0.02  # of the size at the start of a gesture: a corner that is pulled through the middle stays this far
FIRST_CORNER, FIRST_SIDE = 4, 12  # of the knobs


@dataclass(frozen=True, eq=False)
class BoxInView:
    """The box in the space of the view: its `center` [3] and half sides, `half` [3]."""

    center: NDArray[np.float64]
    half: NDArray[np.float64]

    @classmethod
    def of(cls, place: Normalization, shares: Shares, view: Normalization) -> BoxInView:
        sides = np.abs(view.rotation) @ np.array(shares)
        return cls(view.apply(place.center), sides * place.scale / view.scale / 2)

    def corners(self) -> NDArray[np.float64]:
        """[8, 3], in the order of `unit_corners`."""
        return self.center + 2 * self.half * unit_corners()

    def tips(self) -> NDArray[np.float64]:
        """[3, 3] ends of the arrows along the axes of the view."""
        return self.center + ARROW * np.diag(self.half)

    def faces(self) -> NDArray[np.float64]:
        """[6, 3] the middles of the sides: along each axis of the view the lower one, then the upper."""
        reach = np.diag(self.half)
        return self.center + np.stack([-reach, reach], axis=1).reshape(6, 3)

    def knobs(self) -> NDArray[np.float64]:
        """[18, 3] the knobs: the middle, the tips of the three arrows, the corners and the sides."""
        return np.concatenate([self.center[None], self.tips(), self.corners(), self.faces()])


@dataclass(frozen=True, eq=False)
class _BoxGrip:
    """The grabbed knob, and the state of everything at that moment."""

    knob: int
    mouse: Pixel
    place: Normalization
    box: BoxInView
    projection: Projection


class BoxGizmo:
    """One press on a knob is one gesture, and one undo step."""

    def __init__(self) -> None:
        self._grip: _BoxGrip | None = None
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
            self._grip = _BoxGrip(context.mouse.hovered_knob, _mouse(), place, box, projection)
            # The box belongs to the first frame.
            context.studio.show(commands.set_time, 0.0)
        return context.mouse.hovered_knob is not None

    def _let_go(self, context: EditorContext) -> None:
        if self._grip is not None:
            self._grip = None
            context.studio.session.end_gesture()

    def _drag(self, context: EditorContext, grip: _BoxGrip, mouse: Pixel) -> None:
        moved = dragged(grip.box, grip.knob, grip.projection, grip.mouse, mouse)
        view = context.viewport.norm
        if moved is None or view is None or mouse == grip.mouse:
            return
        moving, side = grip.knob < FIRST_CORNER, grip.knob >= FIRST_SIDE
        context.studio.drag(
            f"box {self._count}",
            "move the box" if moving else "resize the box",
            scan_commands.set_alignment,
            center=view.invert(moved.center) if moving or side else None,
            sides=None if moving else 2 * view.scale * (np.abs(view.rotation.T) @ moved.half),
        )


def box_in_view(context: EditorContext) -> BoxInView | None:
    """The box of the opened scans; None without scans or before the first frame is drawn."""
    document, view = context.studio.state.document, context.viewport.norm
    if document.alignment is None or view is None or context.viewport.projection is None:
        return None
    return BoxInView.of(document.alignment, document.box_shares, view)


def is_gizmo_shown(state: State) -> bool:
    return state.document.scans is not None and state.view.gizmo and state.view.layout != "side"


def nearest_knob(box: BoxInView, projection: Projection, mouse: Pixel) -> int | None:
    """The knob within reach of the mouse; the middle and the arrows win over corners behind them."""
    pixels, depth = projection.project(box.knobs())
    distance = np.hypot(pixels[:, 0] - mouse[0], pixels[:, 1] - mouse[1])
    distance[FIRST_CORNER:] += 1.0
    distance[depth <= 0] = np.inf
    knob = int(distance.argmin())
    return knob if distance[knob] < HIT_PIXELS * scale() else None


def dragged(box: BoxInView, knob: int, projection: Projection, start: Pixel, mouse: Pixel) -> BoxInView | None:
    """The box after a knob was dragged from `start` to `mouse` (pixels); None if the drag has no clear direction."""
    dx, dy = mouse[0] - start[0], mouse[1] - start[1]
    if knob == 0:
        return BoxInView(box.center + projection.in_plane(box.center, dx, dy), box.half)
    middle, _ = projection.project(box.center)
    if knob < FIRST_CORNER:
        tip, _ = projection.project(box.tips()[knob - 1])
        along = tip - middle
        length = float(along @ along)
        if length < 16.0:  # the arrow points at the viewer: one pixel would move the box too far
            return None
        share = float(np.array([dx, dy]) @ along) / length
        return BoxInView(box.center + share * (box.tips()[knob - 1] - box.center), box.half)
    if knob >= FIRST_SIDE:
        return _side_moved(box, knob - FIRST_SIDE, projection, np.array([dx, dy]))
    before = float(np.hypot(start[0] - middle[0], start[1] - middle[1]))
    after = float(np.hypot(mouse[0] - middle[0], mouse[1] - middle[1]))
    if before < 4.0:
        return None
    return BoxInView(box.center, box.half * max(after / before, SMALLEST))


def _side_moved(box: BoxInView, face: int, projection: Projection, by: NDArray[np.float64]) -> BoxInView | None:
    """One side of the box moved `by` pixels along its axis; the one across from it stays."""
    axis, sign = face // 2, 1.0 if face % 2 else -1.0
    outward = np.zeros(3)
    outward[axis] = sign * box.half[axis]
    place = box.center + outward
    start, _ = projection.project(place)
    along = projection.project(place + outward)[0] - start
    if float(along @ along) < 16.0:
        return None
    share = 0.0  # of the half side; corrected for perspective until the knob is under the mouse
    for _ in range(6):
        left = start + by - projection.project(place + share * outward)[0]
        share = float(np.clip(share + left @ along / (along @ along), 2 * (SMALLEST - 1), 20.0))
    grown = share * box.half[axis] / 2
    half, center = box.half.copy(), box.center.copy()
    half[axis] += grown
    center[axis] += sign * grown
    return BoxInView(center, half)


def _mouse() -> Pixel:
    position = psim.GetIO().MousePos
    return float(position[0]), float(position[1])
