"""Commands for handles with regions, and which vertices a lasso selects. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import HandleError
from core.geometry.binding import mesh_components
from core.sequence import Handle, SourceMesh
from m2v_studio.document import commands
from m2v_studio.document.selection import choose_handles
from m2v_studio.document.state import Document, State
from m2v_studio.document.words import counted

FEWEST = 4
SMALL = "This part of the shape is too small to hold; take more of it."


def add_region(state: State, vertices: ArrayLike) -> State:
    """Add and select a handle that moves vertices [N] as one rigid piece. Handles inside it are replaced.

    Raises HandleError when there are too few vertices, or too many handles.
    """
    source = state.document.source
    wanted = np.unique(np.asarray(vertices, dtype=np.int64))
    if source is None:
        return state
    if len(wanted) < FEWEST:
        raise HandleError(SMALL)
    cleared, gone = _without_handles(state, wanted)
    added = commands.add_handle(cleared, middle_of(source, wanted))
    row = len(added.document.handles) - 1
    taken = {handle.name for handle in added.document.handles[:-1]}
    name = next(name for number in range(1, len(taken) + 2) if (name := f"region {number}") not in taken)
    changed = commands.with_handle(added, row, region=wanted, name=name)
    replaced = f" It replaces {counted(gone, 'handle')} inside it." if gone else ""
    return replace(changed, message=f"Added {name}.{replaced}")


def change_region(state: State, row: int, vertices: ArrayLike, take_away: bool) -> State:
    """Add vertices to a handle's region, or remove them; the handle stays in place.

    A handle without a region gets one.
    """
    handle = state.document.handles[row]
    own, other = np.union1d(handle.region, [handle.vertex]), np.asarray(vertices, dtype=np.int64)
    wanted = np.setdiff1d(own, other) if take_away else np.union1d(own, other)
    cleared, _ = _without_handles(state, wanted, keep=handle)
    row = cleared.document.handles.index(handle)
    changed = commands.with_handle(cleared, row, region=wanted)
    message = f"{handle.name} has {len(wanted):,} vertices."
    return replace(choose_handles(changed, (row,)), message=message)


def repaint(state: State, began: Document, row: int | None, vertices: ArrayLike, take_away: bool = False) -> State:
    """Apply a whole brush stroke to the document at its start: a new region, or a changed one."""
    before = replace(state, document=began)
    return add_region(before, vertices) if row is None else change_region(before, row, vertices, take_away)


def dissolve(state: State, rows: Iterable[int]) -> State:
    """Turn regions back into single handles."""
    for row in rows:
        state = commands.with_handle(state, row, region=np.zeros(0, dtype=np.int64))
    return state


def middle_of(source: SourceMesh, vertices: NDArray[np.int64]) -> int:
    """The vertex of a region that is nearest to its middle."""
    places = source.vertices[vertices].astype(np.float64)
    return int(vertices[np.linalg.norm(places - places.mean(axis=0), axis=1).argmin()])


def circled(source: SourceMesh, inside: NDArray[np.bool_], seen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The vertices that a lasso selects, from masks [V] of those drawn `inside` it and those not hidden, `seen`.

    They are the most visible connected piece inside the lasso, with its far side, so a leg is selected without the leg
    behind it. Loose parts that lie completely inside, such as eyes, are added.
    """
    if not (inside & seen).any():
        return np.zeros(0, dtype=np.int64)
    everywhere = mesh_components(source.faces, len(inside))
    within = mesh_components(source.faces[inside[source.faces].all(axis=1)], len(inside))
    largest = np.bincount(within[inside & seen]).argmax()
    meant = inside & (within == largest)
    parts = everywhere.max() + 1
    whole = np.bincount(everywhere, minlength=parts) == np.bincount(everywhere[inside], minlength=parts)
    places = source.vertices
    low, high = places[meant].min(axis=0), places[meant].max(axis=0)
    near = ((places >= low) & (places <= high)).all(axis=1)
    return np.flatnonzero(meant | (inside & whole[everywhere] & near))


def _without_handles(state: State, vertices: NDArray[np.int64], keep: Handle | None = None) -> tuple[State, int]:
    """Remove handles on these vertices, and these vertices from other regions; also returns the number removed."""
    kept: list[Handle] = []
    for handle in state.document.handles:
        if handle is keep or handle.vertex not in vertices:
            shared = handle is not keep and np.isin(handle.region, vertices).any()
            kept.append(replace(handle, region=np.setdiff1d(handle.region, vertices)) if shared else handle)
    gone = len(state.document.handles) - len(kept)
    return commands.with_handles(state, kept), gone
