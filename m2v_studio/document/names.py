"""Default names of handles and files."""

from __future__ import annotations

from m2v_studio.document.state import Document, State


def handle_label(document: Document, row: int) -> str:
    return document.handles[row].name or f"handle {row + 1}"


def default_export_name(state: State) -> str:
    scans, source = state.document.scans, state.document.source
    if scans is not None:
        return f"{scans.name}-mesh"
    return "motion" if source is None else f"{source.name}-motion"
