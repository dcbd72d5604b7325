"""The dialog of File > Render, and the progress of the film in the status line."""

from __future__ import annotations

from dataclasses import dataclass, field

import polyscope.imgui as psim

from m2v_studio.context import EditorContext, Place
from m2v_studio.panels.dialogs import begin_modal
from m2v_studio.panels.samples import why_not_color
from m2v_studio.panels.saving import LABEL, chosen_rows, last_rows, suggested, target, which_row, with_ending
from m2v_studio.render.shot import LARGEST, FilmOptions
from m2v_studio.view.fields import float_field, label_left, number
from m2v_studio.view.widgets import (
    button,
    check_box,
    choice,
    progress_bar,
    same_line_if_fits,
    scale,
    segmented,
    tooltip,
)

# Suffix, name, purpose; a folder has no suffix.
KINDS: tuple[tuple[str, str, str], ...] = (
    (".mp4", "MP4", "A film that plays everywhere"),
    (".gif", "GIF", "Plays in a loop on web pages and in messages"),
    ("", "PNG images", "A folder with one image per frame, which can be transparent"),
)
SIZES = ((1280, 720), (1920, 1080), (1080, 1080), (640, 360))
SEED, OWN = 0, 1
OF_SCANS = "Meshes made from scans have no looks of their own."
CAMERA = "The camera has the direction of the view and shows the whole motion."


@dataclass
class RenderDialog:
    """Keeps its settings while the window is open."""

    started: bool = False
    kind: int = 0
    every: bool = False
    size: tuple[int, int] = SIZES[0]
    looks: int = OWN
    turn: bool = False
    seconds: float = 6.0
    repeat: int = 1
    bounce: bool = False
    transparent: bool = False
    labels: bool = True
    place: Place = field(default_factory=Place)

    def _start(self, context: EditorContext) -> None:
        self.started = True
        suggested(context, self.place, KINDS[self.kind][0])

    def draw(self, context: EditorContext) -> None:
        if not context.render_open:
            self.started = False
            return
        if not self.started:
            self._start(context)
        with begin_modal("Render", 560) as visible:
            if visible:
                self._body(context)

    def _body(self, context: EditorContext) -> None:
        state = context.studio.state
        label_left("Kind", "What is written", LABEL)
        kind = segmented("kind", [(name, tip, "") for _, name, tip in KINDS], self.kind)
        if kind != self.kind:
            self._choose(kind)
        label = ("Motions", "Which results are in the film")
        self.every = which_row(state, label, self.every, "All {}, side by side", "Every result, in step")
        label_left("Looks", "How the motions are coloured", LABEL)
        without = why_not_color(state, "own") if state.document.source is not None else OF_SCANS
        looks = (
            ("Seed colours", "One colour for each motion", ""),
            ("Own looks", "Materials, textures and colours of the opened file", without),
        )
        pressed = segmented("looks", looks, SEED if without else self.looks)
        self.looks = self.looks if without else pressed
        self._size()
        self._motion()
        closing = last_rows(context, "Render", "Make the film in the background", self.place, CAMERA)
        if closing == "go":
            self._render(context)
        if closing is not None:
            context.render_open = False

    def _choose(self, kind: int) -> None:
        """Change the kind; the name keeps its stem and gets the new suffix."""
        self.place.path = with_ending(self.place.path, KINDS[self.kind][0], KINDS[kind][0])
        self.kind = kind

    def _size(self) -> None:
        label_left("Size", "Width and height of the image", LABEL)
        psim.SetNextItemWidth(150 * scale())
        names = [*(f"{width} x {height}" for width, height in SIZES), "your own"]
        row = SIZES.index(self.size) if self.size in SIZES else len(SIZES)
        chosen = choice("##sizes", row, names)
        if chosen is not None and chosen < len(SIZES):
            self.size = SIZES[chosen]
        tooltip("Width and height of the image")
        psim.SameLine()
        psim.SetNextItemWidth(-1.0)
        clamp = psim.ImGuiSliderFlags_AlwaysClamp
        edited = number(
            "##size", self.size, lambda now: psim.DragInt2("##size", now, 2.0, 64, LARGEST, "%d pixels", clamp)
        )
        width, height = edited.value
        self.size = int(width), int(height)
        tooltip("Width and height in pixels; drag, or double-click to type")

    def _motion(self) -> None:
        label_left("Plays", "How often the motion is played", LABEL)
        psim.SetNextItemWidth(150 * scale())
        clamp = psim.ImGuiSliderFlags_AlwaysClamp
        edited = number("##plays", self.repeat, lambda now: psim.DragInt("##plays", now, 0.1, 1, 100, "x %d", clamp))
        self.repeat = int(edited.value)
        tooltip("How often the motion is played; drag, or double-click to type")
        psim.SameLine()
        self.bounce = _box("There and back", self.bounce, "Forwards, then backwards: no jump at the end", in_row=True)
        psim.SetCursorPosX(psim.GetCursorPosX() + LABEL * scale())
        self.turn = _box("Turntable", self.turn, "The figure turns once around itself while the motion repeats")
        psim.SameLine()
        psim.SetNextItemWidth(130 * scale())
        if self.turn:
            self.seconds = float_field("##turn", self.seconds, 0.1, 1.0, 60.0, "in %.3g s").value
            tooltip("Seconds for a whole turn, rounded to whole repeats")
        else:
            psim.NewLine()
        psim.SetCursorPosX(psim.GetCursorPosX() + LABEL * scale())
        why = "" if KINDS[self.kind][0] == "" else "Only PNG images can be transparent."
        self.transparent = _box("Transparent", self.transparent, "Nothing but the figures and their shadow", why)
        same_line_if_fits("Names")
        self.labels = _box("Names", self.labels, "Seed and motion below each figure")

    def _render(self, context: EditorContext) -> None:
        state, camera = context.studio.state, context.viewport.camera
        out = target(context, self.place)
        options = FilmOptions(
            width=self.size[0],
            height=self.size[1],
            yaw=camera.yaw,
            pitch=min(max(camera.pitch, 0.0), 85.0),
            turntable=self.seconds if self.turn else 0.0,
            repeat=self.repeat,
            bounce=self.bounce,
            transparent=self.transparent and out.suffix == "",
            labels=self.labels,
        )
        own = self.looks == OWN and state.document.source is not None  # otherwise seed colours
        context.render(chosen_rows(state, self.every), out, options, own)


def _box(label: str, value: bool, tip: str, why: str = "", in_row: bool = False) -> bool:
    changed = check_box(label, value, tip, why, in_row)
    return value if changed is None else changed


def draw_progress(context: EditorContext, width: float) -> None:
    """The film's progress, and a button to stop it."""
    films, s = context.films, scale()
    count = f"image {films.done} of {films.total}" if films.total else "starting"
    psim.TextUnformatted(f"Rendering {films.out.name}: {count}")
    psim.SameLine(0.0, 14 * s)
    progress_bar(films.done, films.total, width)
    psim.SameLine(0.0, 14 * s)
    if button("Cancel##film", "Stop rendering; nothing half-written is left"):
        context.stop_film()
