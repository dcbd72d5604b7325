"""Edits of several keys at once: retime, copy, paste, delete, mirror, and key a pose. Pure functions of State."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import HandleError
from core.sequence import Handle, SourceMesh
from m2v_studio.document import commands
from m2v_studio.document.key_edits import fitted
from m2v_studio.document.regions import add_region
from m2v_studio.document.selection import (
    Key,
    choose_handles,
    choose_keys,
    chosen_keys,
    chosen_rows,
    keys_of,
    keys_to_edit,
)
from m2v_studio.document.state import State, frame_shown, shown_pose, shown_samples
from m2v_studio.document.symmetry import mirror_of
from m2v_studio.document.turning import turn_of, with_key, with_turns
from m2v_studio.document.words import counted

REST_FRAME = "Frame 0 is the rest pose and has no keys; move the playhead to another frame."


@dataclass(frozen=True, eq=False)
class KeyClip:
    """Copied keys of each handle's vertex: by frame, the offset from its rest position [3] and its turn."""

    source: SourceMesh
    offsets: tuple[tuple[int, Mapping[int, NDArray[np.float64]]], ...]
    turns: Mapping[int, Mapping[int, NDArray[np.float64]]] = field(default_factory=dict)  # by vertex and frame
    regions: Mapping[int, NDArray[np.int64]] = field(default_factory=dict)  # by vertex

    @property
    def first(self) -> int:
        return min(frame for _, keys in self.offsets for frame in keys)

    def __len__(self) -> int:
        return sum(len(keys) for _, keys in self.offsets)


# ---- time -------------------------------------------------------------------------------------------------


def shift_keys(state: State, keys: Iterable[Key], by: int, copy: bool = False) -> State:
    """Move or copy keys by whole frames, as one block that stays within the motion. It replaces keys in its place."""
    block = tuple(keys)
    frames = [frame for _, frame in block]
    if not block:
        return state
    by = min(max(by, 1 - min(frames)), state.document.frames - 1 - max(frames))
    return _retimed(state, block, {frame: frame + by for frame in frames}, copy) if by else state


def scale_keys(state: State, keys: Iterable[Key], factor: float, about: int) -> State:
    """Scale keys in time around frame `about`; a negative factor reverses them.

    Keys of one frame stay in one frame; different frames stay different.
    """
    block = tuple(keys)
    before = sorted({frame for _, frame in block})
    if not before:
        return state
    wanted = [about + (frame - about) * factor for frame in before]
    if factor < 0:
        wanted.reverse()
    after = fitted(wanted, 1, state.document.frames - 1)
    if factor < 0:
        after.reverse()
    return _retimed(state, block, dict(zip(before, after, strict=True)), False)


def _retimed(state: State, block: tuple[Key, ...], to: Mapping[int, int], copy: bool) -> State:
    if all(frame == to[frame] for _, frame in block):
        return state
    handles = list(state.document.handles)
    for row in {row for row, _ in block}:
        moved = {frame for at, frame in block if at == row}
        keys, easing, turns = (
            _at_new_frames(values, moved, to, copy)
            for values in (handles[row].keys, handles[row].easing, handles[row].turns)
        )
        pins = handles[row].pins if copy else tuple(_moved_pin(pin, moved, to, state) for pin in handles[row].pins)
        handles[row] = replace(handles[row], keys=keys, easing=easing, pins=pins, turns=turns)
    return choose_keys(commands.with_handles(state, handles), ((row, to[frame]) for row, frame in block))


def _at_new_frames(values: Mapping[int, Any], moved: set[int], to: Mapping[int, int], copy: bool) -> dict[int, Any]:
    """The keys' data by new frame; where a moved key replaces another, all data of the other are dropped."""
    landed = {to[frame] for frame in moved}
    kept = {at: value for at, value in values.items() if (copy or at not in moved) and at not in landed}
    return kept | {to[frame]: values[frame] for frame in moved if frame in values}


def _moved_pin(pin: tuple[int, int], moved: set[int], to: Mapping[int, int], state: State) -> tuple[int, int]:
    """A pin moves with the key that sets its position."""
    first, last = pin
    by = to[first] - first if first in moved else 0
    return first + by, max(min(last + by, state.document.frames - 1), first + by)


# ---- copy, paste, delete ----------------------------------------------------------------------------------


def copied(state: State) -> KeyClip | None:
    """The keys to copy; None when there are none."""
    source, handles = state.document.source, state.document.handles
    block = keys_to_edit(state)
    if source is None or not block:
        return None
    found: dict[int, dict[int, NDArray[np.float64]]] = {}
    for row, frame in block:
        vertex = handles[row].vertex
        found.setdefault(vertex, {})[frame] = handles[row].keys[frame] - source.vertices[vertex]
    turns = {handle.vertex: dict(handle.turns) for handle in handles}
    return KeyClip(source, tuple(found.items()), turns, {handle.vertex: handle.region for handle in handles})


def paste_keys(state: State, clip: KeyClip, frame: int) -> State:
    """Write copied keys so that the first is at `frame`; keys past the end are dropped.

    Keys of a single handle go to the selected handle if one is selected. Otherwise each goes to its own handle, which
    is added again if it is missing. Raises HandleError for keys of another mesh.
    """
    document = state.document
    if document.source is not clip.source:
        raise HandleError("These keys were copied from another mesh; copy keys from this one.")
    rows = chosen_rows(state)
    onto_chosen = len(clip.offsets) == 1 and len(rows) == 1
    by = max(frame, 1) - clip.first
    written: list[Key] = []
    for vertex, offsets in clip.offsets:
        if onto_chosen:
            row = rows[0]
        else:
            gone = all(vertex not in (handle.vertex, *handle.region) for handle in state.document.handles)
            if gone and len(clip.regions.get(vertex, ())):
                state = add_region(state, [vertex, *clip.regions[vertex]])
            state = commands.add_handle(state, vertex)
            row = state.view.selected if state.view.selected is not None else 0
        rest = clip.source.vertices[state.document.handles[row].vertex]
        for at, offset in offsets.items():
            if at + by < document.frames:
                state = with_key(state, row, at + by, rest + offset, clip.turns.get(vertex, {}).get(at))
                written.append((row, at + by))
    left_out = len(clip) - len(written)
    note = f" {counted(left_out, 'key')} past the last frame left out." if left_out else ""
    return replace(choose_keys(state, written), message=f"Pasted {counted(len(written), 'key')}.{note}")


def delete_chosen(state: State) -> State:
    """Delete the selected keys, or if none is selected, the selected handles."""
    handles = state.document.handles
    block, rows = chosen_keys(state), chosen_rows(state)
    if block:
        gone = set(block)
        kept = (
            replace(handle, keys={f: p for f, p in handle.keys.items() if (row, f) not in gone})
            for row, handle in enumerate(handles)
        )
        return replace(
            choose_handles(commands.with_handles(state, kept), rows), message=f"Deleted {counted(len(block), 'key')}."
        )
    if len(rows) == 1:
        return commands.delete_handle(state, rows[0])
    left = (handle for row, handle in enumerate(handles) if row not in rows)
    return replace(
        choose_handles(commands.with_handles(state, left), ()), message=f"Deleted {counted(len(rows), 'handle')}."
    )


def pin_handles(state: State, rows: Iterable[int], pinned: bool) -> State:
    """Pin or free several handles; a pinned handle keeps its keys for when it is freed."""
    wanted = set(rows)
    handles = state.document.handles
    return commands.with_handles(
        state, (replace(h, pinned=pinned) if r in wanted else h for r, h in enumerate(handles))
    )


# ---- poses ------------------------------------------------------------------------------------------------


def shown_vertices(state: State) -> NDArray[np.float32] | None:
    """The mesh [V, 3] as shown in the frame under the playhead, in its own units; None without a mesh."""
    source, pose = state.document.source, shown_pose(state)
    if source is None:
        return None
    if pose is not None:
        return pose.track[0]
    if state.results is None:
        return source.vertices
    track = state.results.samples.samples[shown_samples(state)[0]].sequence.vertices
    if track.shape[1] != len(source.vertices):
        return source.vertices
    return track[min(frame_shown(state), len(track) - 1)]


def rows_to_key(state: State) -> tuple[int, ...]:
    """Rows of the handles that `key_pose` keys: the selected ones, or all if none is selected, without pinned ones."""
    handles = state.document.handles
    return tuple(row for row in chosen_rows(state) or range(len(handles)) if not handles[row].pinned)


def key_pose(state: State, vertices: ArrayLike) -> State:
    """Write a key at the playhead for each of `rows_to_key`, at the handle's place on the mesh `vertices` [V, 3]."""
    frame, shape = frame_shown(state), np.asarray(vertices, dtype=np.float64)
    rows, source, handles = rows_to_key(state), state.document.source, state.document.handles
    if frame == 0:
        raise HandleError(REST_FRAME)
    moved = move_handles(state, {row: shape[handles[row].vertex] for row in rows}, frame)
    if source is None:
        return moved
    turns = {
        row: turn_of(source, shape, handles[row]) for row in rows if handles[row].turns or len(handles[row].region)
    }
    return with_turns(moved, turns, frame)


def move_handles(state: State, places: Mapping[int, ArrayLike], frame: int) -> State:
    """Write a key at `frame` for several handles, by row, and select these keys."""
    if state.document.source is None or not places:
        return state
    handles = list(state.document.handles)
    for row, place in places.items():
        handles[row] = commands.keyed_handle(state.document, row, frame, place)
    front = state.view.selected if state.view.selected in places else min(places)
    chosen = choose_keys(commands.with_handles(state, handles), ((row, frame) for row in places))
    return replace(chosen, view=replace(chosen.view, selected=front, key=frame))


def turn_handles(
    state: State, places: Mapping[int, ArrayLike], turns: Mapping[int, ArrayLike | None], frame: int
) -> State:
    """Write keys at `frame` with a turn, an axis [3] times degrees, for several handles, by row."""
    return with_turns(move_handles(state, places, frame), turns, frame)


def mirrored_keys(state: State) -> State:
    """Mirror the selected keys, or the pins of pinned handles, to the handles on the other side of the body.

    Missing handles are added there. A handle in the middle of the body is mirrored in place.
    """
    source = state.document.source
    rows = chosen_rows(state) or tuple(range(len(state.document.handles)))
    if source is None or not rows:
        return state
    mirror = mirror_of(source)
    block = keys_to_edit(state) or keys_of(state, rows)
    given: tuple[Handle, ...] = state.document.handles
    written: list[Key] = []
    touched: list[int] = []
    for row in rows:
        handle = given[row]
        keys = {frame: (mirror.point(handle.keys[frame]), handle.turns.get(frame)) for at, frame in block if at == row}
        partner = mirror.vertex(handle.vertex)
        if partner == handle.vertex and handle.pinned:
            continue
        if len(handle.region) and not any(partner in (h.vertex, *h.region) for h in state.document.handles):
            state = add_region(state, [mirror.vertex(int(vertex)) for vertex in (handle.vertex, *handle.region)])
            partner = state.document.handles[-1].vertex
        state = commands.add_handle(state, partner, handle.pinned)
        to = state.view.selected if state.view.selected is not None else 0
        # The middle vertices of two mirrored regions need not mirror each other.
        beside = source.vertices[state.document.handles[to].vertex] - mirror.point(source.vertices[handle.vertex])
        touched.append(to)
        for frame, (place, turn) in keys.items():
            state = with_key(state, to, frame, place + beside, None if turn is None else mirror.turn(turn))
            written.append((to, frame))
    chosen = choose_keys(state, written) if written else choose_handles(state, touched)
    return replace(chosen, message=f"Mirrored {counted(len(rows), 'handle')} to the other side.")
