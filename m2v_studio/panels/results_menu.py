"""The menu of a result: star, name, turn into keys, delete it or the others."""

from __future__ import annotations

import math

import polyscope.imgui as psim

from m2v_studio.context import EditorContext
from m2v_studio.document import commands, result_commands
from m2v_studio.document.result_commands import mark_of
from m2v_studio.view import theme
from m2v_studio.view.menus import RESULT, draw_entries
from m2v_studio.view.style import packed
from m2v_studio.view.widgets import right_click_menu, scale, tooltip

STAR = "Keep this result when others are generated or deleted."
NAME = "A name for this result instead of its seed. Names of exported files keep the seed."


def star_button(context: EditorContext, row: int) -> None:
    """A clickable star, filled if the result is kept."""
    s = scale()
    x, y = psim.GetCursorScreenPos()
    size = psim.GetTextLineHeight()
    if psim.InvisibleButton(f"##star{row}", (size + 4 * s, size)):
        context.studio.show(result_commands.toggle_star, row)
    hovered = psim.IsItemHovered()
    tooltip(STAR)
    filled = mark_of(context.studio.state.results, row).star
    color = theme.ACCENT if filled or hovered else theme.BUTTON_ACTIVE
    _star(psim.GetWindowDrawList(), (x + size / 2 + 2 * s, y + size / 2 + s), 7.5 * s, packed(color), filled)


def ask_menu(context: EditorContext, row: int) -> None:
    """Open a result's menu on a right click."""
    context.studio.show(commands.solo, row)
    context.menu_asked = "result"


def draw_result_menu(context: EditorContext) -> None:
    """The menu of the shown result, once requested."""
    with right_click_menu("result", context.take_menu("result")) as opened:
        if opened:
            _name(context)
            draw_entries(context, RESULT)


def _name(context: EditorContext) -> None:
    state = context.studio.state
    psim.SetNextItemWidth(220 * scale())
    if psim.IsWindowAppearing():
        psim.SetKeyboardFocusHere()
    name = mark_of(state.results, state.view.solo).name
    entered, text = psim.InputTextWithHint("##result name", "name", name, psim.ImGuiInputTextFlags_EnterReturnsTrue)
    tooltip(NAME)
    if entered or (psim.IsItemDeactivatedAfterEdit() and text != name):
        context.studio.show(result_commands.name_result, state.view.solo, text)
    if entered:
        psim.CloseCurrentPopup()


def _star(draw: psim.ImDrawList, at: tuple[float, float], radius: float, color: int, filled: bool) -> None:
    def corner(index: int) -> tuple[float, float]:
        reach = radius if index % 2 == 0 else 0.42 * radius
        angle = math.pi * index / 5 - math.pi / 2
        return at[0] + reach * math.cos(angle), at[1] + reach * math.sin(angle)

    for index in range(10):
        if filled:
            draw.AddTriangleFilled(at, corner(index), corner(index + 1), color)
        else:
            draw.AddLine(corner(index), corner(index + 1), color, 1.3 * scale())
