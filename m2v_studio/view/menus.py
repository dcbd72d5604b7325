"""The commands in each menu, by name, and the drawing of menus.

The menus of a right click hold the same commands as the menu bar, so every command is in a menu.
"""

from __future__ import annotations

from dataclasses import dataclass

import polyscope.imgui as psim

from m2v_studio.context import EditorContext
from m2v_studio.document.state import SPEEDS
from m2v_studio.view.actions import BY_NAME
from m2v_studio.view.widgets import menu, tooltip


@dataclass(frozen=True)
class Submenu:
    title: str
    entries: tuple[Entry, ...]


Entry = str | Submenu | None  # a command, a menu in the menu, or a line between groups

RETIME = Submenu(
    "Keys in time",
    ("earlier", "later", None, "half_as_long", "three_quarters", "half_longer", "twice_as_long", "reverse"),
)
EASING = Submenu("To the next key", ("ease_free", "ease_linear", "ease_smooth", "ease_hold", "ease_overshoot"))
PINS = Submenu("Pins", ("pin_from_here", "let_go", "remove_pins"))
REGION = Submenu("Region", ("circle_region", "paint_region", None, "larger_brush", "smaller_brush", None, "dissolve"))
PUT_ON = Submenu("Put on", ("put_on_ground", "put_on_grid", "put_on_symmetry", "put_on_vertex"))
SNAP = Submenu("Snap", ("snap_none", "snap_ground", "snap_grid", "snap_symmetry", "snap_vertex"))
KEYS: tuple[Entry, ...] = (
    "key_pose",
    "key_rest",
    None,
    "copy",
    "paste",
    "delete",
    "mirror",
    RETIME,
    EASING,
    PUT_ON,
    "free_turn",
    None,
    REGION,
    PINS,
    "pin",
)
CHOOSE: tuple[Entry, ...] = ("choose_all", "choose_none", "choose_box")
FRAMING: tuple[Entry, ...] = ("frame_all", "frame_chosen")
SIDES = Submenu("Look", ("front", "behind", "right", "left", "above", "aslant", None, "flat"))

UP_AXIS = Submenu("Up axis", ("up_x", "up_y", "up_z"))
SCANS = Submenu("Scans", ("cut_by_box", "cut_by_masks", "whole_scans"))
SPEED = Submenu("Speed", tuple(f"speed_{speed:g}" for speed in SPEEDS))
RESULT: tuple[Entry, ...] = ("star", "result_as_keys", None, "delete_result", "delete_others", "bring_back")

MENUS: dict[str, tuple[Entry, ...]] = {
    "Edit": ("undo", "redo", None, *KEYS, SNAP, None, *CHOOSE, None, UP_AXIS, SCANS),
    "View": (*FRAMING, SIDES, "gizmo", "ring", None, "side_by_side", "overlay",
             Submenu("Results", tuple(f"result_{row}" for row in range(1, 10)))),
    "Motion": ("generate", "motions", "clips", None, "name_result", *RESULT, None, "play", "repeat", SPEED, None,
               "back", "forward", "first_frame", "last_frame", "go_to_frame"),
    "Help": ("help",),
}  # fmt: skip
FILE_FIRST: tuple[Entry, ...] = ("open", "open_scans")  # then the recent files
FILE_REST: tuple[Entry, ...] = ("save", "save_as", "export", "export_rig", "render", None, "quit")
IN_VIEW: tuple[Entry, ...] = (*KEYS, SNAP, None, *CHOOSE, None, *FRAMING, SIDES)
IN_TIMELINE: tuple[Entry, ...] = (*KEYS, None, *CHOOSE)


def draw_entries(context: EditorContext, entries: tuple[Entry, ...]) -> None:
    """Draw the lines of a menu; call it while the menu is open."""
    for entry in entries:
        if entry is None:
            psim.Separator()
        elif isinstance(entry, Submenu):
            with menu(entry.title) as opened:
                if opened:
                    draw_entries(context, entry.entries)
        else:
            draw_command(context, entry)


def draw_command(context: EditorContext, name: str) -> None:
    action = BY_NAME[name]
    why = action.why(context)
    title = action.title if action.label is None else action.label(context)
    if psim.MenuItem(title, context.keys_text(name, "  "), action.on(context), not why):
        action.run(context)
    tooltip(action.about, why)
