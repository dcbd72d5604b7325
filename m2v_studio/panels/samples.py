"""The results: a table of seeds, how to show them, what to colour them by, and the way out (Export)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polyscope.imgui as psim

from m2v_studio import commands, theme
from m2v_studio.panels.style import packed, rgba
from m2v_studio.panels.widgets import (
    button,
    disabled,
    gap,
    heading,
    muted,
    outlined,
    rule,
    scale,
    segmented,
    tooltip,
)
from m2v_studio.state import ColorBy, Layout, is_stale, next_step, shown_samples, why_not_results

if TYPE_CHECKING:
    from m2v_studio.app import App

COLUMNS = (
    ("seed", "The number this motion was started from; the key 1 to 9 shows it alone."),
    ("error", "Largest distance of a handle from where you put it, in per cent of the shape's size."),
    ("differs", "Mean distance of this motion from the average of all, in per cent of the shape's size."),
)
COLORS: tuple[tuple[ColorBy | None, str, str], ...] = (
    ("none", "seed colour", "One colour per seed"),
    ("disagreement", "disagreement", "How far the seeds differ at each point and frame (standard deviation)"),
    ("handle_error", "handle error", "How far each handle is from where it should be at this frame"),
    (None, "to the scan", "Distance to the scanned points"),
)


class SamplesPanel:
    def draw(self, app: App) -> None:
        state = app.studio.state
        heading("Results")
        if state.results is None:
            muted("Motions appear here. Drag a handle to see a first draft, then generate several.")
        else:
            if is_stale(state):
                muted("These belong to an older edit; generate to replace them.")
            self._table(app)
        rule()
        self._layout(app)
        rule()
        self._colors(app)
        height = psim.GetFrameHeight() * 1.35
        rest = psim.GetContentRegionAvail()[1] - height - psim.GetStyle().ItemSpacing[1]
        if rest > 0:
            psim.Dummy((1.0, rest))
        why = why_not_results(state)
        if button("Export…", "Write the motion for Blender, Maya, Houdini or a game engine (Ctrl+E)", why,
                  next_step(state) == "export", width=-1.0, height=height):  # fmt: skip
            app.open_export()

    def _table(self, app: App) -> None:
        state = app.studio.state
        assert state.results is not None
        samples = state.results.samples.samples
        rows = min(len(samples), 9)
        s = scale()
        flags = psim.ImGuiTableFlags_SizingStretchProp
        if len(samples) > rows:
            flags |= psim.ImGuiTableFlags_ScrollY
        outer = (0.0, (rows + 1) * (psim.GetTextLineHeight() + 12 * s) if len(samples) > rows else 0.0)
        if not psim.BeginTable("##results", 3, flags, outer):
            return
        for (name, _), weight in zip(COLUMNS, (0.8, 1.0, 1.1), strict=True):
            psim.TableSetupColumn(name, psim.ImGuiTableColumnFlags_WidthStretch, weight)
        psim.TableNextRow()
        for name, tip in COLUMNS:
            psim.TableNextColumn()
            psim.TextColored(rgba(theme.TEXT_MUTED), name)
            tooltip(tip)
        shown = shown_samples(state)
        alone = state.view.layout == "one"
        for row, sample in enumerate(samples):
            psim.TableNextRow()
            psim.TableNextColumn()
            x, y = psim.GetCursorScreenPos()
            height = psim.GetTextLineHeight()
            chosen = alone and row in shown
            span = psim.ImGuiSelectableFlags_SpanAllColumns
            if psim.Selectable(f"     {sample.seed}##row{row}", chosen, span, (0.0, height)):
                app.studio.show(commands.solo, row)
            tooltip(f"Show seed {sample.seed} alone" + (f" (key {row + 1})" if row < 9 else ""))
            color = theme.result_color(row)
            draw = psim.GetWindowDrawList()
            draw.AddCircleFilled((x + 8 * s, y + height / 2 + 1 * s), 5.5 * s, packed(color), 20)
            psim.TableNextColumn()
            psim.TextUnformatted(_percent(sample.handle_error))
            psim.TableNextColumn()
            psim.TextUnformatted(_percent(sample.difference) if len(samples) > 1 else "-")
        psim.EndTable()
        gap(1)
        result = state.results.samples
        kind = "draft" if state.results.quality == "draft" else state.results.quality
        muted(f"{kind}, {result.seconds:.1f} s on {result.device}")

    def _layout(self, app: App) -> None:
        heading("Show")
        state = app.studio.state
        none = why_not_results(state)
        single = none or ("" if len(state.results.samples.samples) > 1 else "There is only one result; generate more.")  # type: ignore[union-attr]
        layouts: tuple[Layout, ...] = ("one", "side", "overlay")
        now = state.view.layout
        pressed = segmented(
            "layout",
            (
                ("Solo", "One result alone (1 to 9)", none, now == "one"),
                (_fitting("Side by side", "Side"), "All results beside each other (S)", single, now == "side"),
                ("Overlay", "All results in one place (O)", single, now == "overlay"),
            ),
        )
        if pressed is not None:
            app.studio.show(commands.set_layout, layouts[pressed])

    def _colors(self, app: App) -> None:
        heading("Colour by")
        state = app.studio.state
        none = why_not_results(state)
        for value, label, tip in COLORS:
            why = none
            if value is None:
                why = "The source is a mesh; this needs scans."
            elif value == "disagreement" and not why and len(state.results.samples.samples) < 2:  # type: ignore[union-attr]
                why = "There is only one result; generate more."
            with outlined(), disabled(why):
                if psim.RadioButton(label, state.view.color == value) and value is not None:
                    app.studio.show(commands.set_color, value)
            tooltip(tip, why)


def _fitting(long: str, short: str) -> str:
    """The short name where three buttons in a row would cut the long one."""
    third = psim.GetContentRegionAvail()[0] / 3 - 6 * scale()
    return long if psim.CalcTextSize(long)[0] <= third else short


def _percent(fraction: float) -> str:
    """A fraction of the shape's size for the table."""
    value = 100.0 * fraction
    return "0 %" if value < 5e-4 else f"{value:.3f} %" if value < 0.1 else f"{value:.2f} %"
