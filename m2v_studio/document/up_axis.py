"""The up axis of a mesh's file: guessed, or set by the user. No Polyscope, no torch."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from core.io.mesh.source_mesh import guess_up_axis, units_note
from core.sequence import SourceMesh
from m2v_studio.document.scan_document import UP_AXES
from m2v_studio.document.state import State


@lru_cache(maxsize=2)  # a panel asks in every frame
def likely_up(source: SourceMesh) -> str:
    """The likely up axis if it differs from the one the mesh is read with; otherwise empty."""
    guess = guess_up_axis(source)
    return "" if guess == source.up_axis else guess


@lru_cache(maxsize=2)
def mesh_notes(source: SourceMesh) -> tuple[str, ...]:
    """Notes on a mesh for the user: what was left out, a likely other up axis, unknown units."""
    up = likely_up(source)
    likely = f"It probably has {up.upper()} up; see the button under Source." if up else ""
    return (*source.notes, *filter(None, (likely, units_note(source))))


def set_up_axis(state: State, axis: str) -> State:
    """Set the mesh's up axis; its vertices, handles and keys stay as they are in its file."""
    source = state.document.source
    if source is None or axis not in UP_AXES or axis == source.up_axis:
        return state
    turned = replace(source, up_axis=axis)
    return replace(state, document=replace(state.document, source=turned), message=f"{axis.upper()} is up.")
