"""View > Reference: which pictures or which motion stands behind or beside the creature, and how."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polyscope.imgui as psim

from m2v_studio.context import EditorContext
from m2v_studio.document import commands
from m2v_studio.document.reference import MOST_OFFSET, PLANES
from m2v_studio.view.menus import draw_command
from m2v_studio.view.widgets import menu, muted, scale, shorten, tooltip

WIDTH = 250.0
NAMES = {"back": "Behind, seen from the front", "side": "At the side, seen from the right"}


def draw_reference_menu(context: EditorContext) -> None:
    """A line of the View menu, to be called while that is open."""
    reference = context.studio.state.document.reference
    with menu("Reference") as opened:
        if not opened:
            return
        if psim.MenuItem("Choose a video…"):
            context.ask_reference(folder=False)
        if psim.MenuItem("Choose a folder of pictures…"):
            context.ask_reference(folder=True)
        psim.SetNextItemWidth(WIDTH * scale())
        on_enter = psim.ImGuiInputTextFlags_EnterReturnsTrue
        hint = "or paste a path and press Enter"
        entered, text = psim.InputTextWithHint("##path", hint, context.reference_path, on_enter)
        context.reference_path = text
        if entered and text.strip():
            context.set_reference(Path(text.strip().strip('"')).expanduser())
            context.reference_path = ""
        _motion(context)
        if reference is None:
            muted("A video can also be dropped on the window.")
            return
        psim.Separator()
        muted(shorten(reference.path.name, WIDTH * scale()))
        for plane in PLANES:
            if psim.MenuItem(NAMES[plane], None, reference.plane == plane):
                context.studio.do("reference plane", commands.set_reference, replace(reference, plane=plane))
        _sliders(context)
        if psim.MenuItem("Remove the reference"):
            context.studio.do("remove reference", commands.set_reference, None)


def _motion(context: EditorContext) -> None:
    """The reference motion's lines, or how to get one."""
    studio, motion = context.studio, context.studio.state.document.reference_motion
    if motion is None:
        draw_command(context, "clips")
        return
    psim.Separator()
    muted(shorten(f"{motion.clip.rsplit('|', 1)[-1]}, of {motion.path.name}", WIDTH * scale()))
    psim.SetNextItemWidth(WIDTH * scale())
    moved, offset = psim.DragInt(
        "##motion offset", motion.offset, 0.2, -MOST_OFFSET, MOST_OFFSET, "its frame %+d at frame 0",
        psim.ImGuiSliderFlags_AlwaysClamp,
    )  # fmt: skip
    tooltip("Which of its frames stands behind frame 0. Drag sideways, or Ctrl+click and type.")
    if moved:
        later = replace(motion, offset=int(offset))
        studio.drag("motion offset", "reference offset", commands.set_reference_motion, later)
    if psim.IsItemDeactivated():
        studio.session.end_gesture()
    if psim.MenuItem("Remove the reference motion"):
        studio.do("remove reference motion", commands.set_reference_motion, None)


def _sliders(context: EditorContext) -> None:
    studio = context.studio
    reference = studio.state.document.reference
    if reference is None:
        return
    psim.SetNextItemWidth(WIDTH * scale())
    moved, percent = psim.SliderInt(
        "##opacity", round(100 * reference.opacity), 5, 100, "opacity %d %%", psim.ImGuiSliderFlags_AlwaysClamp
    )
    if moved:
        studio.drag("opacity", "reference opacity", commands.set_reference, replace(reference, opacity=percent / 100))
    if psim.IsItemDeactivated():
        studio.session.end_gesture()
    psim.SetNextItemWidth(WIDTH * scale())
    moved, offset = psim.DragInt(
        "##offset", reference.offset, 0.2, -MOST_OFFSET, MOST_OFFSET, "picture %+d at frame 0",
        psim.ImGuiSliderFlags_AlwaysClamp,
    )  # fmt: skip
    tooltip("Which picture stands beside frame 0. Drag sideways, or Ctrl+click and type.")
    if moved:
        studio.drag("offset", "reference offset", commands.set_reference, replace(reference, offset=int(offset)))
    if psim.IsItemDeactivated():
        studio.session.end_gesture()
