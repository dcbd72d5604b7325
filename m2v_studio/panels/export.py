"""The export dialog: format, results, speed, range, axes, scale and path."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import polyscope.imgui as psim

from core.io.export_formats import FORMATS, RIG_FORMATS
from core.pipelines.request import Windows
from m2v_studio.context import EditorContext, Place
from m2v_studio.document.state import why_not_results
from m2v_studio.panels.dialogs import begin_modal
from m2v_studio.panels.saving import LABEL, chosen_rows, last_rows, suggested, target, which_row, with_ending
from m2v_studio.view.actions import RIG
from m2v_studio.view.fields import float_field, label_left, number
from m2v_studio.view.widgets import close_on_escape, muted, scale, segmented, tooltip

SUFFIXES = tuple(FORMATS)
AXES = ("y", "z", "x")
VERTICES = "Every vertex of every frame, exactly"
BORROWED: tuple[tuple[Windows, str, str], ...] = (
    ("none", "Not used", "Bones where these results bend, and where a similar body's skeleton has them"),
    ("bones", "To find bones", "Motions of the bank on this shape also show where it bends; they are not written"),
    ("actions", "As actions", "Motions of the bank on this shape are written too: it walks, runs, eats"),
)
NO_RESULTS = "There are no results yet; the actions are borrowed."
ALL_FILES, ALL_ACTIONS = "Every result, with its seed in the file name", "Every result, as an action of the same bones"


@dataclass
class ExportDialog:
    """Keeps its settings while the window is open."""

    started: bool = False  # the settings fit the document it was opened for
    format: int = 0
    every: bool = False  # all results instead of the one shown
    fps: float = 24.0
    start: int = 0
    end: int = 16
    axis: int = 0
    scale: float = 1.0
    windows: Windows = "none"  # what borrowed motions are for, in a rig
    place: Place = field(default_factory=Place)

    def _start(self, context: EditorContext) -> None:
        document = context.studio.state.document
        self.started, self.fps, self.start, self.end = True, document.fps, 0, document.frames - 1
        if context.export_rig and SUFFIXES[self.format] not in RIG_FORMATS:
            self.format = SUFFIXES.index(RIG_FORMATS[0])
        suggested(context, self.place, SUFFIXES[self.format])
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
        self._format(context)
        label = ("Motions" if state.document.scans is None else "Meshes", "Which results to write")
        if state.results is None:
            label_left(*label, LABEL)
            muted(NO_RESULTS)
        else:
            tip = ALL_ACTIONS if context.export_rig else ALL_FILES
            self.every = which_row(state, label, self.every, "All {} seeds", tip)
        if context.export_rig:
            self._borrowed(state.results is None)
        label_left("Speed", "Frames per second written into the file", LABEL)
        self.fps = float_field("##fps", self.fps, 0.25, 1.0, 240.0, "%.4g frames per second").value
        tooltip("Frames per second written into the file")
        self._range(state.document.frames - 1, context.export_rig)
        label_left("Up axis", "The axis that points up in the file", LABEL)
        tips = ("Y up: glTF, Maya, Houdini, Unity", "Z up: Blender, 3ds Max, Unreal", "X up")
        axes = [(f"{axis.upper()} up", tip, "") for axis, tip in zip(AXES, tips, strict=True)]
        self.axis = segmented("axis", axes, self.axis)
        label_left("Scale", "Factor on all positions; 1 keeps the units of the opened file", LABEL)
        self.scale = float_field("##scale", self.scale, 0.01, 1e-3, 1e3, "x %.4g").value
        tooltip("Factor on all positions; 1 keeps the units of the opened file")
        why = "" if context.export_rig else why_not_results(state)
        closing = last_rows(context, "Export", "Write the files in the background", self.place, why_not=why)
        if closing == "go":
            self._export(context)
        if closing is not None:
            context.export_open = False

    def _borrowed(self, alone: bool) -> None:
        """The use of the bank's motions; a shape without results has no other motions."""
        label_left("Borrowed", "What motions of the bank are for, beside the results", LABEL)
        why = "There are no results, so the actions are borrowed." if alone else ""
        kinds = [kind for kind, *_ in BORROWED]
        options = [(label, tip, "" if kind == "actions" else why) for kind, label, tip in BORROWED]
        pressed = segmented("borrowed", options, kinds.index("actions" if alone else self.windows))
        self.windows = self.windows if alone else kinds[pressed]

    def _range(self, last: int, whole: bool) -> None:
        label_left("Frames", "The first and last frame to write", LABEL)
        if whole:
            muted("All, with as few keys as the motion needs")
            return
        draw = lambda now: psim.DragInt2("##range", now, 0.2, 0, last, "frame %d")  # noqa: E731
        self.start, self.end = number("##range", (self.start, self.end), draw).value
        tooltip("The first and last frame to write")
        self.start = min(max(self.start, 0), last)
        self.end = min(max(self.end, self.start), last)

    def _format(self, context: EditorContext) -> None:
        label_left("Format", "The kind of file", LABEL)
        chosen = FORMATS[SUFFIXES[self.format]]
        if psim.BeginCombo("##format", chosen.name):
            for index, (suffix, (name, purpose, *_)) in enumerate(FORMATS.items()):
                if psim.Selectable(f"{name}   {purpose}##{suffix}", index == self.format):
                    self._choose(index)
            close_on_escape()
            psim.EndCombo()
        tooltip(chosen.purpose)
        psim.SetCursorPosX(psim.GetCursorPosX() + LABEL * scale())
        muted(chosen.purpose)
        bones = SUFFIXES[self.format] in RIG_FORMATS
        before, context.export_rig = context.export_rig, context.export_rig and bones
        label_left("As", "Every vertex of every frame, or bones that move them", LABEL)
        why = "" if bones else "This format holds no bones; glTF and USD do."
        options = (("Vertices", VERTICES, why_not_results(context.studio.state)), ("A rig", RIG, why))
        context.export_rig = segmented("as", options, int(context.export_rig)) == 1
        if context.export_rig != before:
            self._say_rig(context.export_rig)

    def _say_rig(self, rig: bool) -> None:
        """Suggested names differ, so that a rig does not overwrite the motion it comes from."""
        path, (old, new) = Path(self.place.path), ("-motion", "-rig") if rig else ("-rig", "-motion")
        if path.stem.endswith(old):
            self.place.path = str(path.with_name(path.stem.removesuffix(old) + new + path.suffix))

    def _choose(self, index: int) -> None:
        """Change the format; the name keeps its stem and gets the new suffix."""
        self.place.path = with_ending(self.place.path, SUFFIXES[self.format], SUFFIXES[index])
        self.format = index

    def _export(self, context: EditorContext) -> None:
        from core.io.export_clip import ExportOptions

        state = context.studio.state
        options = ExportOptions(
            fps=float(self.fps), start=self.start, end=self.end, up_axis=AXES[self.axis], scale=float(self.scale)
        )
        out = target(context, self.place)
        rows = () if state.results is None else chosen_rows(state, self.every)
        context.studio.export(out, rows, options, self.windows if context.export_rig else None)
