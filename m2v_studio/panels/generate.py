"""What to generate and the button that does it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polyscope.imgui as psim

from core.pipelines.request import QUALITIES
from core.sequence import MAX_FRAMES, MIN_FRAMES
from m2v_studio import commands, theme
from m2v_studio.panels.style import packed
from m2v_studio.panels.widgets import Edited, button, float_row, gap, heading, int_row, label_left, scale, tooltip
from m2v_studio.state import MAX_STUDIO_SEEDS, next_step, why_not_generate

if TYPE_CHECKING:
    from m2v_studio.app import App

SEEDS = "How many different motions to generate. Each seed is one plausible motion that meets your handles."
FIRST_SEED = "The number the first motion starts from. The same number gives the same motion again."
FRAMES = "Length of the motion. Changing it stretches the keys, so that an end pose stays at the end."
FPS = "Playback and export speed. It does not change the motion itself."
QUALITY = "Draft: the average motion, one step, at once. Normal: a few steps. Best: many steps."
GUIDANCE = (
    "How strictly the model takes your handles as its cue (guidance). Left follows them closely, right invents more "
    "around them. The handles themselves are always met exactly."
)
# The slider runs from strict to free; guidance is 1 in its middle, 3 at the left and 0 at the right.
MAX_GUIDANCE = 3.0


class GeneratePanel:
    def draw(self, app: App) -> None:
        studio = app.studio
        document = studio.state.document
        heading("Generate")
        self._edit(
            app, "seeds", commands.set_seeds, int_row("Motions", document.seeds, 1, MAX_STUDIO_SEEDS, "%d seeds", SEEDS)
        )
        row = int_row("First seed", document.seed, 0, 999_999, "no. %d", FIRST_SEED)
        self._edit(app, "seed", commands.set_seed, row)
        row = int_row("Length", document.frames, MIN_FRAMES, MAX_FRAMES, "%d frames", FRAMES)
        self._edit(app, "frames", commands.set_frames, row)
        self._edit(app, "fps", commands.set_fps, float_row("Speed", document.fps, 1.0, 240.0, "%.4g fps", FPS))
        label_left("Quality", QUALITY)
        changed, chosen = psim.Combo("##quality", QUALITIES.index(document.quality), list(QUALITIES))
        tooltip(QUALITY)
        if changed:
            studio.do("quality", commands.set_quality, QUALITIES[chosen])
        self._guidance(app)
        gap(3)
        self._button(app)

    def _edit(self, app: App, name: str, command: object, edited: Edited) -> None:
        if edited.changed:
            app.studio.drag(f"setting {name}", name, command, edited.value)  # type: ignore[arg-type]
        if edited.ended:
            app.studio.session.end_gesture()

    def _guidance(self, app: App) -> None:
        position = freedom_of(app.studio.state.document.guidance)
        s = scale()
        x, y = psim.GetCursorScreenPos()
        width = psim.GetContentRegionAvail()[0]
        draw, ink, font = psim.GetWindowDrawList(), packed(theme.TEXT), psim.GetFont()
        draw.AddText(font, 15 * s, (x, y), ink, "Follow handles")
        wide = psim.CalcTextSize("Invent")[0] * 15 * s / psim.GetFontSize()
        draw.AddText(font, 15 * s, (x + width - wide, y), ink, "Invent")
        value = f"{app.studio.state.document.guidance:.2f}"
        middle = x + (width - psim.CalcTextSize(value)[0] * 15 * s / psim.GetFontSize()) / 2
        draw.AddText(font, 15 * s, (middle, y), packed(theme.TEXT_MUTED), value)
        psim.Dummy((1.0, 14 * s))
        psim.SetNextItemWidth(-1.0)
        psim.PushStyleVar(psim.ImGuiStyleVar_FramePadding, (9 * s, 1 * s))
        changed, position = psim.SliderFloat("##guidance", position, 0.0, 1.0, "", psim.ImGuiSliderFlags_NoInput)
        psim.PopStyleVar()
        edited = Edited(bool(changed), guidance_of(float(position)))
        tooltip(GUIDANCE)
        self._edit(app, "guidance", commands.set_guidance, edited)

    def _button(self, app: App) -> None:
        studio = app.studio
        state = studio.state
        running = state.job is not None and state.job.quality != "draft"
        why = why_not_generate(state)
        if running:
            if button("Cancel", "Stop generating (Esc)", width=-1.0, height=38 * scale()):
                studio.cancel()
            return
        count = state.document.seeds
        label = "Generate 1 motion" if count == 1 else f"Generate {count} motions"
        primary = next_step(state) == "generate"
        if button(label, "Sample the motions (Ctrl+Enter)", why, primary, width=-1.0, height=38 * scale()):
            studio.generate()


def freedom_of(guidance: float) -> float:
    """Slider position between 0 (follow) and 1 (invent) of a guidance weight."""
    if guidance >= 1.0:
        return 0.5 * (1.0 - min((guidance - 1.0) / (MAX_GUIDANCE - 1.0), 1.0))
    return 0.5 + 0.5 * (1.0 - guidance)


def guidance_of(freedom: float) -> float:
    """Guidance weight of a slider position; the middle is the model's own posterior, 1."""
    if freedom <= 0.5:
        return round(1.0 + (0.5 - freedom) * 2 * (MAX_GUIDANCE - 1.0), 2)
    return round(1.0 - (freedom - 0.5) * 2, 2)
