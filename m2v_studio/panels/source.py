"""What is animated: open a mesh, take a sample, or get unsaved work back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import polyscope.imgui as psim

from m2v_studio.panels.widgets import button, gap, heading, muted, rule, shorten, tooltip
from m2v_studio.state import next_step
from m2v_studio.studio import MESH_SUFFIXES, bundled_meshes

if TYPE_CHECKING:
    from m2v_studio.app import App


class SourcePanel:
    def __init__(self) -> None:
        self.path = ""

    def draw(self, app: App) -> None:
        studio = app.studio
        state = studio.state
        heading("Source")
        tip = f"Open a mesh ({', '.join(MESH_SUFFIXES)}) or a project (.m2v)   Ctrl+O"
        half = (psim.GetContentRegionAvail()[0] - psim.GetStyle().ItemSpacing[0]) / 2
        if button("Open mesh…", tip, primary=next_step(state) == "open", width=half):
            app.ask_open()
        psim.SameLine()
        self._samples(app, half)
        psim.SetNextItemWidth(-1.0)
        entered, self.path = psim.InputTextWithHint(
            "##path", "or paste a path, then Enter", self.path, psim.ImGuiInputTextFlags_EnterReturnsTrue
        )
        tooltip("The path of a mesh or project file; press Enter to open it. Files can also be dropped on the window.")
        if entered and self.path.strip():
            studio.open_path(Path(self.path.strip().strip("'\"")).expanduser())
            self.path = ""
        source = state.document.source
        if source is not None:
            width = psim.GetContentRegionAvail()[0]
            muted(shorten(f"{source.name}, {len(source.vertices):,} vertices", width))
            if not psim.IsItemHovered():
                return self._end(app)
            notes = "\n".join(source.notes)
            size = f"Longest side {source.size:.4g} file units, {source.up_axis.upper()} up."
            tooltip(f"{source.path}\n{len(source.faces):,} triangles. {size}\n{notes}".strip())
        self._end(app)

    def _end(self, app: App) -> None:
        if app.studio.recovery is not None:
            self._recovery(app)
        rule()

    def _samples(self, app: App, width: float) -> None:
        meshes = bundled_meshes()
        why = "" if meshes else "No meshes are bundled with this installation."
        if button("Samples", "Meshes that come with the studio", why, width=width):
            psim.OpenPopup("##samples")
        if psim.BeginPopup("##samples"):
            for path in meshes:
                if psim.Selectable(path.stem.replace("_", " ")):
                    app.studio.open_path(path)
            psim.EndPopup()

    def _recovery(self, app: App) -> None:
        gap(2)
        muted("Work from last time was not saved.")
        if button("Recover", "Open the automatically saved work"):
            app.studio.recover()
        psim.SameLine()
        if button("Discard", "Delete the automatically saved work for good"):
            app.studio.forget_recovery()
