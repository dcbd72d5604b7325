"""The start of a gesture on a handle, for drags and turns."""

from __future__ import annotations

import math

from m2v_studio.context import EditorContext
from m2v_studio.document import commands
from m2v_studio.document.state import frame_shown
from m2v_studio.view.figure import Figure
from m2v_studio.view.overlay import knob_key
from m2v_studio.view.screen import Pixel
from m2v_studio.view.widgets import scale

HIT_PIXELS = 13.0


def take_hold(context: EditorContext, figure: Figure) -> int:
    """Begin to pose the mesh, from the pose this figure shows; returns the frame that the gesture keys."""
    studio = context.studio
    frame = commands.key_frame_for_drag(studio.state)
    studio.show(commands.hold_still)
    if frame_shown(studio.state) != frame:
        studio.show(commands.with_view, time=float(frame))
    studio.posing.take(figure.track[min(frame, len(figure.track) - 1)])
    return frame


def handle_under(context: EditorContext, at: Pixel) -> tuple[int, Figure] | None:
    """The row of the nearest handle within reach of the mouse, and its figure."""
    handles = context.studio.state.document.handles
    if context.viewport.projection is None or not handles:
        return None
    best, found = HIT_PIXELS * scale(), None
    state = context.studio.state
    for figure in context.viewport.figures:
        for row, place in enumerate(context.viewport.on_screen(figure, handles)):
            pixel = place.knob(figure.frame, knob_key(state, handles[row]))
            distance = best if pixel is None else math.hypot(pixel[0] - at[0], pixel[1] - at[1])
            if distance < best:
                best, found = distance, (row, figure)
    return found
