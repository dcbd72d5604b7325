"""The selected handle's position, turn and snapping."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polyscope.imgui as psim
from numpy.typing import NDArray

from core.sequence import Handle, SourceMesh
from m2v_studio.context import EditorContext
from m2v_studio.document import block_edits, commands, turning
from m2v_studio.document.snapping import NAMES, SNAPS, key_place
from m2v_studio.document.state import Same, State, frame_shown
from m2v_studio.view import theme
from m2v_studio.view.fields import float_field
from m2v_studio.view.hold import take_hold
from m2v_studio.view.style import rgba
from m2v_studio.view.widgets import choice, disabled, scale, tooltip

SNAP = "What a handle snaps to while it is dragged. The commands Put on, in the right-click menu, do it once."
SCRUB = "Drag sideways, or Ctrl+click and type."
TURNED = "Rotation of what surrounds the handle in {}: degrees about X, then Y, then Z of the file. "
FREE = "Grey: free, shown as the motion turns it. Typing a number fixes it."
FAR = 1e6  # of the shape's size; the command keeps a handle within reach
Vector = NDArray[np.float64]


class PlaceFields:
    """Fields for the selected handle's position and turn in the shown frame, to be scrubbed or typed."""

    def __init__(self) -> None:
        self._angles: tuple[tuple[int, int], Vector] = ((-1, -1), np.zeros(3))  # last shown, for a vertex and frame
        self._angles_turn: Vector | None = None  # the turn of those angles
        # Turns of one handle in one motion, by frame and place in memory.
        self._known: tuple[object, dict[tuple[int, int], Vector]] = (None, {})

    def draw(self, context: EditorContext, row: int) -> None:
        """X, Y and Z in the units of the file, and the angles about them."""
        state = context.studio.state
        source, shape = state.document.source, block_edits.shown_vertices(state)
        if source is None or shape is None:
            return
        frame, place = key_place(state, row, shape)
        where = f"frame {frame}" if frame_shown(state) else f"frame {frame}: frame 0 is the rest pose"
        handle, origin = state.document.handles[row], np.asarray(source.origin)
        why = "A pinned handle does not move." if handle.pinned else ""
        reach, step = FAR * source.size, source.size / 400
        tip = f"Position of the handle in {where}. {SCRUB}"
        wanted, ended = _three("", place + origin, step, reach, "%.4g", tip, why)
        if wanted is not None:
            _write(context, "place handle", commands.set_key, row, frame, wanted - origin)
        if ended:
            context.studio.let_go()
        turn = self._turn(source, handle, frame, shape)
        angles = self._angles_of(turn, (handle.vertex, frame))
        free = frame not in handle.turns
        why = "A pinned handle does not turn." if handle.pinned else ""
        tip = f"{TURNED.format(where)}{FREE if free else ''} {SCRUB}"
        wanted, ended = _three("turn ", np.round(angles, 1) + 0.0, 0.5, 3600.0, "%.4g\u00b0", tip, why, free)
        if wanted is not None:
            self._angles = (handle.vertex, frame), wanted
            turns = {row: turning.turn_by_angles(wanted)}
            _write(context, "turn handle", block_edits.turn_handles, {row: place}, turns, frame)
        if ended:
            context.studio.let_go()

    def _angles_of(self, turn: Vector, subject: tuple[int, int]) -> Vector:
        """Like `turning.angles_of`, near the angles last shown for this vertex and frame."""
        before, last = self._angles
        if subject != before or turn is not self._angles_turn:
            last = turning.angles_of(turn, last if subject == before else np.zeros(3))
            self._angles, self._angles_turn = (subject, last), turn
        return last

    def _turn(self, source: SourceMesh, handle: Handle, frame: int, shape: NDArray[np.float32]) -> Vector:
        """Like `turn_shown`, cached per frame while a motion loops."""
        subject = Same(handle), Same(shape if shape.base is None else shape.base)
        if self._known[0] != subject:
            self._known = subject, {}
        known, at = self._known[1], (frame, shape.__array_interface__["data"][0])
        if at not in known:
            known[at] = turning.turn_shown(source, handle, frame, shape)
        return known[at]


def _write(context: EditorContext, label: str, command: Callable[..., State], *values: Any) -> None:
    """Apply a changed number: poses the mesh at once; one gesture is one undo step."""
    studio, figure = context.studio, context.viewport.figures[0]
    if not studio.posing.held:
        take_hold(context, figure)
    studio.drag(label, label, command, *values)
    studio.pose(figure.name, frame_shown(studio.state))


def _three(
    name: str, values: Vector, step: float, reach: float, form: str, tip: str, why: str, faint: bool = False
) -> tuple[Vector | None, bool]:
    """A line of three fields, `name` X to Z.

    Returns all three values [3] if one has just changed, else None, and whether the gesture has ended.
    """
    space, found, ended = 4 * scale(), None, False
    width = (psim.GetContentRegionAvail()[0] - 2 * space) / 3
    for axis, letter in enumerate("XYZ"):
        if axis:
            psim.SameLine(0.0, space)
        psim.SetNextItemWidth(width)
        psim.PushStyleColor(psim.ImGuiCol_Text, rgba(theme.TEXT_MUTED if faint else theme.TEXT))
        with disabled(why):
            edited = float_field(f"##{name}{letter}", float(values[axis]), step, -reach, reach, f"{letter} {form}")
        psim.PopStyleColor()
        tooltip(tip, why)
        if edited.changed:
            found = np.array(values, dtype=np.float64)
            found[axis] = edited.value
        ended |= edited.ended and not why
    return found, ended


def draw_snap(context: EditorContext) -> None:
    """The list of snapping targets."""
    view = context.studio.state.view
    labels = [f"Snap: {NAMES[snap]}" for snap in SNAPS]
    chosen = choice("##snap", SNAPS.index(view.snap), labels)
    tooltip(SNAP)
    if chosen is not None:
        context.studio.show(commands.with_view, snap=SNAPS[chosen])
