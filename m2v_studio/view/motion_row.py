"""The row under the player's buttons: length, frame rate, speed, looping, and feet on the ground."""

from __future__ import annotations

import polyscope.imgui as psim

from core.sequence import MAX_FRAMES, MIN_FRAMES
from m2v_studio.context import EditorContext
from m2v_studio.document import commands
from m2v_studio.document.state import SPEEDS
from m2v_studio.view import widgets
from m2v_studio.view.fields import TYPE, float_field, int_field
from m2v_studio.view.widgets import scale, tooltip

LENGTH = "Length of the motion. Changing it stretches the keys, so that an end pose stays at the end."
RATE = "Frames per second of playback and export. It does not change the motion itself."
SPEED = "How fast it is played here; the file keeps its frames per second."
LOOP = "The last frame flows into the first, so that the motion can be repeated without a seam."
CONTACTS = "Feet on the ground stay where they are, while the motion is generated and while you drag."
GAP = 8.0  # between the controls, pixels at scale 1
CHECK = 30.0  # of a check box without its words
LEAST = 0.72  # fields narrower than this share of their width show no units
WIDTHS = (88.0, 72.0, 70.0)  # of length, rate and speed


def draw_motion_row(context: EditorContext) -> None:
    document = context.studio.state.document
    s, space, of_motion = scale(), GAP * scale(), document.scans is None
    room = psim.GetContentRegionAvail()[0]
    fields = [width * s for width in (WIDTHS if of_motion else WIDTHS[1:])]
    taken = sum(fields) + space * len(fields)
    loop_text, feet_text = "Seamless loop", "Feet on the ground"
    if taken + _wide(loop_text, feet_text) > room:
        loop_text, feet_text = "Loop", "Feet"
    for_fields = room - (_wide(loop_text, feet_text) if of_motion else 0.0)
    draw = [_length, _rate, _speed] if of_motion else [_rate, _speed]
    if for_fields < LEAST * taken:  # the menu Motion has the speed too
        fields, draw = fields[:-1], draw[:-1]
    shrink = min(1.0, max((for_fields - space * len(fields)) / sum(fields), 0.3))
    for width, field in zip(fields, draw, strict=True):
        psim.SetNextItemWidth(width * shrink)
        field(context, shrink > LEAST)
        psim.SameLine(0.0, space)
    if not of_motion:
        psim.NewLine()
        return
    loop = widgets.check_box(loop_text, document.loop, f"Seamless loop. {LOOP}", in_row=True)
    if loop is not None:
        context.studio.do("seamless loop", commands.set_loop, loop)
    psim.SameLine(0.0, space)
    contacts = widgets.check_box(feet_text, document.contacts, f"Feet on the ground. {CONTACTS}", in_row=True)
    if contacts is not None:
        context.studio.do("feet on the ground", commands.set_contacts, contacts)


def _wide(*texts: str) -> float:
    """Pixels of check boxes with these words."""
    return sum(float(psim.CalcTextSize(text)[0]) + (CHECK + GAP) * scale() for text in texts)


def _length(context: EditorContext, with_unit: bool) -> None:
    """Keys are stretched from their frames at the start of the gesture, so dragging the length to and fro changes
    nothing."""
    studio = context.studio
    form = "%d frames" if with_unit else "%d"
    edited = int_field("##Length", studio.state.document.frames, 0.25, MIN_FRAMES, MAX_FRAMES, form)
    tooltip(f"{LENGTH}\n{TYPE}")
    if edited.changed:
        began = studio.session.began("setting frames")
        studio.drag("setting frames", "length", commands.set_frames, edited.value, began)
    if edited.ended:
        studio.session.end_gesture()


def _rate(context: EditorContext, with_unit: bool) -> None:
    studio = context.studio
    form = "%.4g fps" if with_unit else "%.4g"
    edited = float_field("##Rate", studio.state.document.fps, 0.5, 1.0, 240.0, form)
    tooltip(f"{RATE}\n{TYPE}")
    if edited.changed:
        studio.drag("setting fps", "fps", commands.set_fps, edited.value)
    if edited.ended:
        studio.session.end_gesture()


def _speed(context: EditorContext, _: bool) -> None:
    view = context.studio.state.view
    current = SPEEDS.index(view.speed) if view.speed in SPEEDS else 2
    chosen = widgets.choice("##speed", current, [f"{speed:g}x" for speed in SPEEDS])
    tooltip(SPEED)
    if chosen is not None:
        context.studio.show(commands.with_view, speed=SPEEDS[chosen])
