"""Rows that dialogs share which write results into files: which results, where to, and the buttons at their end."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import polyscope.imgui as psim

from core.assets import asset_path
from core.sequence import SourceMesh
from m2v_studio.context import EditorContext
from m2v_studio.document.state import State, is_stale
from m2v_studio.view import theme
from m2v_studio.view.fields import label_left
from m2v_studio.view.style import rgba
from m2v_studio.view.widgets import button, escape_pressed, gap, scale, segmented, tooltip

LABEL = 110  # width of the words before the fields
WHERE = "Where to write it; missing folders are made"


def which_row(state: State, label: tuple[str, str], every: bool, all_of: str, tip: str) -> bool:
    """Whether every result is written, or only the one shown. `all_of` names them all, given their number."""
    assert state.results is not None
    samples = state.results.samples.samples
    count = len(samples)
    label_left(*label, LABEL)
    why = "" if count > 1 else "There is only one result."
    shown = f"Seed {samples[min(state.view.solo, count - 1)].seed}"
    pressed = segmented(
        "which",
        (
            (shown, "Only the result chosen in the table", "", not every or count < 2),
            (all_of.format(count), tip, why, every and count > 1),
        ),
    )
    return every if pressed is None else pressed == 1


def chosen_rows(state: State, every: bool) -> tuple[int, ...]:
    """The results that `which_row` stands for."""
    assert state.results is not None
    count = len(state.results.samples.samples)
    return tuple(range(count)) if every else (min(state.view.solo, count - 1),)


def path_row(context: EditorContext, title: str, path: str, chosen: Callable[[Path], None]) -> str:
    """The path as it is typed; the system's dialog with this title, where there is one, tells `chosen` of another."""
    label_left("File", WHERE, LABEL)
    psim.SetNextItemWidth(-96 * scale())
    _, path = psim.InputText("##out", path, psim.ImGuiInputTextFlags_ElideLeft)
    tooltip(f"{WHERE}.\n{path}")
    psim.SameLine()
    why = "" if context.files_available else "No system file dialog here; type the path."
    if button("Browse…", "Choose where to write it", why, width=-1.0):
        context.ask_save(title, Path(path), chosen)
    return path


def stale_line(state: State) -> None:
    """A warning where the results do not belong to what is shown."""
    if is_stale(state):
        psim.TextColored(rgba(theme.DANGER), "These results belong to an older edit.")


def closing_buttons(context: EditorContext, name: str, tip: str, path: str) -> Literal["cancel", "go"] | None:
    """Cancel, and the button with this name, at the right; None while neither is pressed."""
    gap(6)
    why = "" if path.strip() else "Give a file name."
    width = 120 * scale()
    both = 2 * width + psim.GetStyle().ItemSpacing[0]
    psim.SetCursorPosX(psim.GetCursorPosX() + psim.GetContentRegionAvail()[0] - both)
    escaped = context.top_dialog == name.lower() and escape_pressed()
    pressed = button("Cancel", "Close without writing (Esc)", width=width) or escaped
    psim.SameLine()
    go = button(name, tip, why, True, width=width)
    return "cancel" if pressed else "go" if go else None


def target(context: EditorContext, path: str) -> Path:
    """The place that was typed; its folder is where the next dialog begins."""
    out = Path(path.strip()).expanduser()
    context.studio.change_settings(folder=str(out.parent.resolve()))
    return out


def with_ending(path: str, old: str, new: str) -> str:
    """A path whose name keeps its stem and gets another ending."""
    return (path[: -len(old)] if old and path.endswith(old) else path) + new


def folder_for(last: str, source: SourceMesh | None) -> Path:
    """Where the last export went, else beside the opened file, else the home folder.

    Samples lie in the installed program, where a person's files do not belong.
    """
    beside = Path(source.path).parent if source is not None and source.path else None
    if beside is not None and asset_path("meshes").resolve() in (beside.resolve(), *beside.resolve().parents):
        beside = None
    folders = (Path(last) if last else None, beside)
    return next((folder for folder in folders if folder and os.access(folder, os.W_OK)), Path.home())
