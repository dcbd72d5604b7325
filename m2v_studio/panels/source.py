"""The source panel: open a mesh or scans, use a sample, or recover unsaved work."""

from __future__ import annotations

from pathlib import Path

import polyscope.imgui as psim

from core.sequence import SourceMesh
from m2v_studio.context import EditorContext
from m2v_studio.document.mesh_files import MESH_SUFFIXES, bundled_meshes
from m2v_studio.document.scan_document import OpenedScans
from m2v_studio.document.scan_files import KINDS, bundled_scans
from m2v_studio.document.state import next_step
from m2v_studio.document.up_axis import likely_up, mesh_notes, set_up_axis
from m2v_studio.document.words import counted
from m2v_studio.view.widgets import (
    button,
    fitting,
    gap,
    heading,
    muted,
    notes_line,
    popup,
    rule,
    scale,
    shorten,
    tooltip,
)

TURN_UP = "The file does not say which way is up, and it likely lies on its back. Edit > Up axis has all."


class SourcePanel:
    def __init__(self) -> None:
        self.path = ""

    def draw(self, context: EditorContext) -> None:
        studio = context.studio
        state = studio.state
        heading("Source")
        half = (psim.GetContentRegionAvail()[0] - psim.GetStyle().ItemSpacing[0]) / 2
        tip = f"Open a mesh ({', '.join(MESH_SUFFIXES)}) or a project (.m2v)"
        tip = context.with_keys(tip, "open")
        if button(fitting("Open mesh…", "Mesh…", half), tip, primary=next_step(state) == "open", width=half):
            context.ask_open()
        psim.SameLine()
        if button(fitting("Open scans…", "Scans…", half), context.with_keys(f"Open {KINDS}", "open_scans"), width=half):
            context.ask_open_scans()
        width = 92 * scale()
        psim.SetNextItemWidth(-width - psim.GetStyle().ItemSpacing[0])
        entered, self.path = psim.InputTextWithHint(
            "##path", "or paste a path", self.path, psim.ImGuiInputTextFlags_EnterReturnsTrue
        )
        tooltip(
            "The path of a mesh, a project, a scan file or a folder of scans; press Enter to open it. "
            "Files and folders can also be dropped on the window."
        )
        if entered and self.path.strip():
            studio.open_path(Path(self.path.strip().strip("'\"")).expanduser())
            self.path = ""
        psim.SameLine()
        self._samples(context, width)
        if state.document.source is not None:
            self._mesh(context, state.document.source)
        elif state.document.scans is not None:
            self._scans(state.document.scans)
        self._end(context)

    def _mesh(self, context: EditorContext, source: SourceMesh) -> None:
        width = psim.GetContentRegionAvail()[0]
        muted(shorten(f"{source.name}, {len(source.vertices):,} vertices", width))
        if psim.IsItemHovered():
            notes = "\n".join(mesh_notes(source))
            size = f"Longest side {source.size:.4g} file units, {source.up_axis.upper()} up."
            tooltip(f"{source.path}\n{len(source.faces):,} triangles. {size}\n{notes}".strip())
        if (up := likely_up(source)) and button(f"Turn {up.upper()} up", TURN_UP, width=width):
            context.studio.do("up axis", set_up_axis, up)
        notes_line(source.notes)

    def _scans(self, scans: OpenedScans) -> None:
        width = psim.GetContentRegionAvail()[0]
        sequence = scans.sequence
        muted(shorten(f"{scans.name}, {counted(sequence.frames, 'scan')}", width))
        if psim.IsItemHovered():
            truth = "" if scans.truth is None else "The true surface is known."
            notes = "\n".join(sequence.notes)
            tooltip(f"{scans.path}\n{truth}\n{notes}".strip().replace("\n\n", "\n"))

    def _end(self, context: EditorContext) -> None:
        if context.studio.recovery is not None:
            self._recovery(context)
        rule()

    def _samples(self, context: EditorContext, width: float) -> None:
        meshes, scans = bundled_meshes(), bundled_scans()
        why = "" if meshes or scans else "No samples are bundled with this installation."
        if button("Samples", "Meshes and scans that come with the studio", why, width=width):
            psim.OpenPopup("##samples")
        with popup("##samples") as opened:
            for title, paths in (("Meshes to animate", meshes), ("Scans to complete", scans)) if opened else ():
                if paths:
                    heading(title)
                for path in paths:
                    if psim.Selectable(f"{path.stem.replace('_', ' ')}##{path}"):
                        context.studio.open_path(path)
                if paths:
                    gap(2)

    def _recovery(self, context: EditorContext) -> None:
        gap(2)
        muted("Work from last time was not saved.")
        if button("Recover", "Open the automatically saved work"):
            context.studio.recover()
        psim.SameLine()
        if button("Discard", "Delete the automatically saved work for good"):
            context.studio.forget_recovery()
