"""Where the chosen handle is, in numbers, and what it snaps to."""

from __future__ import annotations

import numpy as np
import polyscope.imgui as psim

from m2v_studio.context import EditorContext
from m2v_studio.document import block_edits, commands
from m2v_studio.document.snapping import NAMES, SNAPS, key_place
from m2v_studio.document.state import frame_shown
from m2v_studio.view.fields import float_field
from m2v_studio.view.widgets import choice, disabled, scale, tooltip

SNAP = "What a handle snaps to while it is dragged. Put on, in the menu of a right click, does it once."
FAR = 1e6  # of the shape's size; the command keeps a handle within reach


def draw_place(context: EditorContext, row: int) -> None:
    """X, Y and Z of a handle in the frame shown, in the units of the file; scrubbed, or typed and entered."""
    studio = context.studio
    state = studio.state
    source = state.document.source
    shape = block_edits.shown_vertices(state)
    if source is None or shape is None:
        return
    frame, place = key_place(state, row, shape)
    origin = np.asarray(source.origin)
    values = place + origin
    space = 4 * scale()
    width = (psim.GetContentRegionAvail()[0] - 2 * space) / 3
    pinned = "A pinned handle does not move." if state.document.handles[row].pinned else ""
    for axis, name in enumerate("XYZ"):
        if axis:
            psim.SameLine(0.0, space)
        psim.SetNextItemWidth(width)
        with disabled(pinned):
            reach = FAR * source.size
            edited = float_field(f"##{name}", float(values[axis]), source.size / 400, -reach, reach, f"{name} %.4g")
        where = f"frame {frame}" if frame_shown(state) else f"the last frame, {frame}: frame 0 is the rest pose"
        tooltip(f"Where the handle is, and is to be in {where}. Drag sideways, or Ctrl+click and type.", pinned)
        if edited.changed:
            values[axis] = edited.value
            if frame_shown(state) != frame:
                studio.show(commands.set_time, float(frame))
            studio.drag(f"place {row} {axis}", "place handle", commands.set_key, row, frame, values - origin)
        if edited.ended and not pinned:
            studio.let_go()


def draw_snap(context: EditorContext) -> None:
    """The list of what there is to snap to."""
    view = context.studio.state.view
    labels = [f"Snap: {NAMES[snap]}" for snap in SNAPS]
    chosen = choice("##snap", SNAPS.index(view.snap), labels)
    tooltip(SNAP)
    if chosen is not None:
        context.studio.show(commands.with_view, snap=SNAPS[chosen])
