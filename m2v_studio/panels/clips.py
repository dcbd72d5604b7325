"""The dialog for animations in a mesh's own file: use them as keys, as a reference, or to borrow from."""

from __future__ import annotations

from pathlib import Path

import polyscope.imgui as psim

from core.sequence import SourceMesh
from m2v_studio.context import EditorContext
from m2v_studio.document.words import counted
from m2v_studio.panels.dialogs import begin_modal
from m2v_studio.view.widgets import button, choice, escape_pressed, gap, muted

WIDTH = 470.0
KEYS = "A few handles with keys that follow it, to be edited like any others. The mesh starts in its first pose."
REFERENCE = "It runs behind the creature, in step with the timeline. View > Reference shifts it in time."
BANK = "All animations of this file join the motions that results borrow from, on this machine."
NONE = "Work on the mesh at rest (Esc). Motion > Animations of the file asks again."


class ClipsDialog:
    """Shown once after opening a file with animations."""

    def __init__(self) -> None:
        self._row = 0
        self._of: SourceMesh | None = None

    def draw(self, context: EditorContext) -> None:
        source = context.studio.offered
        if source is None or context.top_dialog != "clips":
            return
        if source is not self._of:
            self._of, self._row = source, 0
        with begin_modal(f"{counted(len(source.clips), 'animation')} in this file", WIDTH) as visible:
            if not visible:
                return
            muted(f"{Path(source.path).name} moves. How should that motion be used here?")
            gap(4)
            psim.SetNextItemWidth(-1.0)
            names = [name.rsplit("|", 1)[-1].replace("_", " ") for name in source.clips]
            chosen = choice("##clip", self._row, names)
            self._row = self._row if chosen is None else chosen
            gap(6)
            width = (psim.GetContentRegionAvail()[0] - psim.GetStyle().ItemSpacing[0]) / 2
            name = source.clips[self._row]
            if button("As keys", KEYS, primary=True, width=width):
                self._close(context)
                context.take_clip_as_keys(name)
            psim.SameLine()
            if button("As a reference", REFERENCE, width=width):
                self._close(context)
                context.take_clip_as_reference(name)
            if button("Add to my motions", BANK, width=width):
                self._close(context)
                context.open_motions()
                context.motions.add(Path(source.path))
            psim.SameLine()
            if button("Only the mesh", NONE, width=width) or escape_pressed():
                self._close(context)

    def _close(self, context: EditorContext) -> None:
        context.studio.offered = None
