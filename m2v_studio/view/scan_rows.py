"""Rows of the timeline for scans: the number of points, and the distance of the shown result from them."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import polyscope.imgui as psim
from numpy.typing import NDArray

from core.pipelines.request import ReconstructionSet
from m2v_studio.context import EditorContext
from m2v_studio.document import commands
from m2v_studio.document.scan_document import OpenedScans
from m2v_studio.view import theme
from m2v_studio.view.style import packed
from m2v_studio.view.widgets import scale, shorten

ROWS = 2
Place = tuple[float, float, float, float, float, float]  # x of the name, first and last frame, y, width, height


def draw_rows(context: EditorContext, place: Place) -> int:
    """Draw each scan's number of points and the shown result's distance from them; returns the number of rows."""
    state = context.studio.state
    scans = state.document.scans
    if scans is None:
        return 0
    x, left, right, y, width, row = place
    counts = _counts(scans)
    _row(context, "points", theme.POINTS, counts, lambda frame: f"Frame {frame}: {int(counts[frame]):,} points", place)
    results = state.results
    fit: NDArray = np.zeros(0)
    color = theme.BORDER
    if results is not None and isinstance(results.samples, ReconstructionSet):
        shown = min(state.view.solo, len(results.samples.samples) - 1)
        fit, color = results.samples.samples[shown].fit, theme.result_color(shown)

    def distance(frame: int) -> str:
        return f"Frame {frame}: the points are {100 * float(fit[frame]):.2f} % of the size from the mesh"

    _row(context, "distance to mesh", color, np.nan_to_num(fit), distance, (x, left, right, y + row, width, row))
    return ROWS


@lru_cache(maxsize=2)
def _counts(scans: OpenedScans) -> NDArray[np.float64]:
    return scans.point_counts().astype(np.float64)


def _row(
    context: EditorContext, name: str, color: theme.Color, values: NDArray, tip: Callable[[int], str], place: Place
) -> None:
    """Draw a bar for each frame, relative to the largest value; a press goes to the frame."""
    s = scale()
    x, left, right, y, width, row = place
    draw = psim.GetWindowDrawList()
    frames = context.studio.state.document.frames
    psim.SetCursorScreenPos((x, y))
    psim.InvisibleButton(f"##{name}", (width, row))
    share = (float(psim.GetIO().MousePos[0]) - left) / max(right - left, 1.0)
    under = min(max(round(share * (frames - 1)), 0), frames - 1)
    if psim.IsItemActive() and share > -0.05:
        context.studio.show(commands.set_time, float(under))
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
