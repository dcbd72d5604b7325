"""The mouse in the view: pick a vertex, drag a handle in the camera plane or by the gizmo, turn the camera."""

from __future__ import annotations

import numpy as np
import polyscope as ps
import polyscope.imgui as psim
from numpy.typing import NDArray

from core.errors import M2VError
from m2v_studio.context import EditorContext
from m2v_studio.document import block_edits, commands, selection
from m2v_studio.document.snapping import others, snapped
from m2v_studio.view.camera import Region
from m2v_studio.view.figure import Figure
from m2v_studio.view.hold import handle_under, take_hold
from m2v_studio.view.overlay import knob_key, knob_position
from m2v_studio.view.screen import Pixel
from m2v_studio.view.widgets import scale

GIZMO_PIXELS = 62.0  # length of the gizmo's arrows
GIZMO_UNIT = 0.125  # their length in the scene at gizmo scale 1, measured
SNAP_PIXELS = 16.0  # a dragged handle snaps to a vertex within this distance
MOVE_PIXELS = 4.0  # below this a press is a click


class Pointer:
    """What the mouse is doing. One press is one gesture, and one gesture is one undo step."""

    def __init__(self) -> None:
        self._start: tuple[float, float] = (0.0, 0.0)
        self._last: tuple[float, float] = (0.0, 0.0)
        self._row = 0
        self._figure: Figure | None = None
        self._from: NDArray[np.float64] = np.zeros(3)
        self._others: dict[int, NDArray[np.float64]] = {}  # start of the other selected handles, by row
        self._held: dict[int, int] = {}  # vertices of the handles of this gesture, by row
        self._adding = False  # the box adds to the selection
        self._frame = 0
        self._count = 0
        self._gizmo: ps.TransformationGizmo | None = None
        self._gizmo_at: NDArray[np.float64] | None = None
        self._gizmo_moving = False
        self._gizmo_scale = 0.0

    def clear(self) -> None:
        """Let go of the gizmo."""
        if self._gizmo is not None:
            self._gizmo.remove()
            self._gizmo, self._gizmo_scale = None, 0.0

    def update(self, context: EditorContext, region: Region) -> None:
        """Read this frame's mouse; call before the panels are drawn."""
        io = psim.GetIO()
        # Outside the window there is no position, and a drag waits at the last one.
        at = (float(io.MousePos[0]), float(io.MousePos[1])) if psim.IsMousePosValid() else self._last
        self._update_gizmo(context)
        free = region.contains(at) and not io.WantCaptureMouse and context.viewport.projection is not None
        hit = handle_under(context, at) if free or context.mouse.mode == "handle" else None
        context.mouse.hovered_handle = self._row if context.mouse.mode == "handle" else None if hit is None else hit[0]
        if context.mouse.mode is None and free:
            self._begin(context, at, hit)
        elif context.mouse.mode is not None:
            self._go_on(context, at)
        if free and io.MouseWheel != 0.0:
            context.viewport.camera = context.viewport.camera.zoomed(float(io.MouseWheel))
        self._last = at

    # ---- gestures -----------------------------------------------------------------------------------------

    def _begin(self, context: EditorContext, at: tuple[float, float], hit: tuple[int, Figure] | None) -> None:
        self._start = self._last = at
        io, studio = psim.GetIO(), context.studio
        if psim.IsMouseClicked(0):
            if context.mouse.box_next or (hit is None and io.KeyCtrl):
                context.mouse.mode, context.mouse.box_next, self._adding = "box", False, bool(io.KeyShift)
                return
            if hit is None:
                context.mouse.mode = "press"
                return
            row, figure = hit
            if io.KeyShift or io.KeyCtrl:
                studio.show(selection.toggle_handle, row)
                return
            if row not in selection.chosen_rows(studio.state):
                studio.show(commands.select_handle, row)
            self._take(context, row, figure)
            studio.show(commands.hold_still)
        elif psim.IsMouseClicked(1) or psim.IsMouseClicked(2):
            context.mouse.mode = "pan"
            self._row = -1 if hit is None else hit[0]

    def _take(self, context: EditorContext, row: int, figure: Figure) -> None:
        """Grab a handle, and with it all selected ones."""
        context.mouse.mode, self._row, self._figure = "handle", row, figure
        self._remember(context, row, figure)

    def _remember(self, context: EditorContext, row: int, figure: Figure) -> None:
        """Store the positions of a handle and of the other selected ones, which move along."""
        handles = context.studio.state.document.handles
        self._from = np.asarray(knob_position(context, figure, handles[row]))
        self._others = {
            other: np.asarray(knob_position(context, figure, handles[other]))
            for other in selection.chosen_rows(context.studio.state)
            if other != row and not handles[other].pinned
        }
        self._held = {held: handles[held].vertex for held in (row, *self._others)}

    def _lost(self, context: EditorContext) -> bool:
        """Whether a handle of this gesture is gone: undone or deleted by a key, or in another document."""
        handles = context.studio.state.document.handles
        return any(row >= len(handles) or handles[row].vertex != vertex for row, vertex in self._held.items())

    def _abandon(self, context: EditorContext) -> None:
        self._figure, context.mouse.mode, context.mouse.dragging = None, None, False
        context.studio.let_go()

    def _go_on(self, context: EditorContext, at: tuple[float, float]) -> None:
        moved = max(abs(at[0] - self._start[0]), abs(at[1] - self._start[1])) > MOVE_PIXELS * scale()
        dx, dy = at[0] - self._last[0], at[1] - self._last[1]
        viewport = context.viewport
        if context.mouse.mode == "press" and moved:
            context.mouse.mode = "orbit"
        if context.mouse.mode == "orbit" and (dx or dy):
            viewport.camera = viewport.camera.orbit(dx, dy)
        if context.mouse.mode == "pan" and (dx or dy) and viewport.projection is not None:
            viewport.camera = viewport.camera.panned(-viewport.projection.in_plane(np.zeros(3), dx, dy))
        if context.mouse.mode == "handle" and self._lost(context):
            self._abandon(context)
            return
        if context.mouse.mode == "handle" and (moved or context.mouse.dragging):
            self._drag_handle(context, at)
        if context.mouse.mode == "box":
            context.mouse.box = (self._start, at) if moved else None
        held = psim.IsMouseDown(1) or psim.IsMouseDown(2) if context.mouse.mode == "pan" else psim.IsMouseDown(0)
        if not held:
            self._end(context, at)

    def _end(self, context: EditorContext, at: tuple[float, float]) -> None:
        mode, dragged = context.mouse.mode, context.mouse.dragging
        box, self._figure = context.mouse.box, None
        context.mouse.mode, context.mouse.dragging, context.mouse.box = None, False, None
        still = max(abs(at[0] - self._start[0]), abs(at[1] - self._start[1])) <= MOVE_PIXELS * scale()
        if mode == "press":
            self._click(context, at)
        elif mode == "box" and box is not None:
            context.studio.show(selection.choose_handles, self._inside(context, box), self._adding)
        elif mode == "pan" and still and psim.IsMouseReleased(1):
            self._ask_menu(context)
        elif mode == "handle":
            if dragged:
                context.studio.let_go()
            else:
                context.studio.show(commands.select_handle, self._row)

    def _ask_menu(self, context: EditorContext) -> None:
        """Open the menu of a right click, for the handle under the mouse or for the selected ones."""
        if self._row >= 0 and self._row not in selection.chosen_rows(context.studio.state):
            context.studio.show(commands.select_handle, self._row)
        context.menu_asked = "view"

    def _inside(self, context: EditorContext, box: tuple[Pixel, Pixel]) -> set[int]:
        """Rows of the handles with a knob inside a box with these two corners."""
        state, viewport = context.studio.state, context.viewport
        (ax, ay), (bx, by) = box
        left, right, top, bottom = min(ax, bx), max(ax, bx), min(ay, by), max(ay, by)
        found = set()
        for figure in viewport.figures:
            for row, place in enumerate(viewport.on_screen(figure, state.document.handles)):
                pixel = place.knob(figure.frame, knob_key(state, state.document.handles[row]))
                if pixel is not None and left <= pixel[0] <= right and top <= pixel[1] <= bottom:
                    found.add(row)
        return found

    def _click(self, context: EditorContext, at: tuple[float, float]) -> None:
        """Add a handle at the vertex under the mouse (with Shift, a pinned one), or clear the selection."""
        vertex = pick_vertex(at)
        studio = context.studio
        if vertex is None:
            studio.show(commands.select_handle, None)
            return
        pinned = bool(psim.GetIO().KeyShift)
        studio.show(commands.hold_still)
        studio.do("pin a vertex" if pinned else "add handle", commands.add_handle, vertex, pinned)
        if pinned:
            studio.request_draft()

    def _drag_handle(self, context: EditorContext, at: tuple[float, float]) -> None:
        projection, figure = context.viewport.projection, self._figure
        if projection is None or figure is None:
            return
        offset = projection.in_plane(self._from, at[0] - self._start[0], at[1] - self._start[1])
        self._write(context, figure, self._from + offset, first=not context.mouse.dragging)
        context.mouse.dragging = True

    def _write(self, context: EditorContext, figure: Figure, position: NDArray[np.float64], first: bool) -> None:
        """Write the key of this gesture; its frame is fixed when the gesture starts."""
        studio = context.studio
        row = self._row if context.mouse.mode == "handle" else studio.state.view.selected
        if row is None:
            return
        if first:
            self._count += 1
            self._frame = take_hold(context, figure)
        target = self._snapped(context, figure, row, context.viewport.to_source(figure, position))
        position = context.viewport.to_view(figure, target)
        if not self._others:
            studio.drag(f"move {self._count}", "move handle", commands.set_key, row, self._frame, target)
        else:
            offset = position - self._from
            places = {other: context.viewport.to_source(figure, at + offset) for other, at in self._others.items()}
            places[row] = target
            studio.drag(f"move {self._count}", "move handles", block_edits.move_handles, places, self._frame)
        studio.pose(figure.name, self._frame)

    def _snapped(
        self, context: EditorContext, figure: Figure, row: int, target: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """The target moved to what the handle snaps to. Of vertices, that is the visible one under the mouse."""
        state = context.studio.state
        source, snap = state.document.source, state.view.snap
        if source is None or snap == "none":
            return target
        vertex = state.document.handles[row].vertex
        if snap == "vertex":
            seen = self._vertex_near(context, figure, vertex, context.viewport.to_view(figure, target))
            return target if seen is None else seen
        try:
            return snapped(source, vertex, target, snap, figure.positions)
        except M2VError as error:
            context.studio.show(commands.with_view, snap="none")
            context.studio.show(commands.say, str(error))
            return target

    def _vertex_near(
        self, context: EditorContext, figure: Figure, own: int, place: NDArray[np.float64]
    ) -> NDArray[np.float64] | None:
        """Of the vertices drawn within reach of a place in the scene, the one nearest to the viewer, or None."""
        projection, source = context.viewport.projection, context.studio.state.document.source
        if projection is None or source is None:
            return None
        pixels, depth = projection.project(context.viewport.to_view(figure, figure.positions))
        at, _ = projection.project(place)
        near = np.hypot(*(pixels - at).T) < SNAP_PIXELS * scale()
        found = np.flatnonzero(near & others(source, own) & (depth > 0))
        return None if not len(found) else figure.positions[found[np.argmin(depth[found])]].astype(np.float64)

    # ---- the gizmo ----------------------------------------------------------------------------------------

    def _update_gizmo(self, context: EditorContext) -> None:
        """Polyscope's gizmo at the selected handle. It does not report when it is used, so positions are compared."""
        state = context.studio.state
        row = state.view.selected
        wanted = state.view.gizmo and row is not None and bool(context.viewport.figures) and state.view.layout != "side"
        if not wanted or row is None:
            if self._gizmo is not None and self._gizmo.get_enabled():
                self._gizmo.set_enabled(False)
            self._gizmo_at = None
            return
        if self._gizmo is None:
            self._gizmo = ps.add_transformation_gizmo("m2v handle")
            self._gizmo.set_allow_rotation(False)
            self._gizmo.set_allow_scaling(False)
        if not self._gizmo.get_enabled():
            self._gizmo.set_enabled(True)
        figure = context.viewport.figures[0]
        now = np.asarray(self._gizmo.get_position(), dtype=np.float64)
        moved = self._gizmo_at is not None and not np.allclose(now, self._gizmo_at, atol=1e-6)
        if moved and psim.IsMouseDown(0):
            if not self._gizmo_moving:
                self._remember(context, row, figure)
            elif self._lost(context):
                return
            self._write(context, figure, now, first=not self._gizmo_moving)
            self._gizmo_moving = True
            self._gizmo_at = now
        elif self._gizmo_moving and not psim.IsMouseDown(0):
            self._gizmo_moving = False
            context.studio.let_go()
        elif not self._gizmo_moving:
            place = np.asarray(knob_position(context, figure, state.document.handles[row]))
            self._size_gizmo(context, place)
            self._gizmo.set_position(place)
            self._gizmo_at = np.asarray(self._gizmo.get_position(), dtype=np.float64)

    def _size_gizmo(self, context: EditorContext, place: NDArray[np.float64]) -> None:
        """Keep the arrows equally long on the screen at every zoom, clear of the knob between them."""
        projection = context.viewport.projection
        assert self._gizmo is not None and projection is not None
        _, depth = projection.project(place)
        wanted = GIZMO_PIXELS * scale() * projection.unit_at(max(float(depth), 1e-3)) / GIZMO_UNIT
        if abs(wanted - self._gizmo_scale) > 0.02 * wanted:
            self._gizmo.set_gizmo_scale(wanted)
            self._gizmo_scale = wanted


def pick_vertex(at: tuple[float, float]) -> int | None:
    """The vertex of a shown figure under the mouse."""
    result = ps.pick(screen_coords=at)
    if not result.is_hit or not result.structure_name.startswith("m2v ") or result.structure_name == "m2v floor":
        return None
    if result.structure_data.get("element_type") != "vertex":
        return None
    return int(result.structure_data["index"])
