"""Draws rings under standing feet, and the curve of the motion's speed under the timeline."""

from __future__ import annotations

import itertools

import numpy as np
import polyscope.imgui as psim

from core.pipelines.request import SampleSet
from m2v_studio.context import EditorContext
from m2v_studio.document import commands
from m2v_studio.document.state import State, frame_shown
from m2v_studio.view import theme
from m2v_studio.view.figure import Figure
from m2v_studio.view.footing import Footing, footing
from m2v_studio.view.key_strip import Strip
from m2v_studio.view.style import packed
from m2v_studio.view.widgets import scale

RING = 0.032  # of the size
CORNERS = 28
STRIP = 30.0  # height of the curve, pixels at scale 1
TIP = "Frame {}: the surface moves by {:.1f} % of its size per second on average"


def footing_of(state: State, row: int) -> Footing | None:
    """The measurements of one result; None for a row without one, or a result made from scans."""
    source, results = state.document.source, state.results
    if source is None or results is None or not isinstance(results.samples, SampleSet):
        return None
    samples = results.samples.samples
    return footing(samples[row], source) if row < len(samples) else None


def draw_contacts(canvas: psim.ImDrawList, context: EditorContext, figure: Figure) -> None:
    """Draw a ring on the ground under every foot that stands in this frame."""
    viewport = context.viewport
    if viewport.projection is None or not figure.name.startswith("result-") or not context.studio.settings.contacts:
        return
    found = footing_of(context.studio.state, int(figure.name.removeprefix("result-")))
    if found is None or figure.frame >= len(found.standing) or len(figure.track) != len(found.standing):
        return  # a pose that is dragged, or a preview
    angles = 2 * np.pi * np.arange(CORNERS) / CORNERS
    circle = RING * np.stack([np.cos(angles), np.zeros(CORNERS), np.sin(angles)], axis=1)
    offset = viewport.offsets.get(figure.name, np.zeros(3))
    places = found.places[figure.frame][found.standing[figure.frame]]
    if not len(places):
        return
    pixels, _ = viewport.projection.project(places[:, None] + offset + circle)
    # The camera never rolls, so a circle on the ground is an upright ellipse.
    low, high = pixels.min(axis=1), pixels.max(axis=1)
    fill, ink, thick = packed(theme.PINNED, 0.16), packed(theme.PINNED, 0.85), 1.6 * scale()
    for middle, radii in zip(((low + high) / 2).tolist(), ((high - low) / 2).tolist(), strict=True):
        canvas.AddEllipseFilled(middle, radii, fill)
        canvas.AddEllipse(middle, radii, ink, 0.0, 0, thick)


def speed_height(state: State) -> float:
    """The height in pixels of the curve of speed; 0 without one."""
    return STRIP * scale() if footing_of(state, state.view.solo) is not None else 0.0


def draw_speed(context: EditorContext, strip: Strip) -> None:
    """Draw the shown result's curve of speed from `strip.top` down; a press goes to the frame."""
    state = context.studio.state
    found = footing_of(state, state.view.solo)
    if found is None:
        return
    s, frames, speed = scale(), state.document.frames, found.speed
    draw = psim.GetWindowDrawList()
    psim.SetCursorScreenPos((strip.x, strip.top))
    psim.InvisibleButton("##speed", (max(strip.width, 1.0), STRIP * s))
    under = strip.frame_at(float(psim.GetIO().MousePos[0]))
    if psim.IsItemActive():
        context.studio.show(commands.set_time, float(under))
    elif psim.IsItemHovered() and under < len(speed):
        psim.SetTooltip(TIP.format(under, 100 * float(speed[under])))
    color = theme.result_color(state.view.solo)
    base, room = strip.top + (STRIP - 4) * s, (STRIP - 9) * s
    draw.AddText(psim.GetFont(), 14 * s, (strip.x + 24 * s, strip.top + 8 * s), packed(theme.TEXT_MUTED), "speed")
    draw.AddLine((strip.left, base), (strip.right, base), packed(theme.BORDER), 1.0)
    top = max(float(speed.max()), 1e-9)
    points = [(strip.x_of(frame), base - room * float(value) / top) for frame, value in enumerate(speed[:frames])]
    for (ax, ay), (bx, by) in itertools.pairwise(points):
        draw.AddQuadFilled((ax, base), (ax, ay), (bx, by), (bx, base), packed(color, 0.18))
        draw.AddLine((ax, ay), (bx, by), packed(color), 1.8 * s)
    at = strip.x_of(frame_shown(state))
    draw.AddLine((at, strip.top), (at, base), packed(theme.ACCENT, 0.6), 1.5 * s)
