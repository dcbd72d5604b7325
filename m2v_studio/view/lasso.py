"""The lasso: the part of the shape inside a drawn line becomes a region, which moves and turns as one handle."""

from __future__ import annotations

import numpy as np
import polyscope.imgui as psim
from numpy.typing import NDArray

from core.geometry.sampling import orientation, vertex_normals
from m2v_studio.context import EditorContext
from m2v_studio.document import commands, regions
from m2v_studio.document.regions import circled
from m2v_studio.view import theme
from m2v_studio.view.camera import Region
from m2v_studio.view.figure import Figure
from m2v_studio.view.screen import Pixel
from m2v_studio.view.style import packed
from m2v_studio.view.widgets import scale

SPACING = 3.0  # pixels between the corners of the line
CELL = 5.0  # pixels at least: vertices in one cell hide each other
EDGE_ON = -0.1  # least component of a normal towards the viewer: vertices seen from the edge count as visible
THICKNESS = 0.03  # of the shape's size: vertices this much behind the first one in their cell are hidden


class Lasso:
    """Once switched on it waits for a press. One line is one undo step."""

    def __init__(self) -> None:
        self._line: list[Pixel] = []
        self._how = ""  # "new", "add" or "take"

    def update(self, context: EditorContext, region: Region) -> bool:
        """Read this frame's mouse; True while the lasso owns it."""
        io = psim.GetIO()
        if not self._line:
            if not context.mouse.lasso_next or context.mouse.mode is not None:
                return False
            at = (float(io.MousePos[0]), float(io.MousePos[1]))
            if psim.IsMouseClicked(0) and region.contains(at) and not io.WantCaptureMouse:
                self._line, self._how = [at], "add" if io.KeyShift else "take" if io.KeyCtrl else "new"
                context.mouse.mode, context.mouse.lasso_next = "lasso", False
                return True
            return psim.IsMouseDown(0) and region.contains(at)
        if psim.IsMousePosValid():
            at = (float(io.MousePos[0]), float(io.MousePos[1]))
            if max(abs(at[0] - self._line[-1][0]), abs(at[1] - self._line[-1][1])) >= SPACING:
                self._line.append(at)
        if not psim.IsMouseDown(0):
            line, self._line, context.mouse.mode = self._line, [], None
            self._take(context, np.array(line))
        return True

    def _take(self, context: EditorContext, line: NDArray[np.float64]) -> None:
        studio, viewport = context.studio, context.viewport
        source, row = studio.state.document.source, studio.state.view.selected
        if source is None or not viewport.figures or len(line) < 3:
            studio.show(commands.say, regions.SMALL)
            return
        best: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        for figure in viewport.figures:
            pixels, seen = seen_in_image(context, figure)
            found = circled(source, within(pixels, line), seen)
            best = found if len(found) > len(best) else best
        studio.show(commands.hold_still)
        if self._how == "new" or row is None:
            studio.do("add region", regions.add_region, best)
        else:
            label = "shrink region" if self._how == "take" else "grow region"
            studio.do(label, regions.change_region, row, best, self._how == "take")
        studio.request_draft()

    def draw(self, region: Region) -> None:
        """Draw the line so far, closed by a thin one."""
        if len(self._line) < 2:
            return
        s = scale()
        canvas = psim.GetBackgroundDrawList()
        canvas.PushClipRect((region.x, region.y), (region.x + region.width, region.y + region.height), True)
        points = np.asfortranarray(np.array(self._line, dtype=np.float32))
        canvas.AddPolyline(points, packed(theme.CARD, 0.8), 0, 4.0 * s)
        canvas.AddPolyline(points, packed(theme.ACCENT), 0, 2.2 * s)
        canvas.AddLine(self._line[-1], self._line[0], packed(theme.ACCENT, 0.45), 1.4 * s)
        canvas.PopClipRect()


def seen_in_image(context: EditorContext, figure: Figure) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The pixels [V, 2] of a figure's vertices, and a mask [V] of the visible ones.

    The others face away or lie behind another vertex in the same cell of the image.
    """
    viewport = context.viewport
    projection = viewport.projection
    assert projection is not None
    places = viewport.to_view(figure, figure.positions)
    pixels, depth = projection.project(places)
    outward = vertex_normals(places, figure.faces) * orientation(places, figure.faces)
    edges = np.linalg.norm(pixels[figure.faces[:, 0]] - pixels[figure.faces[:, 1]], axis=1)
    side = max(CELL * scale(), 1.5 * float(np.median(edges)))  # a sparse mesh has gaps to look through
    cells = np.floor(pixels / side).astype(np.int64)
    cells -= cells.min(axis=0)
    _, cell = np.unique(cells[:, 0] * (int(cells[:, 1].max()) + 1) + cells[:, 1], return_inverse=True)
    nearest = np.full(int(cell.max()) + 1, np.inf)
    np.minimum.at(nearest, cell, depth)
    behind = THICKNESS + 2 * side * projection.unit_at(float(np.median(depth)))
    facing = outward @ projection.view[2, :3] > EDGE_ON
    return pixels, facing & (depth > 0) & (depth <= nearest[cell] + behind)


def within(points: NDArray[np.float64], line: NDArray[np.float64]) -> NDArray[np.bool_]:
    """A mask [N] of points [N, 2] inside a closed line [C, 2]: a ray from them crosses it an odd number of times."""
    result = np.zeros(len(points), dtype=bool)
    x, y = points.T
    for (ax, ay), (bx, by) in zip(line, np.roll(line, -1, axis=0), strict=True):
        if ay == by:
            continue
        result ^= ((ay > y) != (by > y)) & (x < ax + (y - ay) / (by - ay) * (bx - ax))
    return result
