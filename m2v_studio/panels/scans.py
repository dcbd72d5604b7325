"""The scans' panel: a summary of the scans, cutting, and the alignment."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import polyscope.imgui as psim
from numpy.typing import NDArray

from core.io.scans.layouts import scan_kind
from m2v_studio.context import EditorContext
from m2v_studio.document import commands, scan_commands
from m2v_studio.document.scan_document import UP_AXES, OpenedScans, is_guessed
from m2v_studio.view.fields import TYPE, Edited, label_left, number
from m2v_studio.view.widgets import button, choice, gap, heading, muted, notes_line, rule, scale, segmented, tooltip

UP = "The axis that points up in the scans."
SIDES = "Size of the whole shape in the first frame along X, Y and Z, in the units of the scans."
CENTER = "Middle of the whole shape in the first frame, in the units of the scans: the middle of the box."
CUT = "Leave out everything outside the box in every frame: tables, walls, people"
MASKS = "Choose a folder with a black-and-white image for each depth map; black is left out"
WHOLE = "Read everything that was scanned"
DEPTH = "Units of the depth maps per metre. A wrong number makes the shape too large or too small."
DEPTH_SCALES: dict[float | None, str] = {
    None: "",
    1000.0: " (millimetres)",
    5000.0: " (TUM)",
    4000.0: "",
    256.0: " (KITTI)",
    1.0: " (metres)",
}
MOVE = "Drag the box in the view by its middle, its arrows, its corners or its sides"


class ScansPanel:
    """Replaces the handles' panel while scans are open."""

    def draw(self, context: EditorContext) -> None:
        state = context.studio.state
        scans, place = state.document.scans, state.document.alignment
        if scans is None or place is None:
            return
        heading("Scans")
        self._about(scans)
        if scan_kind(scans.sequence.modality).scaled:
            self._depth_units(context, scans)
        gap(2)
        heading("Box of the whole shape")
        label_left("Up axis", UP)
        up = UP_AXES[segmented("up", [(axis.upper(), UP, "") for axis in UP_AXES], UP_AXES.index(place.up_axis))]
        if up != place.up_axis:
            context.studio.do("up axis", scan_commands.set_alignment, up_axis=up)
        guess = scans.guess.scale
        sides = place.scale * np.array(state.document.box_shares)
        edited = self._three("Sides", sides, guess, guess / 1000, guess * 1000, SIDES)
        context.apply(edited, "resize the box", scan_commands.set_alignment, sides=np.array(edited.value))
        edited = self._three("Centre", place.center, guess, 0.0, 0.0, CENTER)
        context.apply(edited, "move the box", scan_commands.set_alignment, center=np.array(edited.value))
        half = (psim.GetContentRegionAvail()[0] - psim.GetStyle().ItemSpacing[0]) / 2
        if button("Move the box", context.with_keys(MOVE, "gizmo"), width=half, active=state.view.gizmo):
            context.studio.show(commands.with_view, gizmo=not state.view.gizmo)
        psim.SameLine()
        guessed = is_guessed(scans, place, state.document.box_shares)
        why = "The box is where it was guessed to be." if guessed else ""
        if button("Guess again", "Put the box back to where it was guessed from the scans", why, width=half):
            context.studio.do("guess the box", scan_commands.reset_alignment)
        self._cutting(context, scans, half)
        rule()

    @staticmethod
    def _depth_units(context: EditorContext, scans: OpenedScans) -> None:
        now = scans.reading.depth_scale
        scales = list(DEPTH_SCALES) if now in DEPTH_SCALES else [*DEPTH_SCALES, now]
        label_left("Depth", DEPTH)
        names = [f"{scale:,.6g} a metre{DEPTH_SCALES.get(scale, '')}" if scale else "as recognised" for scale in scales]
        chosen = choice("##depth", scales.index(now), names)
        tooltip(DEPTH)
        if chosen is not None:
            context.set_depth_scale(scales[chosen])

    def _cutting(self, context: EditorContext, scans: OpenedScans, half: float) -> None:
        """Settings that cut away everything but the shape."""
        kind = scan_kind(scans.sequence.modality)
        why = "" if kind.boxes else "Only points and depth maps can be cut."
        if button("Cut by the box", CUT, why, width=half, active=scans.reading.box is not None):
            context.cut_by_box()
        psim.SameLine()
        why = "" if kind.masks else "Only depth maps can have masks."
        if button("Masks…", MASKS, why, width=half, active=bool(scans.reading.mask)):
            context.ask_masks()
        cut = scans.reading.box is not None or bool(scans.reading.mask)
        if cut and button("Whole scans again", WHOLE, width=2 * half + psim.GetStyle().ItemSpacing[0]):
            context.whole_scans()

    def _about(self, scans: OpenedScans) -> None:
        """A summary of the scans, and what the reader left out."""
        sequence = scans.sequence
        text = scan_kind(sequence.modality).title
        least, most = _point_range(scans)
        if most:
            text = f"{text}, {most:,} per frame" if least == most else f"{text}, {least:,} to {most:,} per frame"
        text += ", tracked" if sequence.tracked else ", seen in part" if sequence.partial else ""
        muted(text)  # wrapped if necessary: cut in the middle it would be useless
        tooltip("Large parts of the surface were not seen, as from one side." if sequence.partial else "")
        notes_line(sequence.notes)

    @staticmethod
    def _three(label: str, values: NDArray[np.float64], size: float, low: float, high: float, tip: str) -> Edited:
        """A line of three numbers in the units of scans of about this size."""
        label_left(label, tip)
        x, y, z = values.tolist()
        psim.PushStyleVar(psim.ImGuiStyleVar_FramePadding, (3 * scale(), 5 * scale()))  # room for three numbers
        draw = lambda now: psim.DragFloat3(f"##{label}", now, size / 300, low, high, decimals(size))  # noqa: E731
        edited = number(f"##{label}", (x, y, z), draw)
        psim.PopStyleVar()
        tooltip(f"{tip}\n{TYPE}")
        return edited


@lru_cache(maxsize=2)
def _point_range(scans: OpenedScans) -> tuple[int, int]:
    counts = scans.point_counts()
    return int(counts.min()), int(counts.max())


def decimals(size: float) -> str:
    """A number format in steps of about a hundredth of this size, short enough for three numbers in a line."""
    return f"%.{min(max(2 - math.floor(math.log10(size)), 0), 6)}f" if size < 1e5 else "%.2e"
