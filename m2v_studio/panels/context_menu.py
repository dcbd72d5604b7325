"""The menu of a right click, in the view and in the timeline."""

from __future__ import annotations

from m2v_studio.context import EditorContext
from m2v_studio.view.menus import IN_TIMELINE, IN_VIEW, draw_entries
from m2v_studio.view.widgets import right_click_menu

PLACES = {"view": IN_VIEW, "timeline": IN_TIMELINE}


def draw(context: EditorContext) -> None:
    """Open the menu requested by a right click, and draw it while open."""
    for place, entries in PLACES.items():
        with right_click_menu(place, context.take_menu(place)) as opened:
            if opened:
                draw_entries(context, entries)
