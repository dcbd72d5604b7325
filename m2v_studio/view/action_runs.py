"""Implementations of commands with several steps: edits followed by a draft, and view changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from core.key_easing import easing_from
from m2v_studio.context import EditorContext
from m2v_studio.document import (
    block_edits,
    commands,
    key_fitting,
    pin_commands,
    regions,
    result_commands,
    selection,
    snapping,
    turning,
)
from m2v_studio.document.facing import Side, facing_yaw, yaw_of_side
from m2v_studio.document.result_commands import mark_of
from m2v_studio.document.state import Snap, State, frame_shown
from m2v_studio.document.up_axis import set_up_axis
from m2v_studio.view.brush import resize

Run = Callable[[EditorContext], None]
CIRCLE = "Circle a part of the shape. Shift adds to the selected region, Ctrl takes away."
PAINT = "Paint on the shape. Ctrl takes away, the wheel changes the brush, {} puts it away."
AROUND = 0.1  # margin around framed handles, as a fraction of the shape's size


def edit(context: EditorContext, label: str, command: Callable[..., State], *args: Any) -> None:
    context.studio.do(label, command, *args)
    context.studio.request_draft()


def show(command: Callable[..., State], *args: Any, **kwargs: Any) -> Run:
    return lambda context: context.studio.show(command, *args, **kwargs)


def copy(context: EditorContext) -> None:
    clip = block_edits.copied(context.studio.state)
    if clip is not None:
        context.clip = clip
        noun = "key" if len(clip) == 1 else "keys"
        context.studio.show(commands.say, f"Copied {len(clip)} {noun}; paste them at the playhead.")


def paste(context: EditorContext) -> None:
    if context.clip is not None:
        edit(context, "paste keys", block_edits.paste_keys, context.clip, frame_shown(context.studio.state))


def key_pose(context: EditorContext) -> None:
    vertices = block_edits.shown_vertices(context.studio.state)
    if vertices is not None:
        edit(context, "key the pose", block_edits.key_pose, vertices)


def key_rest(context: EditorContext) -> None:
    source = context.studio.state.document.source
    if source is not None:
        edit(context, "key the rest pose", block_edits.key_pose, source.vertices)


def shift(by: int) -> Run:
    def run(context: EditorContext) -> None:
        keys = selection.keys_to_edit(context.studio.state)
        edit(context, "move keys", block_edits.shift_keys, keys, by)

    return run


def scale(factor: float) -> Run:
    """Scales keys about the first one, so that the motion keeps its start; a reversal is about the middle."""

    def run(context: EditorContext) -> None:
        keys = selection.keys_to_edit(context.studio.state)
        frames = [frame for _, frame in keys]
        if factor > 0:
            edit(context, "scale keys", block_edits.scale_keys, keys, factor, min(frames))
        else:
            about = (min(frames) + max(frames)) / 2
            edit(context, "reverse keys", block_edits.scale_keys, keys, factor, about)

    return run


def mirror(context: EditorContext) -> None:
    edit(context, "mirror", block_edits.mirrored_keys)


def switch(name: str) -> tuple[Run, Callable[[EditorContext], bool]]:
    """A command that switches a field of the view, and a function that tells whether it is on."""

    def run(context: EditorContext) -> None:
        context.studio.show(commands.with_view, **{name: not getattr(context.studio.state.view, name)})

    return run, lambda context: bool(getattr(context.studio.state.view, name))


def box_select(context: EditorContext) -> None:
    context.mouse.box_next = True
    context.studio.show(commands.say, "Draw a box around the handles to select.")


def circle_region(context: EditorContext) -> None:
    context.mouse.lasso_next = True
    context.studio.show(commands.say, CIRCLE)


def paint_region(context: EditorContext) -> None:
    mouse = context.mouse
    mouse.brush, mouse.lasso_next = not mouse.brush, False
    away = context.keys_text("escape") or "the same command"
    context.studio.show(commands.say, PAINT.format(away) if mouse.brush else "The brush is put away.")


def brush_size(steps: float) -> Run:
    return lambda context: resize(context, steps)


def dissolve(context: EditorContext) -> None:
    edit(context, "dissolve region", regions.dissolve, selection.chosen_rows(context.studio.state))


def undo_label(context: EditorContext) -> str:
    past = context.studio.session.past
    return f"Undo {past[-1].label}" if past else "Undo"


def redo_label(context: EditorContext) -> str:
    future = context.studio.session.future
    return f"Redo {future[-1].label}" if future else "Redo"


def up(axis: str) -> tuple[Run, Callable[[EditorContext], bool]]:
    def on(context: EditorContext) -> bool:
        source = context.studio.state.document.source
        return source is not None and source.up_axis == axis

    return lambda context: edit(context, "up axis", set_up_axis, axis), on


def put_on(snap: Snap) -> Run:
    def run(context: EditorContext) -> None:
        rows = selection.chosen_rows(context.studio.state)
        shape = block_edits.shown_vertices(context.studio.state)
        if shape is not None:
            edit(context, f"put on {snapping.NAMES[snap]}", snapping.put_on, rows, snap, shape)

    return run


def snap_to(snap: Snap) -> tuple[Run, Callable[[EditorContext], bool]]:
    return show(commands.with_view, snap=snap), lambda context: context.studio.state.view.snap == snap


def speed(value: float) -> tuple[Run, Callable[[EditorContext], bool]]:
    return show(commands.with_view, speed=value), lambda context: context.studio.state.view.speed == value


def look(yaw: float, pitch: float) -> Run:
    def run(context: EditorContext) -> None:
        context.viewport.camera = context.viewport.camera.turned(yaw, pitch)

    return run


def look_at_side(side: Side) -> Run:
    """Look at a side of the creature; along an axis if its heading is unknown."""
    return lambda context: look(yaw_of_side(side, facing_of(context)), 0.0)(context)


def side_title(side: Side, axis: str) -> Callable[[EditorContext], str]:
    return lambda context: side.capitalize() if facing_of(context) is not None else f"{side.capitalize()} (from {axis})"


def facing_of(context: EditorContext) -> float | None:
    """The yaw in degrees that the creature faces."""
    source, heading = context.studio.state.document.source, context.studio.heading
    return None if source is None or heading is None else facing_yaw(source, heading)


def flat(context: EditorContext) -> None:
    camera = context.viewport.camera
    context.viewport.camera = replace(camera, flat=not camera.flat)


def frame_chosen(context: EditorContext) -> None:
    """Frame the selected handles, their keys and their surroundings."""
    state, viewport = context.studio.state, context.viewport
    if viewport.norm is None or not viewport.figures:
        return
    shape, handles = viewport.figures[0].positions, state.document.handles
    rows = selection.chosen_rows(state)
    places = [shape[handles[row].vertex] for row in rows] + [p for row in rows for p in handles[row].keys.values()]
    points = viewport.norm.apply(np.array(places, dtype=np.float64))
    viewport.frame(points.min(0) - AROUND, points.max(0) + AROUND)


def escape(context: EditorContext) -> None:
    """Close, cancel or deselect only one thing: the topmost."""
    mouse = context.mouse
    if mouse.box_next or mouse.lasso_next or mouse.brush:
        mouse.box_next = mouse.lasso_next = mouse.brush = False
    elif context.motions_open:
        context.motions_open = False
    elif context.help_open:
        context.help_open = False
    elif context.studio.state.job is not None:
        context.studio.cancel()
    else:
        context.studio.show(selection.choose_nothing)


def to_last(context: EditorContext) -> None:
    context.studio.show(commands.set_time, float(context.studio.state.document.frames - 1))


def help(context: EditorContext) -> None:
    context.help_open = not context.help_open


def go_to_frame(context: EditorContext) -> None:
    context.focus_frame = True


def star(context: EditorContext) -> None:
    context.studio.show(result_commands.toggle_star, context.studio.state.view.solo)


def is_starred(context: EditorContext) -> bool:
    return mark_of(context.studio.state.results, context.studio.state.view.solo).star


def name_result(context: EditorContext) -> None:
    context.menu_asked = "result"  # its first line is the name


def delete_result(context: EditorContext) -> None:
    context.studio.show(result_commands.delete_results, (context.studio.state.view.solo,))


def delete_others(context: EditorContext) -> None:
    context.studio.show(result_commands.delete_results, result_commands.others_of(context.studio.state))


def result_as_keys(context: EditorContext) -> None:
    edit(context, "make keys of a result", key_fitting.result_as_keys, context.studio.state.view.solo)


def toggle_pin(context: EditorContext) -> None:
    handles, rows = context.studio.state.document.handles, selection.chosen_rows(context.studio.state)
    if rows:
        pinned = not all(handles[row].pinned for row in rows)
        edit(context, "pin" if pinned else "unpin", block_edits.pin_handles, rows, pinned)


def offer_clips(context: EditorContext) -> None:
    context.studio.offered = context.studio.state.document.source


def pin_from_here(context: EditorContext) -> None:
    rows, shape = selection.chosen_rows(context.studio.state), block_edits.shown_vertices(context.studio.state)
    if shape is not None:
        edit(context, "pin from here", pin_commands.pin_from_here, rows, shape)


def let_go_here(context: EditorContext) -> None:
    edit(context, "let go", pin_commands.let_go_here, selection.chosen_rows(context.studio.state))


def remove_pins(context: EditorContext) -> None:
    edit(context, "remove pin", pin_commands.remove_pins, selection.chosen_rows(context.studio.state))


def free_turn(context: EditorContext) -> None:
    edit(context, "free to turn", turning.remove_turns, selection.keys_to_edit(context.studio.state))


def ease(kind: str) -> tuple[Run, Callable[[EditorContext], bool]]:
    """Set the easing of the selected keys; an empty kind makes the motion free."""
    easing = None if not kind else easing_from(kind)

    def run(context: EditorContext) -> None:
        keys = selection.keys_to_edit(context.studio.state)
        edit(context, "easing", pin_commands.set_easing, keys, easing)

    def on(context: EditorContext) -> bool:
        keys = selection.chosen_keys(context.studio.state)
        now = pin_commands.easing_of(context.studio.state, keys[0]) if keys else None
        return bool(keys) and ("" if now is None else now.kind) == kind

    return run, on
