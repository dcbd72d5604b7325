"""The ring around the selected handle. Dragging it turns the handle's surroundings and all other selected handles.

The outer ring turns about the line of sight. With the gizmo there are three more, about the axes of the view's space.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import polyscope.imgui as psim
from numpy.typing import NDArray

from core.handle_paths import turned_further
from core.quaternions import turned_by
from core.sequence import SourceMesh
from m2v_studio.context import EditorContext
from m2v_studio.document import block_edits, turning
from m2v_studio.document.selection import chosen_rows
from m2v_studio.view import theme
from m2v_studio.view.camera import Projection, Region
from m2v_studio.view.figure import Figure
from m2v_studio.view.hold import handle_under, take_hold
from m2v_studio.view.overlay import knob_position, ring_radius
from m2v_studio.view.screen import Pixel
from m2v_studio.view.style import packed
from m2v_studio.view.theme import Color
from m2v_studio.view.widgets import WHITE, scale

AXIS_RADIUS = 80.0  # pixels, of the rings about the axes
HIT_PIXELS = 6.0
EDGE_ON = 0.1  # a ring seen flatter than this is dragged along its tangent, not around
STEP = 15.0  # degrees, with Shift
CORNERS = 72
AXIS_COLORS: tuple[Color, ...] = ((0.85, 0.23, 0.20), (0.25, 0.62, 0.22), (0.20, 0.42, 0.88))
TIP = "Drag to turn (Shift: by 15\u00b0)"
Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Ring:
    """A circle in the scene around `center` [3], about `axis` [3], from `first` [3] to `second` [3] (unit vectors)."""

    number: int  # 0: about the line of sight; 1 to 3: about an axis
    center: Vector
    axis: Vector
    first: Vector
    second: Vector
    radius: float

    def points(self, angles: Vector) -> Vector:
        """[..., 3] on the circle, at angles in radians."""
        a = np.asarray(angles)[..., None]
        return self.center + self.radius * (np.cos(a) * self.first + np.sin(a) * self.second)

    def pixels(self, projection: Projection) -> NDArray[np.float64]:
        """The circle as pixels [N, 2]."""
        return projection.project(self.points(np.linspace(0, 2 * np.pi, CORNERS + 1)))[0]

    def angle(self, projection: Projection, mouse: Pixel) -> float | None:
        """The angle of the mouse around the ring in radians; None when the ring is seen from its edge."""
        middle, _ = projection.project(self.center)
        sides = np.stack([projection.project(self.points(np.array(a)))[0] - middle for a in (0.0, np.pi / 2)], axis=1)
        longest = float(np.linalg.norm(sides, axis=0).max())
        if longest < 1e-6 or abs(np.linalg.det(sides)) < EDGE_ON * longest**2:
            return None
        x, y = np.linalg.solve(sides, np.asarray(mouse) - middle)
        return math.atan2(y, x)


@dataclass(eq=False)
class _RingGrip:
    row: int
    ring: Ring
    figure: Figure
    projection: Projection
    mouse: Pixel
    axis: Vector  # [3] of the ring, in the source's axes
    tangent: Vector  # [2] pixels per radian
    places: dict[int, Vector] = field(default_factory=dict)  # [3] positions of the turned handles, by row, source units
    turns: dict[int, Vector] = field(default_factory=dict)  # [3] their turns at the start
    frame: int | None = None  # None until the mouse has moved
    last: float | None = None  # radians
    total: float = 0.0


class TurnRing:
    """One press on a ring is one gesture, and one undo step."""

    def __init__(self) -> None:
        self._grip: _RingGrip | None = None
        self._hovered: int | None = None
        self._count = 0

    def update(self, context: EditorContext, region: Region) -> bool:
        """Read this frame's mouse; True while a ring owns it."""
        if self._grip is not None:
            return self._go_on(context, self._grip)
        self._hovered = None
        rings = rings_of(context)
        io = psim.GetIO()
        if not rings or context.mouse.mode is not None or io.WantCaptureMouse or not psim.IsMousePosValid():
            return False
        at = (float(io.MousePos[0]), float(io.MousePos[1]))
        projection = context.viewport.projection
        if not region.contains(at) or projection is None or handle_under(context, at) is not None:
            return False
        ring = nearest_ring(rings, projection, at)
        if ring is None:
            return False
        self._hovered = ring.number
        if psim.IsMouseClicked(0):
            self._grip = self._take(context, ring, projection, at)
        return psim.IsMouseClicked(0)

    def _take(self, context: EditorContext, ring: Ring, projection: Projection, at: Pixel) -> _RingGrip | None:
        state, viewport, figure = context.studio.state, context.viewport, context.viewport.figures[0]
        row, source, norm = state.view.selected, state.document.source, viewport.norm
        if row is None or source is None or norm is None:
            return None
        context.mouse.mode = "turn"
        pixels = ring.pixels(projection)[:-1]
        near = int(np.hypot(*(pixels - at).T).argmin())
        ahead = pixels[(near + 1) % len(pixels)] - pixels[near - 1]
        return _RingGrip(
            row, ring, figure, projection, at,
            axis=norm.rotation.T @ ring.axis,
            tangent=ahead * len(pixels) / (4 * np.pi),
            last=ring.angle(projection, at),
        )  # fmt: skip

    def _go_on(self, context: EditorContext, grip: _RingGrip) -> bool:
        studio, io = context.studio, psim.GetIO()
        if not psim.IsMouseDown(0) or context.is_modal:
            self._grip, context.mouse.mode, context.mouse.dragging = None, None, False
            if grip.frame is not None:
                studio.let_go()
            return True
        at = (float(io.MousePos[0]), float(io.MousePos[1])) if psim.IsMousePosValid() else grip.mouse
        if at == grip.mouse and grip.frame is None:
            return True
        source = studio.state.document.source
        if source is None or grip.row >= len(studio.state.document.handles):
            self._grip, context.mouse.mode, context.mouse.dragging = None, None, False
            return True
        if grip.frame is None:
            self._count += 1
            grip.frame = take_hold(context, grip.figure)
            self._remember(context, source, grip, grip.frame)
            context.mouse.dragging = True
        self._measure(grip, at)
        degrees = math.degrees(grip.total)
        if io.KeyShift:
            degrees = STEP * round(degrees / STEP)
        by = grip.axis * degrees
        around, matrix = grip.places[grip.row], turned_by(np.radians(by))
        places = {row: around + matrix @ (place - around) for row, place in grip.places.items()}
        turns = {row: turned_further(turn, by) for row, turn in grip.turns.items()}
        label = "turn handles" if len(turns) > 1 else "turn handle"
        studio.drag(f"turn {self._count}", label, block_edits.turn_handles, places, turns, grip.frame)
        studio.pose(grip.figure.name, grip.frame)
        return True

    @staticmethod
    def _remember(context: EditorContext, source: SourceMesh, grip: _RingGrip, frame: int) -> None:
        """Store positions and turns of the selected handles, which all turn around the one with the ring."""
        handles, state = context.studio.state.document.handles, context.studio.state
        shape = grip.figure.track[min(frame, len(grip.figure.track) - 1)]
        for row in {grip.row, *chosen_rows(state)}:
            handle = handles[row]
            if not handle.pinned:
                at = handle.keys.get(frame, shape[handle.vertex])
                grip.places[row] = np.asarray(at, dtype=np.float64)
                grip.turns[row] = turning.turn_shown(source, handle, frame, shape)

    @staticmethod
    def _measure(grip: _RingGrip, at: Pixel) -> None:
        """Add the angle that the mouse has moved since the last frame."""
        angle = grip.ring.angle(grip.projection, at)
        if angle is None or grip.last is None:
            step = np.asarray(at) - grip.mouse
            grip.total += float(step @ grip.tangent) / max(float(grip.tangent @ grip.tangent), 1e-9)
        else:
            grip.total += (angle - grip.last + math.pi) % (2 * math.pi) - math.pi
        grip.last, grip.mouse = angle, at

    # ---- drawing ------------------------------------------------------------------------------------------

    def draw(self, context: EditorContext, region: Region) -> None:
        """Draw the rings, and the angle while one is turned."""
        projection, grip = context.viewport.projection, self._grip
        busy = context.mouse.mode is not None and grip is None
        if projection is None or busy or context.is_modal:
            return
        canvas = psim.GetBackgroundDrawList()
        canvas.PushClipRect((region.x, region.y), (region.x + region.width, region.y + region.height), True)
        if grip is not None:
            self._draw_turn(canvas, grip)
        for ring in [grip.ring] if grip is not None else rings_of(context):
            lively = grip is not None or ring.number == self._hovered
            color = theme.ACCENT if ring.number == 0 else AXIS_COLORS[ring.number - 1]
            _draw_ring(canvas, ring, projection, color, lively)
        canvas.PopClipRect()
        if self._hovered is not None and grip is None:
            psim.SetTooltip(TIP)

    @staticmethod
    def _draw_turn(canvas: psim.ImDrawList, grip: _RingGrip) -> None:
        s, projection, ring = scale(), grip.projection, grip.ring
        color = theme.ACCENT if ring.number == 0 else AXIS_COLORS[ring.number - 1]
        middle = projection.project(ring.center)[0]
        end = grip.last
        if end is not None:
            steps = max(int(abs(grip.total) / 0.1), 1)
            arc = projection.project(ring.points(np.linspace(end - grip.total, end, steps + 1)))[0]
            for a, b in zip(arc[:-1].tolist(), arc[1:].tolist(), strict=True):
                canvas.AddTriangleFilled(tuple(middle.tolist()), tuple(a), tuple(b), packed(color, 0.22))
        text = f"{abs(math.degrees(grip.total)):.0f}\u00b0"
        wide = float(psim.CalcTextSize(text)[0])
        high = middle[1] - ring.pixels(projection)[:, 1].min() + 32 * s
        at = float(middle[0]) - wide / 2 - 7 * s, float(middle[1] - high)
        canvas.AddRectFilled(at, (at[0] + wide + 14 * s, at[1] + 24 * s), packed(theme.CARD, 0.94), 6 * s)
        canvas.AddText((at[0] + 7 * s, at[1] + 3 * s), packed(theme.TEXT), text)


def rings_of(context: EditorContext) -> list[Ring]:
    """The rings around the selected handle; none when it is pinned or they are switched off."""
    state, viewport = context.studio.state, context.viewport
    row, projection = state.view.selected, viewport.projection
    handles = state.document.handles
    if row is None or row >= len(handles) or projection is None or not viewport.figures:
        return []
    if not state.view.ring or handles[row].pinned or state.view.layout == "side":
        return []
    center = np.asarray(knob_position(context, viewport.figures[0], handles[row]), dtype=np.float64)
    _, depth = projection.project(center)
    if depth <= 0:
        return []
    pixel = projection.unit_at(float(depth)) * scale()
    right, up, back = projection.view[:3, :3]
    found = [Ring(0, center, back, right, up, ring_radius(state) * pixel)]
    if state.view.gizmo:
        axes = np.eye(3)
        found += [
            Ring(1 + n, center, axes[n], axes[(n + 1) % 3], axes[(n + 2) % 3], AXIS_RADIUS * pixel) for n in range(3)
        ]
    return found


def nearest_ring(rings: list[Ring], projection: Projection, at: Pixel) -> Ring | None:
    """The nearest ring within reach of the mouse; rings about the axes are only grabbed at their front half."""
    best, found = HIT_PIXELS * scale(), None
    for ring in rings:
        pixels = ring.pixels(projection)
        a, b = pixels[:-1], pixels[1:]
        along = b - a
        share = ((np.asarray(at) - a) * along).sum(-1) / np.maximum((along**2).sum(-1), 1e-9)
        apart = np.linalg.norm(a + share.clip(0, 1)[:, None] * along - at, axis=-1)
        apart[~_in_front(ring, projection)] = np.inf
        if apart.min() < best:
            best, found = float(apart.min()), ring
    return found


def _in_front(ring: Ring, projection: Projection) -> NDArray[np.bool_]:
    """[CORNERS] True for pieces on the viewer's side of the ring's middle."""
    middle = ring.points(np.linspace(0, 2 * np.pi, CORNERS + 1)[:-1] + np.pi / CORNERS)
    result: NDArray[np.bool_] = (middle - ring.center) @ projection.view[2, :3] > -0.02 * ring.radius
    return result | (ring.number == 0)


def _draw_ring(canvas: psim.ImDrawList, ring: Ring, projection: Projection, color: Color, lively: bool) -> None:
    s = scale()
    pixels = ring.pixels(projection)
    front = _in_front(ring, projection)
    width, alpha = (3.0 * s, 1.0) if lively else (1.7 * s, 0.75)
    if ring.number == 0:
        line = np.asfortranarray(pixels, dtype=np.float32)
        canvas.AddPolyline(line, packed(WHITE, 0.6), 0, width + 2.2 * s)
        canvas.AddPolyline(line, packed(color, alpha), 0, width)
        x, y = pixels[CORNERS // 8].tolist()
        canvas.AddCircleFilled((x, y), 5.5 * s, packed(WHITE), 20)
        canvas.AddCircleFilled((x, y), 4.2 * s, packed(color), 20)
        return
    for number in range(CORNERS):
        a, b = pixels[number].tolist(), pixels[number + 1].tolist()
        shown = alpha if front[number] else 0.18
        canvas.AddLine(tuple(a), tuple(b), packed(color, shown), width if front[number] else 1.2 * s)
