"""The results: a table of seeds, display and colour settings, and Export."""

from __future__ import annotations

import numpy as np
import polyscope.imgui as psim

from core.pipelines.request import MUCH_STRETCH, Reconstruction, ReconstructionSet, Sample, SampleSet, stretch_warning
from m2v_studio.context import EditorContext
from m2v_studio.document import commands, scan_commands
from m2v_studio.document.looks import own_looks
from m2v_studio.document.remembered import remembered
from m2v_studio.document.result_commands import mark_of, result_label
from m2v_studio.document.state import (
    ColorBy,
    Layout,
    State,
    is_stale,
    next_step,
    shown_samples,
    why_not_generate,
    why_not_results,
)
from m2v_studio.panels.easing import draw_easing
from m2v_studio.panels.results_menu import ask_menu, draw_result_menu, star_button
from m2v_studio.view import theme
from m2v_studio.view.footing_marks import footing_of
from m2v_studio.view.style import packed, rgba
from m2v_studio.view.widgets import (
    button,
    check_box,
    disabled,
    fitting,
    gap,
    heading,
    in_two_lines,
    muted,
    outlined,
    rule,
    scale,
    scrolled,
    segmented,
    shorten,
    tooltip,
)

SEED = ("seed", "The number this result was started from.")
MOTION = ("motion", "What the motion was borrowed from. The handles are met exactly, whatever it was.")
SCAN_COLUMNS = (
    ("fit", "Mean distance of the scanned points from this surface over all frames, in per cent of the shape's size."),
    ("differs", "Mean distance of this surface from those of the other seeds, in per cent of the shape's size."),
)
STRETCH = "Mean change of the lengths of the mesh's edges: how much the surface is stretched."
SLIDE = "How far feet slide over the ground per second while they touch it, in per cent of the size."
ANOTHER = "Generate again, and complete unseen parts with another body than {}"
ANY = "Not used so far: {}"
EXPORT = "Write the motion for Blender, Maya, Houdini or a game engine"
ROOMY = 0.45  # of the panel's height; names of motions take two lines if the table stays lower
STAR_SPACE = 20.0  # width of the column of stars, pixels at scale 1
EXPORT_SPACE = 9.0  # between the settings and the button below them, pixels at scale 1
OBSERVED = "Show the scan of this frame with the meshes"
OLDER = "\nKept from an older edit."
NOTHING = "Motions appear here. Drag a handle to see a first draft, then generate several."
NO_MESHES = "Complete meshes appear here, one for each seed, once you have pressed Generate."
Coloring = tuple[ColorBy, str, str]
PLAIN: Coloring = ("none", "seed colour", "One colour per seed")
COLORS: tuple[Coloring, ...] = (
    ("own", "own looks", "Materials, textures and colours of the opened file"),
    PLAIN,
    ("stretch", "stretch", "How much the surface is stretched or compressed at each point and frame"),
    ("disagreement", "disagreement", "How far the seeds differ at each point and frame (standard deviation)"),
    ("handle_error", "handle error", "How far each handle is from where it should be at this frame"),
)
SCAN_COLORS: tuple[Coloring, ...] = (
    PLAIN,
    ("unseen", "what was not seen", "Tinted where no frame's points came near: borrowed from a body, or guessed"),
    ("to_scan", "distance to the scan", "How far each point is from the nearest scanned point of this frame"),
    ("disagreement", "where is it guessing?", "How far each point is from the surfaces of the other seeds"),
    ("truth_error", "true error", "How far each point is from the true surface that came with the scans"),
)


class SamplesPanel:
    def __init__(self) -> None:
        self._name_width = 0.0  # pixels for the names of motions
        self._roomy = False  # whether long names may take two lines

    def draw(self, context: EditorContext) -> None:
        state = context.studio.state
        height = psim.GetFrameHeight() * 1.35
        with scrolled("##samples", height / scale() + EXPORT_SPACE):  # Export stays visible
            heading("Results")
            if state.results is None:
                muted(NOTHING if state.document.scans is None else NO_MESHES)
            else:
                self._table(context)
                if is_stale(state):
                    muted("These belong to an older edit; generate to replace them.")
            rule()
            self._layout(context)
            rule()
            self._colors(context)
            draw_easing(context)
        psim.SetCursorPosY(psim.GetWindowSize()[1] - psim.GetStyle().WindowPadding[1] - height)
        why = why_not_results(state)
        if button("Export…", context.with_keys(EXPORT, "export"), why,
                  next_step(state) == "export", width=-1.0, height=height):  # fmt: skip
            context.open_export()

    def _table(self, context: EditorContext) -> None:
        state = context.studio.state
        assert state.results is not None
        samples: tuple[Sample | Reconstruction, ...] = state.results.samples.samples
        of_motions = isinstance(state.results.samples, SampleSet)
        columns = (SEED, MOTION) if of_motions else (SEED, *SCAN_COLUMNS)
        s = scale()
        line = psim.GetTextLineHeight() + 6 * s
        rows, high = (6, 2 * line) if of_motions else (9, line + 6 * s)
        flags = psim.ImGuiTableFlags_SizingStretchProp
        if len(samples) > rows:
            flags |= psim.ImGuiTableFlags_ScrollY
        outer = (0.0, line + rows * high if len(samples) > rows else 0.0)
        seeds = psim.CalcTextSize("     00")[0]
        around = seeds + STAR_SPACE * s + 6 * psim.GetStyle().CellPadding[0]
        bar = psim.GetStyle().ScrollbarSize if len(samples) > rows else 0.0
        self._name_width = psim.GetContentRegionAvail()[0] - around - bar
        self._roomy = len(samples) * 3 * line <= ROOMY * psim.GetWindowSize()[1]
        if not psim.BeginTable("##results", len(columns) + 1, flags, outer):
            return
        psim.TableSetupColumn("seed", psim.ImGuiTableColumnFlags_WidthFixed, seeds)
        for name, _ in columns[1:]:
            psim.TableSetupColumn(name, psim.ImGuiTableColumnFlags_WidthStretch, 1.0)
        psim.TableSetupColumn("star", psim.ImGuiTableColumnFlags_WidthFixed, STAR_SPACE * s)
        psim.TableNextRow()
        for name, tip in columns:
            psim.TableNextColumn()
            psim.TextColored(rgba(theme.TEXT_MUTED), name)
            tooltip(tip)
        for row in range(len(samples)):
            self._row(context, row)
        psim.EndTable()
        draw_result_menu(context)
        gap(1)
        result = state.results.samples
        kind = "draft" if state.results.quality == "draft" else state.results.quality
        muted(f"{kind}, {result.seconds:.1f} s on {result.device}")
        warning = stretch_warning(result.samples) if isinstance(result, SampleSet) else ""
        for note in filter(None, (*result.notes, warning)):
            muted(note)
        if isinstance(result, ReconstructionSet):
            self._bodies(context, result)

    def _bodies(self, context: EditorContext, result: ReconstructionSet) -> None:
        """The body that completed the scans, and a button to exclude it."""
        studio = context.studio
        row = min(shown_samples(studio.state), default=0)
        body = result.samples[row].body
        others = studio.state.document.other_bodies
        if body:
            muted(f"What was not seen follows: {body}.")
            if button("Another body", ANOTHER.format(body), why_not_generate(studio.state)):
                studio.do("another body", scan_commands.ask_for_another_body, body)
                studio.generate()
        if others and button("Any body again", ANY.format(", ".join(others))):
            studio.do("any body", scan_commands.ask_for_another_body, "")

    def _row(self, context: EditorContext, row: int) -> None:
        state = context.studio.state
        assert state.results is not None
        s, samples = scale(), state.results.samples.samples
        sample, several = samples[row], len(samples) > 1
        psim.TableNextRow()
        psim.TableNextColumn()
        x, y = psim.GetCursorScreenPos()
        height = psim.GetTextLineHeight()
        chosen = state.view.layout == "one" and row in shown_samples(state)
        span = psim.ImGuiSelectableFlags_SpanAllColumns | psim.ImGuiSelectableFlags_AllowOverlap
        mark = mark_of(state.results, row)
        called: tuple[str, ...] = ()
        if isinstance(sample, Sample):
            title = motion_name(sample, mark.name)
            called = in_two_lines(title, self._name_width) if self._roomy else (shorten(title, self._name_width),)
        tall = height + len(called) * (height + psim.GetStyle().ItemSpacing[1])
        if psim.Selectable(f"     {sample.seed}##row{row}", chosen, span, (0.0, tall)):
            context.studio.show(commands.solo, row)
        if psim.IsItemHovered() and psim.IsMouseReleased(1):
            ask_menu(context, row)
        name = result_label(state.results, row)
        tooltip(context.with_keys(f"Show {name} alone; right-click for more", f"result_{row + 1}"))
        center = x + 8 * s, y + height / 2 + 1 * s
        psim.GetWindowDrawList().AddCircleFilled(center, 5.5 * s, packed(theme.result_color(row)), 20)
        ink, about = theme.TEXT_MUTED if mark.older else theme.TEXT, about_sample(sample, several)
        if isinstance(sample, Sample):
            psim.TableNextColumn()
            for line in called:
                psim.TextColored(rgba(ink), line)
                tooltip(about + (OLDER if mark.older else ""))
            self._quality(state, row, sample)
        else:
            for at, figure in enumerate(figures_of(sample, several)):
                psim.TableNextColumn()
                text = mark.name or figure if at == 0 else figure
                psim.TextColored(rgba(ink), shorten(text, psim.GetContentRegionAvail()[0]))
                tooltip(about)
        psim.TableNextColumn()
        star_button(context, row)

    def _quality(self, state: State, row: int, sample: Sample) -> None:
        """Show how much a motion stretches the mesh and its feet slide, in fewer words in a narrow panel."""
        slides = footing_of(state, row)
        stretch, slide = short_percent(sample.stretch), "" if slides is None else short_percent(slides.slide)
        space = psim.GetStyle().ItemSpacing[0]
        for first, second in ((f"stretch {stretch}", slide and f"slide {slide}"), (f"stretch {stretch}", slide)):
            if psim.CalcTextSize(first + second)[0] + space <= self._name_width:
                stretch, slide = first, second
                break
        psim.TextColored(rgba(theme.DANGER if stretches_much(sample) else theme.TEXT_MUTED), stretch)
        tooltip(STRETCH)
        if slide:
            psim.SameLine()
            psim.TextColored(rgba(theme.TEXT_MUTED), slide)
            tooltip(SLIDE)

    def _layout(self, context: EditorContext) -> None:
        heading("Show")
        state = context.studio.state
        none = why_not_results(state)
        single = none or ("" if len(state.results.samples.samples) > 1 else "There is only one result; generate more.")  # type: ignore[union-attr]
        layouts: tuple[Layout, ...] = ("one", "side", "overlay")
        beside = fitting("Side by side", "Side", psim.GetContentRegionAvail()[0] / 3 + 6 * scale())
        options = (
            ("Solo", "One result alone", none),
            (beside, context.with_keys("All results beside each other", "side_by_side"), single),
            ("Overlay", context.with_keys("All results in one place", "overlay"), single),
        )
        layout = layouts[segmented("layout", options, layouts.index(state.view.layout))]
        if layout != state.view.layout:
            context.studio.show(commands.set_layout, layout)
        if state.document.scans is not None:
            of_images = state.document.scans.sequence.images is not None
            points = check_box("Images" if of_images else "Scanned points", state.view.points, OBSERVED)
            if points is not None:
                context.studio.show(commands.with_view, points=points)

    def _colors(self, context: EditorContext) -> None:
        heading("Colour by")
        state = context.studio.state
        none = why_not_results(state)
        colors = COLORS if state.document.scans is None else SCAN_COLORS
        half = psim.GetContentRegionAvail()[0] / 2
        widest = max(psim.CalcTextSize(label)[0] for _, label, _ in colors) + psim.GetFrameHeight()
        start = psim.GetCursorPosX()
        for number, (value, label, tip) in enumerate(colors):
            if number % 2 and widest <= half:
                psim.SameLine()
                psim.SetCursorPosX(start + half)
            why = none or why_not_color(state, value)
            with outlined(), disabled(why):
                if psim.RadioButton(label, state.view.color == value):
                    context.studio.show(commands.set_color, value)
                    context.studio.change_settings(color=value)
            tooltip(tip, why)


def why_not_color(state: State, color: ColorBy) -> str:
    """Empty when the results can be coloured by this, else the reason why not."""
    results, scans = state.results, state.document.scans
    if results is None:
        return why_not_results(state)
    if color == "disagreement" and len(results.samples.samples) < 2:
        return "There is only one result; generate more."
    if color == "own" and state.document.source is not None and own_looks(state.document.source) is None:
        return "The opened file has no colours or materials."
    if color in ("to_scan", "unseen") and scans is not None and not scans.point_counts().any():
        return "Images have no points to measure from."
    if color == "truth_error":
        if scans is None or scans.truth is None:
            return "There is no true surface: put it into the folder of the scans as truth.npz or truth.glb."
        if results.truth_error is None:
            return "The distance from the true surface is being computed."
    return ""


@remembered
def figures_of(sample: Reconstruction, several: bool) -> tuple[str, str]:
    """The figures of a reconstructed mesh in its table row."""
    seen = sample.fit[np.isfinite(sample.fit)]
    fit = _percent(float(seen.mean())) if seen.size else "-"
    return fit, _percent(float(sample.disagreement.mean())) if several else "-"


def stretches_much(sample: Sample) -> bool:
    return sample.stretch > MUCH_STRETCH


def motion_name(sample: Sample, own: str) -> str:
    """The user's name of a motion, else what it was borrowed from."""
    return own or sample.source or "from the handles"


@remembered
def about_sample(sample: Sample | Reconstruction, several: bool) -> str:
    """Further facts about a motion, for a tooltip."""
    if not isinstance(sample, Sample):
        return f"What was not seen follows a body of the bank: {sample.body}." if sample.body else ""
    lines = [
        sample.source or "Made from the handles alone.",
        f"Handles within {_percent(sample.handle_error)} of size.",
    ]
    if stretches_much(sample):
        lines.append("It stretches the mesh more than animations usually do.")
    if several:
        lines.append(f"Differs from the average of all by {_percent(sample.difference)}.")
    return "\n".join(lines)


def short_percent(fraction: float) -> str:
    """A percentage for a narrow column, with about two digits."""
    value = 100.0 * fraction
    return "0 %" if value < 0.05 else f"{value:.1f} %" if value < 9.95 else f"{value:.0f} %"


def _percent(fraction: float) -> str:
    """A fraction of the shape's size for the table."""
    value = 100.0 * fraction
    return "0 %" if value < 5e-4 else f"{value:.3f} %" if value < 0.1 else f"{value:.2f} %"
