"""The settings for generating, and the button."""

from __future__ import annotations

import polyscope.imgui as psim

from core.bank.behaviours import BEHAVIOURS
from core.pipelines.request import QUALITIES
from m2v_studio.context import EditorContext
from m2v_studio.document import commands, scan_commands
from m2v_studio.document.scan_commands import RESOLUTIONS
from m2v_studio.document.state import MAX_STUDIO_SEEDS, is_generating, next_step, why_not_generate
from m2v_studio.document.words import counted
from m2v_studio.view.fields import int_row, label_left
from m2v_studio.view.widgets import button, check_box, choice, gap, heading, scale, tooltip

SEEDS = "How many different results to generate. Each seed is one plausible motion that meets your handles or scans."
FIRST_SEED = "The number the first motion starts from. The same number gives the same motion again."
QUALITY = "Draft: the average motion, one step, at once. Normal: a few steps. Best: many steps."
BEHAVIOUR = "What the creature should do. Any: whatever fits your handles best, something different for each seed."
DETAIL = "Cells along a side of the grid that the surface is made in. More cells keep finer parts and take longer."
ONE_SHAPE = "All seeds share the shape of the first, so that only their motions differ."
MOTIONS = "The motions that results borrow from: switch animals and people on or off, and add animations of your own."
MOTIONS_WIDTH = 88.0
GENERATE_HEIGHT = 62.0  # of the button with the space around it, pixels at scale 1


class GeneratePanel:
    def draw(self, context: EditorContext) -> None:
        """The settings."""
        studio = context.studio
        document = studio.state.document
        heading("Generate")
        results = "Motions" if document.scans is None else "Meshes"
        form = "%d seed" if document.seeds == 1 else "%d seeds"
        edited = int_row(results, document.seeds, 1, MAX_STUDIO_SEEDS, form, SEEDS)
        context.apply(edited, "seeds", commands.set_seeds, edited.value)
        edited = int_row("First seed", document.seed, 0, 999_999, "no. %d", FIRST_SEED)
        context.apply(edited, "seed", commands.set_seed, edited.value)
        label_left("Quality", QUALITY)
        chosen = choice("##quality", QUALITIES.index(document.quality), QUALITIES)
        tooltip(QUALITY)
        if chosen is not None:
            studio.do("quality", commands.set_quality, QUALITIES[chosen])
        if document.scans is not None:
            self._for_scans(context)
        else:
            self._for_motions(context)

    def _for_motions(self, context: EditorContext) -> None:
        studio = context.studio
        document = studio.state.document
        label_left("Behaviour", BEHAVIOUR)
        names = ("", *BEHAVIOURS)
        now = names.index(document.behaviour) if document.behaviour in names else 0
        psim.SetNextItemWidth(psim.GetContentRegionAvail()[0] - MOTIONS_WIDTH * scale())
        chosen = choice("##behaviour", now, ("any", *BEHAVIOURS))
        tooltip(BEHAVIOUR)
        psim.SameLine(0.0, 4 * scale())
        if button("Motions…", MOTIONS, active=bool(document.without), width=-1.0):
            context.open_motions()
        if chosen is not None:
            studio.do("behaviour", commands.set_behaviour, names[chosen])

    def _for_scans(self, context: EditorContext) -> None:
        studio = context.studio
        document = studio.state.document
        label_left("Detail", DETAIL)
        names = [f"{side} cells" for side in RESOLUTIONS]
        now = RESOLUTIONS.index(document.resolution) if document.resolution in RESOLUTIONS else 2
        chosen = choice("##detail", now, names)
        tooltip(DETAIL)
        if chosen is not None:
            studio.do("detail", scan_commands.set_resolution, RESOLUTIONS[chosen])
        one_shape = check_box("Same shape", document.one_shape, ONE_SHAPE)
        if one_shape is not None:
            studio.do("same shape", scan_commands.set_one_shape, one_shape)

    def draw_button(self, context: EditorContext) -> None:
        """Draw the button, which stays visible when the settings above it scroll."""
        gap(3)
        studio = context.studio
        state = studio.state
        why = why_not_generate(state)
        if is_generating(state):
            if button("Cancel", context.with_keys("Stop generating", "escape"), width=-1.0, height=38 * scale()):
                studio.cancel()
            return
        count = state.document.seeds
        what, tip = ("motion", "Sample the motions")
        if state.document.scans is not None:
            what, tip = ("mesh", "Complete the scans into tracked meshes")
        label = f"Generate {counted(count, what)}"
        primary = next_step(state) == "generate"
        if button(label, context.with_keys(tip, "generate"), why, primary, width=-1.0, height=38 * scale()):
            studio.generate()
