"""The table of all commands, from which menus, shortcuts and the F1 list are made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from m2v_studio.context import EditorContext
from m2v_studio.document import commands, result_commands, selection
from m2v_studio.document.facing import Side
from m2v_studio.document.scan_document import UP_AXES
from m2v_studio.document.snapping import NAMES, SNAPS
from m2v_studio.document.state import SPEEDS, State, why_not_generate, why_not_play, why_not_results, why_not_rig
from m2v_studio.view import action_reasons as reasons
from m2v_studio.view import action_runs as runs
from m2v_studio.view.action_runs import Run
from m2v_studio.view.camera import Camera
from m2v_studio.view.keymap import Chord, held_modifiers, parsed
from m2v_studio.view.widgets import escape_pressed


def possible(_: State) -> str:
    """For commands that are always available."""
    return ""


def off(_: EditorContext) -> bool:
    return False


@dataclass(frozen=True)
class EditorAction:
    """A command. `why` returns the reason why it is unavailable, or an empty string; `on` whether a switch is on."""

    name: str  # in the user's keys file
    title: str
    group: str
    keys: tuple[Chord, ...]
    run: Run
    why: Callable[[EditorContext], str]
    on: Callable[[EditorContext], bool]
    about: str = ""
    repeat: bool = False  # repeats while the key is held
    label: Callable[[EditorContext], str] | None = None  # a menu's label instead of the title


# ---- the table --------------------------------------------------------------------------------------------


def _action(
    name: str,
    title: str,
    group: str,
    keys: str,
    run: Run,
    on: Callable[[EditorContext], bool] = off,
    why: Callable[[State], str] = possible,
    why_here: Callable[[EditorContext], str] | None = None,
    **more: Any,
) -> EditorAction:
    """`why` gives the reason against it from the state alone; `why_here` from the whole context."""
    chords = parsed(keys.split("  ")) if keys else ()
    return EditorAction(
        name, title, group, chords, run, why_here or (lambda context: why(context.studio.state)), on, **more
    )


def _solo(row: int) -> EditorAction:
    def why(state: State) -> str:
        results = state.results
        return "" if results is not None and row < len(results.samples.samples) else "There is no such result."

    show, number = runs.show(commands.solo, row), str(row + 1)
    return _action(f"result_{number}", f"Result {number} alone", "Results", number, show, why=why)


KEYS = "Handles and keys"
EASINGS = (
    ("", "Free"),
    ("linear", "Straight"),
    ("smooth", "Gently"),
    ("hold", "Stay, then jump"),
    ("overshoot", "Past it and back"),
)
SIDE_VIEWS: tuple[tuple[str, Side, str, str], ...] = (
    ("front", "front", "Numpad 1", "+Z"),
    ("behind", "back", "Ctrl+Numpad 1", "-Z"),
    ("right", "right", "Numpad 3", "+X"),
    ("left", "left", "Ctrl+Numpad 3", "-X"),
)
RING = "A ring around the selected handle that turns what surrounds it, such as a head. The move gizmo adds the axes."
REGION = "Draw a line around a part of the shape, such as a head; it then moves and turns as one rigid handle."
PAINT = "Brush over a part of the shape; it grows the selected region, or makes a new one. Hidden parts are left out."
DISSOLVE = "Keeps only the handle in its middle; what surrounds it can bend again."
FREE_TURN = "The selected keys fix where the handle is, but no longer how it is turned."
PIN = "The selected handles stay where they are from the playhead to their next key, as standing feet do."
POSE = "Write keys at the playhead where the selected handles (or all) are now, so that this pose stays."
REST = "Write keys at the playhead that bring the selected handles (or all) back to the rest pose."
AS_KEYS = "Replace the handles by a few keys that follow this motion, to be edited like any others."
RIG = "Write bones, smooth weights and a few editable rotation keys instead of every vertex of every frame."
OTHERS = "Every result without a star; if none has one, all but the one shown."
MOTIONS = "The bank of motions that results borrow from: switch parts on and off, and add files of your own."
MIRROR = "Gives the handles on the other side the mirrored motion, adding those that are missing."
CLIPS = "Take an animation that the mesh's own file holds as keys, as a reference, or into your motions."

ACTIONS: tuple[EditorAction, ...] = (
    _action("open", "Open…", "Files", "Ctrl+O", lambda context: context.ask_open()),
    _action("open_scans", "Open scans…", "Files", "Ctrl+Shift+O", lambda context: context.ask_open_scans()),
    _action("save", "Save project", "Files", "Ctrl+S", lambda context: context.save(), why=reasons.not_open),
    _action("save_as", "Save project as…", "Files", "", lambda context: context.save(choose=True),
            why=reasons.not_open),
    _action("export", "Export…", "Files", "Ctrl+E", lambda context: context.open_export(), why=why_not_results),
    _action("export_rig", "Export as a rig…", "Files", "", lambda context: context.open_export(rig=True),
            why=why_not_rig, about=RIG),
    _action("render", "Render…", "Files", "Ctrl+R", lambda context: context.open_render(), why=why_not_results),
    _action("quit", "Quit", "Files", "Ctrl+Q", lambda context: context.ask_quit()),
    _action("help", "Keyboard and mouse", "Files", "F1", runs.help),
    _action("undo", "Undo", KEYS, "Ctrl+Z", lambda c: c.studio.session.undo(), label=runs.undo_label,
            why_here=lambda c: "" if c.studio.session.past else "Nothing to undo."),
    _action("redo", "Redo", KEYS, "Ctrl+Shift+Z  Ctrl+Y", lambda c: c.studio.session.redo(), label=runs.redo_label,
            why_here=lambda c: "" if c.studio.session.future else "Nothing to redo."),
    _action("key_pose", "Key the pose as it is", KEYS, "K", runs.key_pose, why=reasons.no_pose, about=POSE),
    _action("key_rest", "Key the rest pose", KEYS, "Shift+K", runs.key_rest, why=reasons.no_pose, about=REST),
    _action("copy", "Copy keys", KEYS, "Ctrl+C", runs.copy, why=reasons.no_keys),
    _action("paste", "Paste keys at the playhead", KEYS, "Ctrl+V", runs.paste, why_here=reasons.no_clip),
    _action("delete", "Delete keys or handles", KEYS, "Del  Backspace", lambda c: c.studio.delete_selected(),
            why=reasons.none_chosen),
    _action("mirror", "Mirror to the other side", KEYS, "Ctrl+M", runs.mirror, why=reasons.no_handles, about=MIRROR),
    *(
        _action(f"up_{axis}", f"{axis.upper()} is up", KEYS, "", *runs.up(axis),
                why=reasons.no_mesh, about="Which way is up in the mesh's file.")
        for axis in UP_AXES
    ),
    _action("circle_region", "Circle a region", KEYS, "C", runs.circle_region, about=REGION, why=reasons.no_mesh),
    _action("paint_region", "Paint a region", KEYS, "Shift+C", runs.paint_region, about=PAINT, why=reasons.no_mesh,
            on=lambda c: c.mouse.brush),
    _action("larger_brush", "Larger brush", KEYS, "]", runs.brush_size(2.0), repeat=True),
    _action("smaller_brush", "Smaller brush", KEYS, "[", runs.brush_size(-2.0), repeat=True),
    _action("dissolve", "Dissolve the region", KEYS, "", runs.dissolve, about=DISSOLVE, why=reasons.no_region),
    _action("cut_by_box", "Cut by the box", "Scans", "", lambda c: c.cut_by_box(), why=reasons.no_points,
            about="Cut off all points outside the box."),
    _action("cut_by_masks", "Cut by masks…", "Scans", "", lambda c: c.ask_masks(), why=reasons.no_depth,
            about="A black-and-white image for each depth map."),
    _action("whole_scans", "Whole scans again", "Scans", "", lambda c: c.whole_scans(), why=reasons.not_cut),
    _action("pin_from_here", "Pin from here", KEYS, "H", runs.pin_from_here, why=reasons.none_chosen, about=PIN),
    _action("let_go", "Let go here", KEYS, "Shift+H", runs.let_go_here, why=reasons.no_range),
    _action("remove_pins", "Remove the pins", KEYS, "", runs.remove_pins, why=reasons.no_range),
    *(
        _action(f"ease_{kind or 'free'}", title, "Easing", "", *runs.ease(kind), why=reasons.no_keys)
        for kind, title in EASINGS
    ),
    _action("free_turn", "Let it turn freely", KEYS, "", runs.free_turn, why=reasons.no_turns, about=FREE_TURN),
    _action("pin", "Pin or unpin", KEYS, "P", runs.toggle_pin, why=reasons.none_chosen),
    _action("earlier", "One frame earlier", KEYS, "Alt+Left", runs.shift(-1), why=reasons.no_keys, repeat=True),
    _action("later", "One frame later", KEYS, "Alt+Right", runs.shift(1), why=reasons.no_keys, repeat=True),
    _action("half_as_long", "Half as long", KEYS, "", runs.scale(0.5), why=reasons.no_keys),
    _action("three_quarters", "Three quarters as long", KEYS, "", runs.scale(0.75), why=reasons.no_keys),
    _action("half_longer", "Half as long again", KEYS, "", runs.scale(1.5), why=reasons.no_keys),
    _action("twice_as_long", "Twice as long", KEYS, "", runs.scale(2.0), why=reasons.no_keys),
    _action("reverse", "Reverse", KEYS, "", runs.scale(-1.0), why=reasons.no_keys),
    _action("choose_all", "Select all", "Selecting", "Ctrl+A", runs.show(selection.choose_all), why=reasons.no_handles),
    _action("choose_none", "Deselect all", "Selecting", "", runs.show(selection.choose_nothing)),
    _action("choose_box", "Box select", "Selecting", "B", runs.box_select, why=reasons.no_handles),
    _action("escape", "Close, cancel, deselect", "Selecting", "Esc", runs.escape),
    _action("frame_all", "Frame the creature", "View", "F", lambda context: context.viewport.forget_framing()),
    _action("frame_chosen", "Frame the selection", "View", "Shift+F  Numpad .", runs.frame_chosen,
            why=reasons.none_chosen),
    *(
        _action(name, side.capitalize(), "View", keys, runs.look_at_side(side), label=runs.side_title(side, axis),
                about="The creature's own sides where its front is known; otherwise along the axes.")
        for name, side, keys, axis in SIDE_VIEWS
    ),
    _action("above", "Top (from +Y)", "View", "Numpad 7", runs.look(0.0, 90.0)),
    _action("aslant", "Default view", "View", "Numpad 0", runs.look(Camera.yaw, Camera.pitch)),
    _action("flat", "Orthographic", "View", "Numpad 5", runs.flat, on=lambda c: c.viewport.camera.flat,
            about="No perspective: distance does not change size."),
    *(
        _action(f"put_on_{snap}", f"Put on the {NAMES[snap]}" if snap != "vertex" else "Put on the nearest vertex",
                "Places", "", runs.put_on(snap), why=reasons.no_put)
        for snap in SNAPS[1:]
    ),
    *(
        _action(f"snap_{snap}", f"Snap to {NAMES[snap]}", "Places", "", *runs.snap_to(snap))
        for snap in SNAPS
    ),
    _action("gizmo", "Move gizmo", "View", "W", *runs.switch("gizmo")),
    _action("ring", "Turn ring", "View", "R", *runs.switch("ring"), about=RING),
    _action("play", "Play or pause", "Playing", "Space", lambda context: context.studio.play(), why=why_not_play),
    _action("back", "One frame back", "Playing", ",", runs.show(commands.step_frame, -1), repeat=True),
    _action("forward", "One frame forward", "Playing", ".", runs.show(commands.step_frame, 1), repeat=True),
    _action("first_frame", "First frame", "Playing", "Home", runs.show(commands.set_time, 0.0)),
    _action("last_frame", "Last frame", "Playing", "End", runs.to_last),
    _action("go_to_frame", "Go to a frame", "Playing", "G", runs.go_to_frame),
    _action("repeat", "Repeat", "Playing", "L", *runs.switch("loop")),
    *(
        _action(f"speed_{speed:g}", f"At {speed:g}x", "Playing", "", *runs.speed(speed))
        for speed in SPEEDS
    ),
    _action("generate", "Generate", "Results", "Ctrl+Enter  Ctrl+Numpad Enter", lambda c: c.studio.generate(),
            why=why_not_generate),
    _action("motions", "Motions…", "Results", "", lambda context: context.open_motions(), about=MOTIONS),
    _action("clips", "Animations of the file…", "Results", "", runs.offer_clips, about=CLIPS, why=reasons.no_clips),
    _action("side_by_side", "Side by side", "Results", "S  0", runs.show(commands.set_layout, "side"),
            why=reasons.one_result),
    _action("overlay", "Overlay", "Results", "O", runs.show(commands.set_layout, "overlay"), why=reasons.one_result),
    _action("star", "Keep with a star", "Results", "X", runs.star, why=why_not_results, on=runs.is_starred),
    _action("name_result", "Name…", "Results", "F2", runs.name_result, why=why_not_results),
    _action("result_as_keys", "Make this result my keys", "Results", "", runs.result_as_keys, about=AS_KEYS,
            why=reasons.no_motion),
    _action("delete_result", "Delete this result", "Results", "Shift+Del", runs.delete_result, why=why_not_results),
    _action("delete_others", "Delete the others", "Results", "", runs.delete_others, about=OTHERS,
            why=reasons.no_others),
    _action("bring_back", "Bring back deleted results", "Results", "", runs.show(result_commands.bring_back),
            why=reasons.nothing_removed),
    *(_solo(row) for row in range(9)),
)  # fmt: skip
BY_NAME = {action.name: action for action in ACTIONS}
ESC = Chord("Esc")


def do_pressed(context: EditorContext, typing: bool = False) -> None:
    """Run the command of a key pressed in this frame, or say why it cannot run; only function keys while `typing`."""
    held = held_modifiers()
    for action in ACTIONS:
        for chord in context.keys.get(action.name, ()):
            if chord.modifiers != held or (typing and not chord.is_function_key) or not chord.pressed(action.repeat):
                continue
            if chord == ESC and not escape_pressed():
                return
            why = action.why(context)
            if why:
                context.studio.show(commands.say, why)
            else:
                action.run(context)
            return
