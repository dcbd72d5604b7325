"""The list of handles, and the details of the selected one."""

from __future__ import annotations

import polyscope.imgui as psim

from core.sequence import Handle
from m2v_studio.context import EditorContext
from m2v_studio.document import commands, selection
from m2v_studio.document.names import handle_label
from m2v_studio.panels.place import PlaceFields, draw_snap
from m2v_studio.view import theme
from m2v_studio.view.region_tints import handle_color
from m2v_studio.view.style import packed
from m2v_studio.view.widgets import button, check_box, heading, muted, rule, same_line_if_fits, scale, shorten, tooltip

HOLD = "Move straight from key to key. Without it the motion is free between keys."
GIZMO = "Show arrows at the selected handle, to drag it along one axis"
TALL = 960.0  # pixels at scale 1: a window with room for a longer list
EMPTY = "Click the creature to add one. Shift-click pins a vertex where it is."


class HandlesPanel:
    """Has a fixed height, so that nothing below it moves under the mouse."""

    def __init__(self) -> None:
        self._followed: tuple[int | None, int] = (None, 0)  # the selected row and the number of rows in the last frame
        self._place = PlaceFields()

    def draw(self, context: EditorContext) -> None:
        document = context.studio.state.document
        heading(f"Handles   {len(document.handles)}" if document.handles else "Handles")
        psim.PushStyleVar(psim.ImGuiStyleVar_ItemSpacing, (6 * scale(), 2 * scale()))
        psim.BeginChild("##handles", (0.0, self._rows(context) * (psim.GetFrameHeight() + 2 * scale()) + 2 * scale()))
        if not document.handles:
            muted(EMPTY)
        for row in range(len(document.handles)):
            if row < len(context.studio.state.document.handles):
                self._line(context, row)
        psim.EndChild()
        psim.PopStyleVar()
        state = context.studio.state
        self._followed = (state.view.selected, len(state.document.handles))
        height = 5 * psim.GetFrameHeight() + 4 * psim.GetStyle().ItemSpacing[1] + 3 * scale()
        psim.BeginChild("##details", (0.0, height), 0, psim.ImGuiWindowFlags_NoScrollbar)
        if state.view.selected is not None and state.view.selected < len(state.document.handles):
            self._details(context, state.view.selected)
        elif document.handles:
            muted("Select one to rename, pin or delete it.")
        psim.EndChild()
        rule()

    def _rows(self, context: EditorContext) -> int:
        return 5 if context.window[1] > TALL * scale() else 3

    def _line(self, context: EditorContext, row: int) -> None:
        document, view = context.studio.state.document, context.studio.state.view
        handle = document.handles[row]
        s = scale()
        psim.PushID(f"handle{row}")
        size = (psim.GetContentRegionAvail()[0] - 30 * s, psim.GetFrameHeight())
        if psim.Selectable("##line", row in selection.chosen_rows(context.studio.state), 0, size):
            more = psim.GetIO().KeyCtrl or psim.GetIO().KeyShift
            context.studio.show(selection.toggle_handle if more else commands.select_handle, row)
        if psim.IsItemHovered() and psim.IsMouseReleased(1):
            if row not in selection.chosen_rows(context.studio.state):
                context.studio.show(commands.select_handle, row)
            context.menu_asked = "view"
        if view.selected == row and self._followed != (row, len(document.handles)):
            psim.SetScrollHereY()
        goes = commands.key_frame_for_drag(commands.set_time(context.studio.state, 0.0))
        tooltip(f"Vertex {handle.vertex}. Drag it in the view; at frame 0, dragging sets frame {goes}.")
        left, top = psim.GetItemRectMin()
        middle = top + (size[1] - psim.GetFontSize()) / 2
        draw = psim.GetWindowDrawList()
        draw.AddCircleFilled((left + 11 * s, top + size[1] / 2), 5.5 * s, packed(handle_color(handle)), 24)
        name = shorten(handle_label(document, row), size[0] - 110 * s)
        draw.AddText((left + 24 * s, middle), packed(theme.TEXT), name)
        text = _state_text(handle)
        at = left + size[0] - psim.CalcTextSize(text)[0] - 8 * s
        draw.AddText((at, middle), packed(theme.TEXT_MUTED), text)
        psim.SameLine()
        psim.PushStyleColor(psim.ImGuiCol_Button, (0.0, 0.0, 0.0, 0.0))
        psim.PushStyleVar(psim.ImGuiStyleVar_FramePadding, (0.0, 5 * s))
        if psim.Button("\u00d7", (24 * s, psim.GetFrameHeight())):
            context.studio.do("delete handle", commands.delete_handle, row)
            context.studio.request_draft()
        psim.PopStyleVar()
        psim.PopStyleColor()
        tooltip("Delete this handle")
        psim.PopID()

    def _details(self, context: EditorContext, row: int) -> None:
        studio = context.studio
        handle = studio.state.document.handles[row]
        psim.SetNextItemWidth(-1.0)
        changed, name = psim.InputText(f"##rename{handle.vertex}", handle.name)
        tooltip("The name of the selected handle")
        if changed:
            studio.drag(f"rename {row}", "rename handle", commands.rename_handle, row, name)
        if psim.IsItemDeactivated():
            studio.session.end_gesture()
        pinned = check_box("Pinned", handle.pinned, context.with_keys("Stays where it is in every frame", "pin"))
        if pinned is not None:
            studio.do("pin" if pinned else "unpin", commands.set_pinned, row, pinned)
            studio.request_draft()
        same_line_if_fits("Hold")
        why = "A pinned handle does not move." if handle.pinned else ""
        hold = check_box("Hold", handle.hold, HOLD, why)
        if hold is not None:
            studio.do("hold" if hold else "free", commands.set_hold, row, hold)
            studio.request_draft()
        same_line_if_fits("Gizmo")
        gizmo = check_box("Gizmo", studio.state.view.gizmo, context.with_keys(GIZMO, "gizmo"))
        if gizmo is not None:
            studio.show(commands.with_view, gizmo=gizmo)
        self._place.draw(context, row)
        self._key_buttons(context, row)

    def _key_buttons(self, context: EditorContext, row: int) -> None:
        studio = context.studio
        view, handle = studio.state.view, studio.state.document.handles[row]
        chosen = view.key is not None and view.key in handle.keys
        why = "" if chosen else "Select a key in the timeline first."
        half = (psim.GetContentRegionAvail()[0] - 6 * scale()) / 2
        tip = f"Delete the selected key at frame {view.key}" if chosen else "Delete the selected key"
        if button("Delete key", context.with_keys(tip, "delete"), why, width=half):
            studio.delete_selected()
        psim.SameLine(0.0, 6 * scale())
        psim.SetNextItemWidth(-1.0)
        draw_snap(context)


def _state_text(handle: Handle) -> str:
    if handle.pinned:
        return "pinned"
    count = sum(frame > 0 for frame in handle.keys)
    turned = ", turned" if handle.turns else ""
    return "no key yet" if count == 0 else f"{count} key{turned}" if count == 1 else f"{count} keys{turned}"
