"""Scans: how they are aligned, the box in the view, and their rows in the timeline."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import polyscope.imgui as psim
from numpy.typing import NDArray

from core.pipelines.request import ReconstructionSet
from m2v_studio.document import commands, scan_commands
from m2v_studio.document.scan_document import UP_AXES, OpenedScans, same_alignment
from m2v_studio.document.state import is_box_shown
from m2v_studio.view import theme
from m2v_studio.view.camera import Projection, Region
from m2v_studio.view.scan_gizmo import BoxInView, box_in_view, is_gizmo_shown
from m2v_studio.view.scan_scene import POINT_COLOR
from m2v_studio.view.style import packed
from m2v_studio.view.widgets import (
    WHITE,
    Edited,
    button,
    gap,
    heading,
    label_left,
    muted,
    rule,
    scale,
    segmented,
    shorten,
    tooltip,
)

if TYPE_CHECKING:
    from m2v_studio.app import App

ROWS = 2
UP = "The axis of the scans that points up."
SIZE = "Longest side of the whole shape in the first frame, in the units of the scans: the side of the box."
CENTER = "Middle of the whole shape in the first frame, in the units of the scans: the middle of the box."
MOVE = "Take hold of the box in the view: its middle, its arrows or its corners (W)"
KINDS = {"points": "points", "depth": "depth maps", "voxels": "voxel grids", "images": "pictures"}
EDGES = tuple((i, i | bit) for i in range(8) for bit in (1, 2, 4) if not i & bit)
BOTTOM = (0, 1, 5, 4)  # corners of the side that lies below, in order around it
AXIS_COLORS: tuple[theme.Color, ...] = ((0.78, 0.24, 0.22), (0.22, 0.58, 0.24), (0.20, 0.40, 0.80))


class ScansPanel:
    """Drawn in the place of the handles while scans are open."""

    def draw(self, app: App) -> None:
        state = app.studio.state
        scans, place = state.document.scans, state.document.alignment
        if scans is None or place is None:
            return
        heading("Scans")
        self._about(scans)
        gap(2)
        heading("Box of the whole shape")
        label_left("Up axis", UP)
        pressed = segmented("up", tuple((f"{axis.upper()}", UP, "", axis == place.up_axis) for axis in UP_AXES))
        if pressed is not None:
            app.studio.do("up axis", scan_commands.set_alignment, up_axis=UP_AXES[pressed])
        guess = scans.guess.scale
        label_left("Size", SIZE)
        changed, size = psim.DragFloat("##size", place.scale, guess / 300, guess / 1000, guess * 1000, "%.4g")
        self._edited(app, "resize the box", changed, scale=float(size))
        tooltip(f"{SIZE}\nDrag sideways to change it, Ctrl+click to type a number.")
        label_left("Centre", CENTER)
        now = (float(place.center[0]), float(place.center[1]), float(place.center[2]))
        psim.PushStyleVar(psim.ImGuiStyleVar_FramePadding, (3 * scale(), 5 * scale()))  # room for three numbers
        changed, center = psim.DragFloat3("##center", now, guess / 300, 0.0, 0.0, decimals(guess))
        psim.PopStyleVar()
        self._edited(app, "move the box", changed, center=np.array(center))
        tooltip(f"{CENTER}\nDrag sideways to change it, Ctrl+click to type a number.")
        half = (psim.GetContentRegionAvail()[0] - psim.GetStyle().ItemSpacing[0]) / 2
        if button("Move the box", MOVE, width=half, active=state.view.gizmo):
            app.studio.show(commands.with_view, gizmo=not state.view.gizmo)
        psim.SameLine()
        why = "" if not same_alignment(place, scans.guess) else "The box is where it was guessed to be."
        if button("Guess again", "Put the box back to where the scans say the shape is", why, width=half):
            app.studio.do("guess the box", scan_commands.reset_alignment)
        rule()

    def _about(self, scans: OpenedScans) -> None:
        """What was seen, and what the reader had to leave out."""
        sequence = scans.sequence
        text = KINDS[sequence.modality]
        least, most = _point_range(scans)
        if most:
            text = f"{text}, {most:,} a frame" if least == most else f"{text}, {least:,} to {most:,} a frame"
        text += ", tracked" if sequence.tracked else ", seen in part" if sequence.partial else ""
        width = psim.GetContentRegionAvail()[0]
        muted(text)  # on two lines where it has to be: cut in the middle it says nothing
        tooltip("Large parts of the surface were not seen, as from one side." if sequence.partial else "")
        if sequence.notes:
            psim.TextUnformatted(shorten(sequence.notes[0], width))
            tooltip("\n".join(sequence.notes))

    def _edited(self, app: App, label: str, changed: bool, **values: object) -> None:
        edited = Edited(bool(changed), 0.0)
        if edited.changed:
            app.studio.drag(f"number {label}", label, scan_commands.set_alignment, **values)
        if edited.ended:
            app.studio.session.end_gesture()


@lru_cache(maxsize=2)
def _point_range(scans: OpenedScans) -> tuple[int, int]:
    counts = scans.point_counts()
    return int(counts.min()), int(counts.max())


# ---- the box in the view ----------------------------------------------------------------------------------


def draw_box(app: App, region: Region) -> None:
    """The edges of normalised space, and what it can be moved by."""
    state, projection = app.studio.state, app.viewport.projection
    box = box_in_view(app)
    if box is None or projection is None or not is_box_shown(state) or state.view.layout == "side":
        return
    canvas = psim.GetBackgroundDrawList()
    canvas.PushClipRect((region.x, region.y), (region.x + region.width, region.y + region.height), True)
    pixels, depth = projection.project(box.corners())
    if (depth > 0).all():
        moving = is_gizmo_shown(state)
        _edges(canvas, pixels, depth, theme.ACCENT if moving else theme.TEXT_MUTED, 0.9 if moving else 0.45)
        if moving:
            _knobs(canvas, app, box, projection)
    canvas.PopClipRect()


def _edges(canvas: psim.ImDrawList, pixels: NDArray, depth: NDArray, color: theme.Color, alpha: float) -> None:
    """The bottom is tinted, so that up can be told; edges that meet in the farthest corner are fainter."""
    corners = [(float(x), float(y)) for x, y in pixels]
    canvas.AddQuadFilled(*(corners[i] for i in BOTTOM), packed(color, 0.07))
    farthest = int(depth.argmax())
    for a, b in EDGES:
        faint = 0.35 if farthest in (a, b) else 1.0
        canvas.AddLine(corners[a], corners[b], packed(color, alpha * faint), 1.4 * scale())


def _knobs(canvas: psim.ImDrawList, app: App, box: BoxInView, projection: Projection) -> None:
    s = scale()
    pixels, _ = projection.project(box.knobs())
    points = [(float(x), float(y)) for x, y in pixels]
    hovered = app.box_gizmo.hovered
    for axis in range(3):
        canvas.AddLine(points[0], points[1 + axis], packed(AXIS_COLORS[axis]), 2.6 * s)
    for index, point in enumerate(points):
        color = theme.ACCENT if index == 0 or index > 3 else AXIS_COLORS[index - 1]
        radius = (6.5 if index == 0 else 5.5 if index < 4 else 4.5) * s + (2.0 * s if index == hovered else 0.0)
        if index > 3:
            corner = radius * 0.95
            low, high = (point[0] - corner, point[1] - corner), (point[0] + corner, point[1] + corner)
            rim = 1.5 * s
            canvas.AddRectFilled((low[0] - rim, low[1] - rim), (high[0] + rim, high[1] + rim), packed(WHITE), 2 * s)
            canvas.AddRectFilled(low, high, packed(color), 1.5 * s)
        else:
            canvas.AddCircleFilled(point, radius + 1.6 * s, packed(WHITE), 28)
            canvas.AddCircleFilled(point, radius, packed(color), 28)


# ---- rows of the timeline ---------------------------------------------------------------------------------


Place = tuple[float, float, float, float, float, float]  # x of the name, first and last frame, y, width, height


def draw_rows(app: App, place: Place) -> int:
    """How many points each scan has and how well the shown result meets them; returns the number of rows."""
    state = app.studio.state
    scans = state.document.scans
    if scans is None:
        return 0
    x, left, right, y, width, row = place
    counts = _counts(scans)
    _row(app, "points", POINT_COLOR, counts, lambda frame: f"Frame {frame}: {int(counts[frame]):,} points", place)
    results = state.results
    fit: NDArray = np.zeros(0)
    color = theme.BORDER
    if results is not None and isinstance(results.samples, ReconstructionSet):
        shown = min(state.view.solo, len(results.samples.samples) - 1)
        fit, color = results.samples.samples[shown].fit, theme.result_color(shown)

    def distance(frame: int) -> str:
        return f"Frame {frame}: the points are {100 * float(fit[frame]):.2f} % of the size from the mesh"

    _row(app, "distance to mesh", color, np.nan_to_num(fit), distance, (x, left, right, y + row, width, row))
    return ROWS


def decimals(size: float) -> str:
    """A number format in steps of about a hundredth of this size, short enough for three numbers in a line."""
    return f"%.{min(max(2 - math.floor(math.log10(size)), 0), 6)}f" if size < 1e5 else "%.2e"


@lru_cache(maxsize=2)
def _counts(scans: OpenedScans) -> NDArray[np.float64]:
    return scans.point_counts().astype(np.float64)


def _row(
    app: App,
    name: str,
    color: theme.Color,
    values: NDArray,
    tip: Callable[[int], str],
    place: Place,
) -> None:
    """Bars, one for each frame, as high as the largest value; a press goes to the frame."""
    s = scale()
    x, left, right, y, width, row = place
    draw = psim.GetWindowDrawList()
    frames = app.studio.state.document.frames
    psim.SetCursorScreenPos((x, y))
    psim.InvisibleButton(f"##{name}", (width, row))
    share = (float(psim.GetIO().MousePos[0]) - left) / max(right - left, 1.0)
    under = min(max(round(share * (frames - 1)), 0), frames - 1)
    if psim.IsItemActive() and share > -0.05:
        app.studio.show(commands.set_time, float(under))
    elif psim.IsItemHovered() and under < len(values) and share > -0.05:
        psim.SetTooltip(tip(under))
    text = theme.TEXT if len(values) else theme.TEXT_MUTED
    label = shorten(name, (left - x - 26 * s) * psim.GetFontSize() / (14 * s))
    draw.AddCircleFilled((x + 12 * s, y + row / 2), 4.5 * s, packed(color), 20)
    draw.AddText(psim.GetFont(), 14 * s, (x + 22 * s, y + (row - 14 * s) / 2), packed(text), label)
    draw.AddLine((left, y + row - 3 * s), (right, y + row - 3 * s), packed(theme.BORDER), 1.0 * s)
    if not len(values):
        draw.AddText(
            psim.GetFont(), 14 * s, (left + 14 * s, y + (row - 16 * s) / 2), packed(text), "appears with the meshes"
        )
        return
    top = max(float(values.max()), 1e-12)
    step = (right - left) / max(frames - 1, 1)
    half = min(max(0.32 * step, 1.0), 9 * s)
    for frame, value in enumerate(values[:frames]):
        at, height = left + step * frame, (row - 8 * s) * float(value) / top
        draw.AddRectFilled(
            (at - half, y + row - 3 * s - height), (at + half, y + row - 3 * s), packed(color, 0.75), 1.5 * s
        )
