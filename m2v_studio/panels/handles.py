"""The handles: one line each, and the details of the selected one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polyscope.imgui as psim

from core.sequence import Handle
from m2v_studio import commands
from m2v_studio.panels.overlay import handle_color
from m2v_studio.panels.style import rgba
from m2v_studio.panels.widgets import button, dot, gap, heading, muted, rule, scale, shorten, tooltip
from m2v_studio.state import handle_label
from m2v_studio import theme

if TYPE_CHECKING:
    from m2v_studio.app import App

EMPTY = "Click the creature to add one. Shift-click pins a vertex where it is."


class HandlesPanel:
    def draw(self, app: App) -> None:
        document = app.studio.state.document
        heading(f"Handles   {len(document.handles)}" if document.handles else "Handles")
        if not document.handles:
            muted(EMPTY)
            rule()
            return
        line = psim.GetFrameHeightWithSpacing()
        rows = min(len(document.handles), 5)
        psim.PushStyleVar(psim.ImGuiStyleVar_ItemSpacing, (6 * scale(), 2 * scale()))
        psim.BeginChild("##handles", (0.0, rows * (psim.GetFrameHeight() + 2 * scale()) + 2 * scale()))
        for row in range(len(document.handles)):
            if row < len(app.studio.state.document.handles):
                self._line(app, row)
        psim.EndChild()
        psim.PopStyleVar()
        selected = app.studio.state.view.selected
        if selected is not None and selected < len(app.studio.state.document.handles):
            self._details(app, selected)
        elif line:
            muted("Choose one to rename, pin or delete it.")
        rule()

    def _line(self, app: App, row: int) -> None:
        document, view = app.studio.state.document, app.studio.state.view
        handle = document.handles[row]
        psim.PushID(f"handle{row}")
        dot(handle_color(handle))
        psim.SameLine()
        width = psim.GetContentRegionAvail()[0]
        psim.PushStyleVar(psim.ImGuiStyleVar_SelectableTextAlign, (0.0, 0.5))
        size = (width - 30 * scale(), psim.GetFrameHeight())
        if psim.Selectable(f"{shorten(handle_label(document, row), width - 110 * scale())}##name", view.selected == row, 0, size):
            app.studio.show(commands.select_handle, row)
        psim.PopStyleVar()
        tooltip(f"Vertex {handle.vertex}. Drag it in the view; at frame 0 the drag goes to the last frame.")
        left, top = psim.GetItemRectMin()
        text = _state_text(handle)
        wide = psim.CalcTextSize(text)[0]
        at = (left + size[0] - wide - 8 * scale(), top + (size[1] - psim.GetFontSize()) / 2)
        psim.GetWindowDrawList().AddText(at, psim.GetColorU32(rgba(theme.TEXT_MUTED)), text)
        psim.SameLine()
        psim.PushStyleColor(psim.ImGuiCol_Button, (0.0, 0.0, 0.0, 0.0))
        if psim.Button("×", (24 * scale(), psim.GetFrameHeight())):
            app.studio.do("delete handle", commands.delete_handle, row)
            app.studio.request_draft()
        psim.PopStyleColor()
        tooltip("Delete this handle (Del)")
        psim.PopID()

    def _details(self, app: App, row: int) -> None:
        studio = app.studio
        handle = studio.state.document.handles[row]
        gap(1)
        psim.SetNextItemWidth(-1.0)
        changed, name = psim.InputText(f"##rename{handle.vertex}", handle.name)
        tooltip("The name of the selected handle")
        if changed:
            studio.drag(f"rename {row}", "rename handle", commands.rename_handle, row, name)
        if psim.IsItemDeactivated():
            studio.session.end_gesture()
        changed, pinned = psim.Checkbox("Pinned", handle.pinned)
        tooltip("Stays where it is in every frame (P)")
        if changed:
            studio.do("pin" if pinned else "unpin", commands.set_pinned, row, bool(pinned))
            studio.request_draft()
        psim.SameLine()
        why = "A pinned handle does not move." if handle.pinned else ""
        psim.BeginDisabled(bool(why))
        changed, hold = psim.Checkbox("Hold", handle.hold)
        psim.EndDisabled()
        tooltip("Move straight from key to key. Without it the motion is free between keys.", why)
        if changed:
            studio.do("hold" if hold else "free", commands.set_hold, row, bool(hold))
            studio.request_draft()
        psim.SameLine()
        changed, gizmo = psim.Checkbox("Gizmo", studio.state.view.gizmo)
        tooltip("Show arrows at the selected handle, to drag it along one axis (W)")
        if changed:
            studio.show(commands.with_view, gizmo=bool(gizmo))
        self._key_buttons(app, row)

    def _key_buttons(self, app: App, row: int) -> None:
        studio = app.studio
        view, handle = studio.state.view, studio.state.document.handles[row]
        if view.key is not None and view.key in handle.keys:
            if button(f"Delete key at frame {view.key}", "Delete the selected key (Del)", width=-1.0):
                studio.delete_selected()


def _state_text(handle: Handle) -> str:
    if handle.pinned:
        return "pinned"
    count = sum(frame > 0 for frame in handle.keys)
    return "no key yet" if count == 0 else f"{count} key" if count == 1 else f"{count} keys"
