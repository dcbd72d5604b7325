"""F1: a searchable list of mouse gestures and keys."""

from __future__ import annotations

from functools import lru_cache

import polyscope.imgui as psim

from core.assets import config_folder
from m2v_studio.context import EditorContext
from m2v_studio.panels.dialogs import card, card_end, search_field
from m2v_studio.view import theme
from m2v_studio.view.actions import ACTIONS
from m2v_studio.view.keymap import FILE
from m2v_studio.view.style import rgba
from m2v_studio.view.widgets import heading, muted, scale

MOUSE: tuple[tuple[str, str, str], ...] = (  # group, gesture, meaning
    ("Mouse in the view", "Click", "add a handle"),
    ("Mouse in the view", "Shift+click", "pin a vertex; on a handle: select it too"),
    ("Mouse in the view", "Drag a handle", "write a key for all selected handles"),
    ("Mouse in the view", "Drag its ring", "turn what is around it; Shift: in steps of 15 degrees"),
    ("Mouse in the view", "Press with the brush", "paint a region; Ctrl takes away, the wheel changes the size"),
    ("Mouse in the view", "Drag beside it", "turn the view"),
    ("Mouse in the view", "Ctrl+drag", "select handles by a box"),
    ("Mouse in the view", "Right drag", "move the view"),
    ("Mouse in the view", "Right click", "menu of commands"),
    ("Mouse in the view", "Wheel", "come closer"),
    ("Mouse in the timeline", "Drag a key", "move it with all selected keys"),
    ("Mouse in the timeline", "Ctrl+drag a key", "copy it"),
    ("Mouse in the timeline", "Alt+drag a key", "scale the selected keys in time"),
    ("Mouse in the timeline", "Drag beside keys", "select keys by a box"),
    ("Mouse in the timeline", "Shift+click", "select one more"),
)
WIDTH, HEIGHT = 660.0, 470.0  # pixels at scale 1
COLUMN = 150.0
KEY_FILE = "One line for each command, as in\n  play: Space\n  key_pose: [K, F4]\n  overlay: []\nread at start."


def draw_help(context: EditorContext) -> None:
    """Draw the list in a non-modal window."""
    if not context.help_open:
        return
    with card("Keyboard and mouse", (WIDTH, HEIGHT), 190) as (width, height):
        context.help_words, left = search_field(
            context.help_words, "Search: copy, frame, Ctrl …", "Type what you want to do, or a key.", width
        )
        psim.BeginChild("##list", (width, height))
        _list(context, width)
        psim.EndChild()
        # A tooltip shows the full path, which can be long.
        where = str(config_folder() / FILE)
        close = context.with_keys("Close this list (Esc)", "help")
        if card_end(f"Keys of your own: {where}", f"{where}\n{KEY_FILE}", width, close) or left:
            context.help_open = False


def _list(context: EditorContext, width: float) -> None:
    groups: dict[str, list[tuple[str, str, str]]] = {}
    for group, keys, meaning, name in lines(context):
        if matches(context.help_words, group, keys, meaning, name):
            groups.setdefault(group, []).append((keys, meaning, name))
    if not groups:
        muted("Nothing matches.")
    s = scale()
    for group, found in groups.items():
        heading(group)
        for keys, meaning, name in found:
            start = psim.GetCursorPosX()
            psim.TextColored(rgba(theme.ACCENT if keys else theme.TEXT_MUTED), keys or "in the menu")
            psim.SameLine()
            psim.SetCursorPosX(start + COLUMN * s)
            psim.TextUnformatted(meaning)
            if name:
                psim.SameLine()
                psim.SetCursorPosX(start + width - psim.CalcTextSize(name)[0] - 22 * s)
                psim.TextColored(rgba(theme.TEXT_MUTED), name)
        psim.Dummy((1.0, 6 * s))


def lines(context: EditorContext) -> list[tuple[str, str, str, str]]:
    """All lines: group, keys, meaning and the command's name in the keys file."""
    mouse = [(group, keys, meaning, "") for group, keys, meaning in MOUSE]
    return mouse + [(act.group, context.keys_text(act.name, "  "), act.title.rstrip("…"), act.name) for act in ACTIONS]


@lru_cache(maxsize=2048)
def matches(words: str, *texts: str) -> bool:
    """True when every word is a part of one of the texts."""
    whole = " ".join(texts).lower()
    return all(word in whole for word in words.lower().split())
