"""Rows shared by the dialogs that write results to files: which results, the path, and the buttons."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import polyscope.imgui as psim

from core.assets import asset_path
from core.sequence import SourceMesh
from m2v_studio.context import EditorContext, Place
from m2v_studio.document.names import default_export_name
from m2v_studio.document.state import State, is_stale
from m2v_studio.panels.dialogs import path_field
from m2v_studio.view import theme
from m2v_studio.view.fields import label_left
from m2v_studio.view.style import rgba
from m2v_studio.view.widgets import button, escape_pressed, gap, muted, scale, segmented

LABEL = 110  # width of the labels
WHERE = "Where to write it; missing folders are made"


def which_row(state: State, label: tuple[str, str], every: bool, all_of: str, tip: str) -> bool:
    """A choice between all results and the one shown. `all_of` labels them all, given their number."""
    assert state.results is not None
    samples = state.results.samples.samples
    count = len(samples)
    label_left(*label, LABEL)
    why = "" if count > 1 else "There is only one result."
    shown = f"Seed {samples[min(state.view.solo, count - 1)].seed}"
    every_one = all_of.format(count) if count > 1 else all_of.replace(" {}", "")
    options = ((shown, "Only the result selected in the table", ""), (every_one, tip, why))
    pressed = segmented("which", options, int(every and count > 1))
    return pressed == 1 if count > 1 else every


def chosen_rows(state: State, every: bool) -> tuple[int, ...]:
    """The results chosen in `which_row`."""
    assert state.results is not None
    count = len(state.results.samples.samples)
    return tuple(range(count)) if every else (min(state.view.solo, count - 1),)


def last_rows(
    context: EditorContext, name: str, tip: str, place: Place, note: str = "", why_not: str = ""
) -> Literal["cancel", "go"] | None:
    """The path, a warning about stale results, Cancel, and the named button; returns which of the two was pressed."""
    label_left("File", WHERE, LABEL)
    ask = lambda: context.ask_save(f"{name} as", Path(place.path), place.choose)  # noqa: E731
    path_field(context, place, (f"{WHERE}.\n{place.path}", "Choose where to write it"), ask)
    if is_stale(context.studio.state):
        psim.TextColored(rgba(theme.DANGER), "These results belong to an older edit.")
    if note:
        muted(note)
    gap(6)
    why = why_not or ("" if place.path.strip() else "Give a file name.")
    width = 120 * scale()
    both = 2 * width + psim.GetStyle().ItemSpacing[0]
    psim.SetCursorPosX(psim.GetCursorPosX() + psim.GetContentRegionAvail()[0] - both)
    escaped = context.top_dialog == name.lower() and escape_pressed()
    pressed = button("Cancel", "Close without writing (Esc)", width=width) or escaped
    psim.SameLine()
    go = button(name, tip, why, True, width=width)
    return "cancel" if pressed else "go" if go else None


def suggested(context: EditorContext, place: Place, ending: str) -> None:
    """A suggested path beside the dialog's last file, else in `folder_for`."""
    state = context.studio.state
    last = context.studio.settings.folder
    folder = Path(place.path).parent if place.path else folder_for(last, state.document.source)
    place.path = str(folder / f"{default_export_name(state)}{ending}")


def target(context: EditorContext, place: Place) -> Path:
    """The typed path; the next dialog starts in its folder."""
    out = Path(place.path.strip()).expanduser()
    context.studio.change_settings(folder=str(out.parent.resolve()))
    return out


def with_ending(path: str, old: str, new: str) -> str:
    """The path with another suffix."""
    return (path[: -len(old)] if old and path.endswith(old) else path) + new


def folder_for(last: str, source: SourceMesh | None) -> Path:
    """The folder of the last export, else that of the opened file, else the home folder.

    Bundled samples lie in the installed program, where users' files do not belong.
    """
    beside = Path(source.path).parent if source is not None and source.path else None
    if beside is not None and asset_path("meshes").resolve() in (beside.resolve(), *beside.resolve().parents):
        beside = None
    folders = (Path(last) if last else None, beside)
    return next((folder for folder in folders if folder and os.access(folder, os.W_OK)), Path.home())
