"""Commands for pins over a range of frames and for easings: pure functions State -> State."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from core.key_easing import Easing
from core.sequence import Handle
from m2v_studio.document.commands import with_handles
from m2v_studio.document.selection import Key
from m2v_studio.document.state import State, frame_shown


def pin_at(handle: Handle, frame: int) -> int | None:
    """Index of the handle's pin that covers this frame."""
    return next((at for at, (first, last) in enumerate(handle.pins) if first <= frame <= last), None)


def pin_from_here(state: State, rows: Iterable[int], shape: NDArray) -> State:
    """Pin handles at their place on the mesh `shape` [V, 3], from the playhead to their next key or to the end."""
    frame, document = frame_shown(state), state.document
    handles = list(document.handles)
    for row in rows:
        handle = handles[row]
        after = [at for at in handle.keys if at > frame]
        last = max(min(after) - 1, frame) if after else document.frames - 1
        keys = dict(handle.keys)
        if frame > 0:
            keys.setdefault(frame, np.asarray(shape[handle.vertex], dtype=np.float64))
        handles[row] = replace(handle, keys=keys, pins=(*handle.pins, (frame, last)), pinned=False)
    return with_handles(state, handles)


def let_go_here(state: State, rows: Iterable[int]) -> State:
    """End the pins under the playhead; one that starts here is removed."""
    frame = frame_shown(state)
    handles = list(state.document.handles)
    for row in rows:
        at = pin_at(handles[row], frame)
        if at is not None:
            pins = list(handles[row].pins)
            first, _ = pins.pop(at)
            if first < frame:
                pins.append((first, frame))
            handles[row] = replace(handles[row], pins=tuple(pins))
    return with_handles(state, handles)


def remove_pins(state: State, rows: Iterable[int]) -> State:
    """Remove each handle's pin under the playhead; if there is none, all its pins."""
    handles, frame = list(state.document.handles), frame_shown(state)
    for row in rows:
        at = pin_at(handles[row], frame)
        pins = () if at is None else (*handles[row].pins[:at], *handles[row].pins[at + 1 :])
        handles[row] = replace(handles[row], pins=pins)
    return with_handles(state, handles)


def drag_pin(state: State, row: int, pin: int, first: int, last: int) -> State:
    """Change a pin's range; the key at its start, which sets its position, moves along."""
    handles, end = list(state.document.handles), state.document.frames - 1
    handle = handles[row]
    before = handle.pins[pin]
    first, last = min(max(first, 0), end), min(max(last, 0), end)
    if first > last:
        return state
    keys, turns = dict(handle.keys), dict(handle.turns)
    if first != before[0] and before[0] in keys and before[0] > 0 and first > 0:
        keys[first] = keys.pop(before[0])
        if before[0] in turns:
            turns[first] = turns.pop(before[0])
    pins = (*handle.pins[:pin], (first, last), *handle.pins[pin + 1 :])
    handles[row] = replace(handle, keys=keys, pins=pins, turns=turns)
    return with_handles(state, handles)


def set_easing(state: State, keys: Iterable[Key], easing: Easing | None) -> State:
    """Set the easing from these keys to the next ones; None leaves that motion free. Frame 0 is the rest pose."""
    by_row: dict[int, set[int]] = {}
    for row, frame in keys:
        by_row.setdefault(row, set()).add(frame)
    handles = list(state.document.handles)
    for row, frames in by_row.items():
        kept = {frame: eased for frame, eased in handles[row].easing.items() if frame not in frames}
        new: Mapping[int, Easing] = {} if easing is None else dict.fromkeys(frames, easing)
        handles[row] = replace(handles[row], easing={**kept, **new})
    return with_handles(state, handles)


def easing_of(state: State, key: Key) -> Easing | None:
    """The easing from this key to the next; None: free."""
    row, frame = key
    handles = state.document.handles
    return handles[row].easing.get(frame) if row < len(handles) else None
