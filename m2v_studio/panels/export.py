"""The export dialog: format, which results, speed, range, axes, scale and where to."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import polyscope.imgui as psim

from core.assets import asset_path
from core.io.export_formats import FORMATS, RIG_FORMATS
from core.sequence import SourceMesh
from m2v_studio.context import EditorContext
from m2v_studio.document.state import default_export_name, is_stale
from m2v_studio.panels.dialogs import begin_modal
from m2v_studio.view import theme
from m2v_studio.view.actions import RIG
from m2v_studio.view.fields import float_field, label_left, number
from m2v_studio.view.style import rgba
from m2v_studio.view.widgets import button, close_on_escape, escape_pressed, gap, muted, scale, segmented, tooltip

SUFFIXES = tuple(FORMATS)
AXES = ("y", "z", "x")
VERTICES = "Every vertex of every frame, exactly"
ALL_FILES, ALL_ACTIONS = "Every result, with its seed in the file name", "Every result, as an action of the same bones"


@dataclass
class ExportDialog:
    """The choices last made are kept while the window is open."""

    started: bool = False  # the choices fit the document it was opened for
    format: int = 0
    every: bool = False  # all results instead of the one shown
    fps: float = 24.0
    start: int = 0
    end: int = 16
    axis: int = 0
    scale: float = 1.0
    path: str = ""

    def _start(self, context: EditorContext) -> None:
        document = context.studio.state.document
        self.started, self.fps, self.start, self.end = True, document.fps, 0, document.frames - 1
        source = document.source
        if context.export_rig and SUFFIXES[self.format] not in RIG_FORMATS:
            self.format = SUFFIXES.index(RIG_FORMATS[0])
        folder = Path(self.path).parent if self.path else folder_for(context.studio.settings.folder, source)
        self.path = str(folder / f"{default_export_name(context.studio.state)}{SUFFIXES[self.format]}")
        self._say_rig(context.export_rig)

    def draw(self, context: EditorContext) -> None:
        if not context.export_open:
            self.started = False
            return
        if not self.started:
            self._start(context)
        with begin_modal("Export", 560) as visible:
            if visible:
                self._body(context)

    def _body(self, context: EditorContext) -> None:
        state = context.studio.state
        results = state.results
        count = 0 if results is None else len(results.samples.samples)
        self._format(context)
        label_left("Motions" if state.document.scans is None else "Meshes", "Which results to write", 110)
        shown = (
            "the one shown"
            if results is None
            else f"Seed {results.samples.samples[min(state.view.solo, count - 1)].seed}"
        )
        why = "" if count > 1 else "There is only one result."
        pressed = segmented(
            "which",
            (
                (shown, "Only the result chosen in the table", "", not self.every or count < 2),
                (f"All {count} seeds", ALL_ACTIONS if context.export_rig else ALL_FILES, why, self.every and count > 1),
            ),
        )
        if pressed is not None:
            self.every = pressed == 1
        label_left("Speed", "Frames per second written into the file", 110)
        self.fps = float_field("##fps", self.fps, 0.25, 1.0, 240.0, "%.4g frames per second").value
        tooltip("Frames per second written into the file")
        self._range(state.document.frames - 1, context.export_rig)
        label_left("Up axis", "The axis that points up in the file", 110)
        tips = ("Y up: glTF, Maya, Houdini, Unity", "Z up: Blender, 3ds Max, Unreal", "X up")
        axes = tuple(
            (f"{axis.upper()} up", tip, "", index == self.axis)
            for index, (axis, tip) in enumerate(zip(AXES, tips, strict=True))
        )
        pressed = segmented("axis", axes)
        self.axis = self.axis if pressed is None else pressed
        label_left("Scale", "Factor on all positions; 1 keeps the units of the opened file", 110)
        self.scale = float_field("##scale", self.scale, 0.01, 1e-3, 1e3, "x %.4g").value
        tooltip("Factor on all positions; 1 keeps the units of the opened file")
        self._path(context)
        if is_stale(state):
            psim.TextColored(rgba(theme.DANGER), "These results belong to an older edit.")
        gap(6)
        self._buttons(context, count)

    def _range(self, last: int, whole: bool) -> None:
        label_left("Frames", "The first and last frame to write", 110)
        if whole:
            muted("All, with as few keys as keep the motion")
            return
        edited = number(
            "##range", (self.start, self.end), lambda now: psim.DragInt2("##range", now, 0.2, 0, last, "frame %d")
        )
        self.start, self.end = edited.value
        tooltip("The first and last frame to write")
        self.start = min(max(self.start, 0), last)
        self.end = min(max(self.end, self.start), last)

    def _format(self, context: EditorContext) -> None:
        label_left("Format", "The kind of file", 110)
        chosen = FORMATS[SUFFIXES[self.format]]
        if psim.BeginCombo("##format", chosen.name):
            for index, (suffix, (name, purpose)) in enumerate(FORMATS.items()):
                if psim.Selectable(f"{name}   {purpose}##{suffix}", index == self.format):
                    self._choose(index)
            close_on_escape()
            psim.EndCombo()
        tooltip(chosen.purpose)
        psim.SetCursorPosX(psim.GetCursorPosX() + 110 * scale())
        muted(chosen.purpose)
        bones = SUFFIXES[self.format] in RIG_FORMATS
        before, context.export_rig = context.export_rig, context.export_rig and bones
        label_left("As", "Every vertex of every frame, or bones that move them", 110)
        rig, why = context.export_rig, "" if bones else "This format holds no bones; glTF and USD do."
        pressed = segmented("as", (("Vertices", VERTICES, "", not rig), ("A rig", RIG, why, rig)))
        context.export_rig = rig if pressed is None else pressed == 1
        if context.export_rig != before:
            self._say_rig(context.export_rig)

    def _say_rig(self, rig: bool) -> None:
        """Suggested names differ, so that a rig does not take the place of the motion it comes from."""
        path, (old, new) = Path(self.path), ("-motion", "-rig") if rig else ("-rig", "-motion")
        if path.stem.endswith(old):
            self.path = str(path.with_name(path.stem.removesuffix(old) + new + path.suffix))

    def _choose(self, index: int) -> None:
        """Another format: the name keeps its stem and gets the new ending."""
        old = SUFFIXES[self.format]
        self.format = index
        path = self.path[: -len(old)] if self.path.endswith(old) else self.path
        self.path = f"{path}{SUFFIXES[index]}"

    def _path(self, context: EditorContext) -> None:
        label_left("File", "Where to write it; missing folders are made", 110)
        psim.SetNextItemWidth(-96 * scale())
        _, self.path = psim.InputText("##out", self.path, psim.ImGuiInputTextFlags_ElideLeft)
        tooltip(f"Where to write it; missing folders are made.\n{self.path}")
        psim.SameLine()
        why = "" if context.files_available else "No system file dialog here; type the path."
        if button("Browse…", "Choose where to write it", why, width=-1.0):
            context.ask_save("Export as", Path(self.path), self._chosen)

    def _chosen(self, path: Path) -> None:
        self.path = str(path)

    def _buttons(self, context: EditorContext, count: int) -> None:
        why = "" if self.path.strip() else "Give a file name."
        width = 120 * scale()
        both = 2 * width + psim.GetStyle().ItemSpacing[0]
        psim.SetCursorPosX(psim.GetCursorPosX() + psim.GetContentRegionAvail()[0] - both)
        escaped = context.top_dialog == "export" and escape_pressed()
        if button("Cancel", "Close without writing (Esc)", width=width) or escaped:
            context.export_open = False
        psim.SameLine()
        if button("Export", "Write the files in the background", why, True, width=width):
            self._export(context, count)

    def _export(self, context: EditorContext, count: int) -> None:
        from core.io.export_clip import ExportOptions

        state = context.studio.state
        options = ExportOptions(
            fps=float(self.fps), start=self.start, end=self.end, up_axis=AXES[self.axis], scale=float(self.scale)
        )
        rows = tuple(range(count)) if self.every else (min(state.view.solo, count - 1),)
        out = Path(self.path.strip()).expanduser()
        context.studio.change_settings(folder=str(out.parent.resolve()))
        context.studio.export(out, rows, options, context.export_rig)
        context.export_open = False


def folder_for(last: str, source: SourceMesh | None) -> Path:
    """Where the last export went, else beside the opened file, else the home folder.

    Samples lie in the installed program, where a person's files do not belong.
    """
    beside = Path(source.path).parent if source is not None and source.path else None
    if beside is not None and asset_path("meshes").resolve() in (beside.resolve(), *beside.resolve().parents):
        beside = None
    folders = (Path(last) if last else None, beside)
    return next((folder for folder in folders if folder and os.access(folder, os.W_OK)), Path.home())
