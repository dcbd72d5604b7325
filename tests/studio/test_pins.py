"""Pins over a range of frames and easing, on the pure document and through a project file."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np

from core.key_easing import Easing
from m2v_studio.document import block_edits, commands, pin_commands
from m2v_studio.document.project import load_project, save_project
from m2v_studio.document.state import State, edit_key, tracks

from .shapes import ball


def keyed() -> State:
    state = commands.add_handle(commands.open_source(State(), ball()), 3)
    assert state.document.source is not None
    for frame in (4, 12):
        state = commands.set_key(state, 0, frame, state.document.source.vertices[3] + 0.05 * frame)
    return commands.select_handle(state, 0)


def given(state: State) -> list[int]:
    assert state.document.source is not None
    return [int(f) for f in np.flatnonzero(tracks(state.document).constraints(state.document.source.vertices)[1][0])]


def shape(state: State) -> np.ndarray:
    assert state.document.source is not None
    return np.asarray(state.document.source.vertices)


def test_a_foot_holds_from_the_playhead_to_its_next_key_and_is_let_go() -> None:
    state = pin_commands.pin_from_here(commands.set_time(keyed(), 6.0), (0,), shape(keyed()))
    handle = state.document.handles[0]
    assert handle.pins == ((6, 11),) and list(handle.keys) == [4, 6, 12]
    assert given(state) == [0, 4, 6, 7, 8, 9, 10, 11, 12]
    shorter = pin_commands.let_go_here(commands.set_time(state, 9.0), (0,))
    assert shorter.document.handles[0].pins == ((6, 9),)
    gone = pin_commands.let_go_here(commands.set_time(shorter, 6.0), (0,))
    assert gone.document.handles[0].pins == ()
    standing = pin_commands.pin_from_here(commands.set_time(keyed(), 0.0), (0,), shape(keyed()))
    assert standing.document.handles[0].pins == ((0, 3),) and 0 not in standing.document.handles[0].keys


def test_the_ends_of_a_pin_are_dragged_and_its_key_goes_along() -> None:
    state = pin_commands.pin_from_here(commands.set_time(keyed(), 6.0), (0,), shape(keyed()))
    place = state.document.handles[0].keys[6]
    longer = pin_commands.drag_pin(state, 0, 0, 5, 14)
    assert longer.document.handles[0].pins == ((5, 14),)
    np.testing.assert_array_equal(longer.document.handles[0].keys[5], place)
    assert 6 not in longer.document.handles[0].keys
    assert pin_commands.drag_pin(state, 0, 0, 9, 3) is state
    assert pin_commands.drag_pin(state, 0, 0, -4, 99).document.handles[0].pins == ((0, 16),)


def test_a_pin_goes_along_with_its_key_and_with_the_length() -> None:
    state = pin_commands.pin_from_here(commands.set_time(keyed(), 6.0), (0,), shape(keyed()))
    moved = block_edits.shift_keys(state, [(0, 6)], 2)
    assert moved.document.handles[0].pins == ((8, 13),)
    longer = commands.set_frames(state, 33)
    assert longer.document.handles[0].pins == ((12, 22),) and list(longer.document.handles[0].keys) == [8, 12, 24]
    shorter = commands.set_frames(state, 5)
    assert shorter.document.handles[0].pins[0][1] <= 4
    tracks(shorter.document).validate(shape(state))


def test_easing_goes_along_with_its_key_and_asks_for_another_motion() -> None:
    state = keyed()
    eased = pin_commands.set_easing(state, [(0, 4)], Easing("smooth", 1.0))
    assert edit_key(eased.document) != edit_key(state.document)
    assert given(eased) == [0, *range(4, 13)]
    moved = block_edits.shift_keys(eased, [(0, 4)], 2)
    assert list(moved.document.handles[0].easing) == [6] and given(moved) == [0, *range(6, 13)]
    bent = pin_commands.set_easing(eased, [(0, 4)], Easing("smooth", 0.5))
    assert edit_key(bent.document) != edit_key(eased.document)
    assert pin_commands.set_easing(eased, [(0, 4)], None).document.handles[0].easing == {}
    assert commands.delete_key(eased, 0, 4).document.handles[0].easing == {}


def test_pins_and_easing_go_through_the_project_file_and_to_the_worker(tmp_path: Path) -> None:
    import m2v_studio.work.messages  # noqa: F401  teaches pickle about handles

    state = pin_commands.pin_from_here(commands.set_time(keyed(), 6.0), (0,), shape(keyed()))
    state = pin_commands.set_easing(state, [(0, 4)], Easing("overshoot", 0.3))
    save_project(state, tmp_path / "held.m2v")
    document, _ = load_project(tmp_path / "held.m2v")
    for handle in (document.handles[0], pickle.loads(pickle.dumps(state.document.handles[0]))):
        assert handle.pins == ((6, 11),) and dict(handle.easing) == {4: Easing("overshoot", 0.3)}
