"""View > Reference: images beside the creature or a motion behind it, and their settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polyscope.imgui as psim

from m2v_studio.context import EditorContext
from m2v_studio.document import commands
from m2v_studio.document.reference import MOST_OFFSET, PLANES, Reference
from m2v_studio.document.state import State
from m2v_studio.view.fields import int_field, number
from m2v_studio.view.menus import draw_command
from m2v_studio.view.widgets import menu, muted, scale, shorten, tooltip

WIDTH = 250.0
Command = Callable[[State, Any], State]
NAMES = {"back": "Behind, seen from the front", "side": "At the side, seen from the right"}


def draw_reference_menu(context: EditorContext) -> None:
    """Draw an entry of the View menu while that is open."""
    reference = context.studio.state.document.reference
    with menu("Reference") as opened:
        if not opened:
            return
        if psim.MenuItem("Choose a video…"):
            context.ask_reference(folder=False)
        if psim.MenuItem("Choose a folder of images…"):
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
        _opacity(context, reference)
        _offset(context, reference, "offset", "image", commands.set_reference)
        if psim.MenuItem("Remove the reference"):
            context.studio.do("remove reference", commands.set_reference, None)


def _motion(context: EditorContext) -> None:
    """The reference motion's lines, or how to get one."""
    motion = context.studio.state.document.reference_motion
    if motion is None:
        draw_command(context, "clips")
        return
    psim.Separator()
    muted(shorten(f"{motion.clip.rsplit('|', 1)[-1]}, of {motion.path.name}", WIDTH * scale()))
    _offset(context, motion, "motion offset", "frame", commands.set_reference_motion)
    if psim.MenuItem("Remove the reference motion"):
        context.studio.do("remove reference motion", commands.set_reference_motion, None)


def _opacity(context: EditorContext, reference: Reference) -> None:
    psim.SetNextItemWidth(WIDTH * scale())
    clamp = psim.ImGuiSliderFlags_AlwaysClamp
    draw = lambda now: psim.SliderInt("##opacity", now, 5, 100, "opacity %d %%", clamp)  # noqa: E731
    edited = number("reference opacity", round(100 * reference.opacity), draw)
    changed = replace(reference, opacity=edited.value / 100)
    context.apply(edited, "reference opacity", commands.set_reference, changed)


def _offset(context: EditorContext, reference: Any, name: str, unit: str, command: Command) -> None:
    """The field for the image or frame of a reference that is shown at frame 0."""
    psim.SetNextItemWidth(WIDTH * scale())
    edited = int_field(f"##{name}", reference.offset, 0.2, -MOST_OFFSET, MOST_OFFSET, f"{unit} %+d at frame 0")
    tooltip(f"The {unit} of the reference that is shown at frame 0. Drag sideways, or Ctrl+click and type.")
    context.apply(edited, f"reference {name}", command, replace(reference, offset=int(edited.value)))
