"""The selected handles and keys. Panels show the details of the foremost one (`View.selected`, `View.key`)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from m2v_studio.document.state import State

Key = tuple[int, int]  # a handle's row and a frame


def chosen_rows(state: State) -> tuple[int, ...]:
    """Rows of the selected handles, ascending."""
    view, count = state.view, len(state.document.handles)
    rows = view.rows | (frozenset() if view.selected is None else {view.selected})
    return tuple(sorted(row for row in rows if row < count))


def chosen_keys(state: State) -> tuple[Key, ...]:
    """The selected keys that exist, by row and frame."""
    view, handles = state.view, state.document.handles
    keys = set(view.keys)
    if view.selected is not None and view.key is not None:
        keys.add((view.selected, view.key))
    return tuple(sorted((row, at) for row, at in keys if row < len(handles) and at > 0 and at in handles[row].keys))


def keys_to_edit(state: State) -> tuple[Key, ...]:
    """The keys that an edit changes: the selected keys, or if there are none, all keys of the selected handles."""
    return chosen_keys(state) or keys_of(state, chosen_rows(state))


def keys_of(state: State, rows: Iterable[int]) -> tuple[Key, ...]:
    """All keys after the rest pose of these handles."""
    handles = state.document.handles
    return tuple((row, frame) for row in sorted(rows) for frame in handles[row].keys if frame > 0)


# ---- commands ---------------------------------------------------------------------------------------------


def choose_handles(state: State, rows: Iterable[int], add: bool = False) -> State:
    """Select these handles and no key; `add` keeps the handles that are selected already."""
    wanted = frozenset(rows) | (frozenset(chosen_rows(state)) if add else frozenset())
    return _with(state, wanted, frozenset(), min(wanted, default=None), None)


def toggle_handle(state: State, row: int) -> State:
    """Add a handle to the selection, or take it out; one that is added becomes the foremost."""
    rows = frozenset(chosen_rows(state))
    if row in rows:
        rows -= {row}
        return _with(state, rows, frozenset(), min(rows, default=None), None)
    return _with(state, rows | {row}, frozenset(), row, None)


def choose_keys(state: State, keys: Iterable[Key], add: bool = False) -> State:
    """Select these keys with their handles; `add` keeps the keys that are selected already."""
    wanted = frozenset(keys) | (frozenset(chosen_keys(state)) if add else frozenset())
    if not wanted:
        return state if add else choose_handles(state, ())
    row, frame = min(wanted)
    return _with(state, frozenset(at for at, _ in wanted), wanted, row, frame)


def toggle_key(state: State, row: int, frame: int) -> State:
    """Add a key to the selection, or take it out."""
    keys = frozenset(chosen_keys(state))
    if (row, frame) in keys:
        return choose_keys(state, keys - {(row, frame)})
    return _with(state, frozenset({row} | {at for at, _ in keys}), keys | {(row, frame)}, row, frame)


def choose_all(state: State) -> State:
    """Select all keys with their handles; if they are selected already, or there are none, all handles."""
    everything = keys_of(state, range(len(state.document.handles)))
    if everything and chosen_keys(state) != everything:
        chosen = choose_keys(state, everything)
        return replace(chosen, view=replace(chosen.view, rows=frozenset(range(len(state.document.handles)))))
    return choose_handles(state, range(len(state.document.handles)))


def choose_nothing(state: State) -> State:
    return choose_handles(state, ())


def _with(state: State, rows: frozenset[int], keys: frozenset[Key], selected: int | None, key: int | None) -> State:
    return replace(state, view=replace(state.view, rows=rows, keys=keys, selected=selected, key=key))
