"""The menu of a right click, in the view and in the timeline."""

from __future__ import annotations

import polyscope.imgui as psim

from m2v_studio.context import EditorContext
from m2v_studio.view.menus import IN_TIMELINE, IN_VIEW, draw_entries
from m2v_studio.view.widgets import popup, scale

PLACES = {"view": IN_VIEW, "timeline": IN_TIMELINE}


def draw(context: EditorContext) -> None:
    """Open the menu requested by a right click, and draw it while open."""
    s = scale()
    psim.PushStyleVar(psim.ImGuiStyleVar_WindowPadding, (10 * s, 8 * s))
    psim.PushStyleVar(psim.ImGuiStyleVar_ItemSpacing, (8 * s, 7 * s))
    for place, entries in PLACES.items():
        if context.menu_asked == place:
            psim.OpenPopup(f"##menu {place}")
            context.menu_asked = ""
        with popup(f"##menu {place}") as opened:
            if opened:
                draw_entries(context, entries)
    psim.PopStyleVar(2)
