"""Every command a key or a menu can give, in one table: menus, shortcuts and the list under F1 are made from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from m2v_studio.context import EditorContext
from m2v_studio.document import block_edits, commands, selection
from m2v_studio.document.state import State, frame_shown, is_open, why_not_generate, why_not_play, why_not_results
from m2v_studio.view.keymap import Chord, parsed
from m2v_studio.view.widgets import escape_pressed

Run = Callable[[EditorContext], None]
NO_KEY = "Choose a key in the timeline, or a handle that has keys, first."
NO_HANDLE = "Choose a handle first."
NO_HANDLES = "Click the creature to add a handle first."
NOT_OPEN = "Open a mesh or scans first."


def possible(_: EditorContext) -> str:
    """For what can always be done."""
    return ""


def off(_: EditorContext) -> bool:
    return False


@dataclass(frozen=True)
class Action:
    """`why` is empty when it can be done now, else a sentence; `on` tells whether a switch is on."""

    name: str  # in the file of the user's own keys
    title: str
    group: str
    keys: tuple[Chord, ...]
    run: Run
    why: Callable[[EditorContext], str] = possible
    about: str = ""
    on: Callable[[EditorContext], bool] = off
    repeat: bool = False  # again and again while the key is held
    label: Callable[[EditorContext], str] | None = None  # what a menu says instead of the title


def chords_of(context: EditorContext, action: Action) -> tuple[Chord, ...]:
    """The keys of a command: the user's own, else the ones it comes with that are not used for something else."""
    if action.name in context.bindings:
        return context.bindings[action.name]
    taken = {chord for chords in context.bindings.values() for chord in chords}
    return tuple(chord for chord in action.keys if chord not in taken)


def keys_text(context: EditorContext, action: Action) -> str:
    return "  ".join(str(chord) for chord in chords_of(context, action))


# ---- edits that are followed by a draft -------------------------------------------------------------------


def _edit(context: EditorContext, label: str, command: Callable[..., State], *args: Any) -> None:
    context.studio.do(label, command, *args)
    context.studio.request_draft()


def _show(command: Callable[..., State], *args: Any, **kwargs: Any) -> Run:
    return lambda context: context.studio.show(command, *args, **kwargs)


def _copy(context: EditorContext) -> None:
    clip = block_edits.copied(context.studio.state)
    if clip is not None:
        context.clip = clip
        noun = "key" if len(clip) == 1 else "keys"
        context.studio.show(commands.say, f"Copied {len(clip)} {noun}; paste them where the playhead stands.")


def _paste(context: EditorContext) -> None:
    if context.clip is not None:
        _edit(context, "paste keys", block_edits.paste_keys, context.clip, frame_shown(context.studio.state))


def _key_pose(context: EditorContext) -> None:
    vertices = block_edits.shown_vertices(context.studio.state)
    if vertices is not None:
        _edit(context, "key the pose", block_edits.key_pose, vertices)


def _key_rest(context: EditorContext) -> None:
    source = context.studio.state.document.source
    if source is not None:
        _edit(context, "key the rest pose", block_edits.key_pose, source.vertices)


def _shift(by: int) -> Run:
    def run(context: EditorContext) -> None:
        keys = selection.keys_in_hand(context.studio.state)
        _edit(context, "move keys", block_edits.shift_keys, keys, by)

    return run


def _scale(factor: float) -> Run:
    """About the first key, so that a motion goes on starting where it starts; turned round, about the middle."""

    def run(context: EditorContext) -> None:
        keys = selection.keys_in_hand(context.studio.state)
        frames = [frame for _, frame in keys]
        if factor > 0:
            _edit(context, "scale keys", block_edits.scale_keys, keys, factor, min(frames))
        else:
            about = (min(frames) + max(frames)) / 2
            _edit(context, "reverse keys", block_edits.scale_keys, keys, factor, about)

    return run


def _mirror(context: EditorContext) -> None:
    _edit(context, "mirror", block_edits.mirrored_keys)


def _switch(name: str) -> tuple[Run, Callable[[EditorContext], bool]]:
    """A command that turns a field of the view on and off, and whether it is on."""

    def run(context: EditorContext) -> None:
        context.studio.show(commands.with_view, **{name: not getattr(context.studio.state.view, name)})

    return run, lambda context: bool(getattr(context.studio.state.view, name))


def _box_select(context: EditorContext) -> None:
    context.mouse.box_next = True
    context.studio.show(commands.say, "Draw a box around the handles to choose.")


def _undo_label(context: EditorContext) -> str:
    past = context.studio.session.past
    return f"Undo {past[-1].label}" if past else "Undo"


def _redo_label(context: EditorContext) -> str:
    future = context.studio.session.future
    return f"Redo {future[-1].label}" if future else "Redo"


# ---- why not ----------------------------------------------------------------------------------------------


def _of_state(why: Callable[[State], str]) -> Callable[[EditorContext], str]:
    return lambda context: why(context.studio.state)


def _no_keys(state: State) -> str:
    return "" if selection.keys_in_hand(state) else NO_KEY


def _none_chosen(state: State) -> str:
    return "" if selection.chosen_rows(state) else NO_HANDLE


def _no_handles(state: State) -> str:
    return "" if state.document.handles else NO_HANDLES


def _no_pose(state: State) -> str:
    if not state.document.handles:
        return NO_HANDLES
    if not block_edits.rows_to_key(state):
        return "Pinned handles have no keys; unpin one first."
    return block_edits.REST_FRAME if frame_shown(state) == 0 else ""


def _no_clip(context: EditorContext) -> str:
    if context.clip is None:
        return "Copy keys first."
    return "" if context.clip.source is context.studio.state.document.source else "These keys are of another mesh."


def _not_open(state: State) -> str:
    return "" if is_open(state.document) else NOT_OPEN


def _one_result(state: State) -> str:
    several = state.results is not None and len(state.results.samples.samples) > 1
    return why_not_results(state) or ("" if several else "There is only one result; generate more.")


# ---- the table --------------------------------------------------------------------------------------------


def _action(name: str, title: str, group: str, keys: str, run: Run, **more: Any) -> Action:
    return Action(name, title, group, parsed(keys.split("  ")) if keys else (), run, **more)


def _escape(context: EditorContext) -> None:
    """Close what is on top, nothing else."""
    if context.mouse.box_next:
        context.mouse.box_next = False
    elif context.help_open:
        context.help_open = False
    elif context.studio.state.job is not None:
        context.studio.cancel()
    else:
        context.studio.show(selection.choose_nothing)


def _to_last(context: EditorContext) -> None:
    context.studio.show(commands.set_time, float(context.studio.state.document.frames - 1))


def _help(context: EditorContext) -> None:
    context.help_open = not context.help_open


def _go_to_frame(context: EditorContext) -> None:
    context.focus_frame = True


def _solo(row: int) -> Action:
    def why(context: EditorContext) -> str:
        results = context.studio.state.results
        return "" if results is not None and row < len(results.samples.samples) else "There is no such result."

    keys = str(row + 1)
    return _action(f"result_{row + 1}", f"Result {row + 1} alone", "Results", keys, _show(commands.solo, row), why=why)


_open, _handles, _play, _results = _of_state(_not_open), _of_state(_no_handles), _of_state(why_not_play), "Results"
_keys, _pose, _chosen = _of_state(_no_keys), _of_state(_no_pose), _of_state(_none_chosen)
_gizmo, _repeat = _switch("gizmo"), _switch("loop")
POSE = "Write keys at the playhead where the chosen handles (or all) are now, so that this pose stays."
REST = "Write keys at the playhead that bring the chosen handles (or all) back to the rest pose."
MIRROR = "The handles on the other side do the same, mirrored; handles that are missing there are added."

ACTIONS: tuple[Action, ...] = (
    _action("open", "Open…", "Files", "Ctrl+O", lambda context: context.ask_open()),
    _action("open_scans", "Open scans…", "Files", "Ctrl+Shift+O", lambda context: context.ask_open_scans()),
    _action("save", "Save project", "Files", "Ctrl+S", lambda context: context.save(), why=_open),
    _action("save_as", "Save project as…", "Files", "", lambda context: context.save(choose=True), why=_open),
    _action(
        "export", "Export…", "Files", "Ctrl+E", lambda context: context.open_export(), why=_of_state(why_not_results)
    ),
    _action("quit", "Quit", "Files", "Ctrl+Q", lambda context: context.ask_quit()),
    _action("help", "Keyboard and mouse", "Files", "F1", _help),
    _action("undo", "Undo", "Handles and keys", "Ctrl+Z", lambda c: c.studio.session.undo(), label=_undo_label,
            why=lambda c: "" if c.studio.session.past else "Nothing to undo."),
    _action("redo", "Redo", "Handles and keys", "Ctrl+Shift+Z  Ctrl+Y", lambda c: c.studio.session.redo(),
            label=_redo_label, why=lambda c: "" if c.studio.session.future else "Nothing to redo."),
    _action("key_pose", "Key the pose as it is", "Handles and keys", "K", _key_pose, why=_pose, about=POSE),
    _action("key_rest", "Key the rest pose", "Handles and keys", "Shift+K", _key_rest, why=_pose, about=REST),
    _action("copy", "Copy keys", "Handles and keys", "Ctrl+C", _copy, why=_keys),
    _action("paste", "Paste keys at the playhead", "Handles and keys", "Ctrl+V", _paste, why=_no_clip),
    _action("delete", "Delete keys or handles", "Handles and keys", "Del  Backspace",
            lambda c: c.studio.delete_selected(), why=_chosen),
    _action("mirror", "Mirror to the other side", "Handles and keys", "Ctrl+M", _mirror, why=_handles, about=MIRROR),
    _action("pin", "Pin or unpin", "Handles and keys", "P", lambda c: c.studio.toggle_pin(), why=_chosen),
    _action("earlier", "One frame earlier", "Handles and keys", "Alt+Left", _shift(-1), why=_keys, repeat=True),
    _action("later", "One frame later", "Handles and keys", "Alt+Right", _shift(1), why=_keys, repeat=True),
    _action("half_as_long", "Half as long", "Handles and keys", "", _scale(0.5), why=_keys),
    _action("three_quarters", "Three quarters as long", "Handles and keys", "", _scale(0.75), why=_keys),
    _action("half_longer", "Half as long again", "Handles and keys", "", _scale(1.5), why=_keys),
    _action("twice_as_long", "Twice as long", "Handles and keys", "", _scale(2.0), why=_keys),
    _action("reverse", "Back to front", "Handles and keys", "", _scale(-1.0), why=_keys),
    _action("choose_all", "Choose all", "Choosing", "Ctrl+A", _show(selection.choose_all), why=_handles),
    _action("choose_none", "Choose nothing", "Choosing", "", _show(selection.choose_nothing)),
    _action("choose_box", "Choose by a box", "Choosing", "B", _box_select, why=_handles),
    _action("escape", "Close, cancel, choose nothing", "Choosing", "Esc", _escape),
    _action("frame_all", "Frame the creature", "View", "F", lambda context: context.viewport.forget_framing()),
    _action("gizmo", "Move gizmo", "View", "W", _gizmo[0], on=_gizmo[1]),
    _action("play", "Play or pause", "Playing", "Space", lambda context: context.studio.play(), why=_play),
    _action("back", "One frame back", "Playing", ",", _show(commands.step_frame, -1), repeat=True),
    _action("forward", "One frame forward", "Playing", ".", _show(commands.step_frame, 1), repeat=True),
    _action("first_frame", "First frame", "Playing", "Home", _show(commands.set_time, 0.0)),
    _action("last_frame", "Last frame", "Playing", "End", _to_last),
    _action("go_to_frame", "Go to a frame", "Playing", "G", _go_to_frame),
    _action("repeat", "Repeat", "Playing", "L", _repeat[0], on=_repeat[1]),
    _action("generate", "Generate", _results, "Ctrl+Enter  Ctrl+Numpad Enter", lambda c: c.studio.generate(),
            why=_of_state(why_not_generate)),
    _action("side_by_side", "Side by side", _results, "S  0", _show(commands.set_layout, "side"),
            why=_of_state(_one_result)),
    _action("overlay", "Overlay", _results, "O", _show(commands.set_layout, "overlay"), why=_of_state(_one_result)),
    *(_solo(row) for row in range(9)),
)  # fmt: skip
BY_NAME = {action.name: action for action in ACTIONS}


def do_pressed(context: EditorContext) -> None:
    """Run what a key pressed in this frame is bound to, or say why that cannot be done now."""
    for action in ACTIONS:
        if any(chord.pressed(action.repeat) for chord in chords_of(context, action)):
            if action.name == "escape" and not escape_pressed():
                return
            why = action.why(context)
            if why:
                context.studio.show(commands.say, why)
            else:
                action.run(context)
            return
