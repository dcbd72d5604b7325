"""Pins over a range of frames and easing, on the pure document and through a project file."""

from __future__ import annotations

import pickle
from itertools import pairwise
from pathlib import Path

import numpy as np

from core.key_easing import EASING_KINDS, Easing
from m2v_studio.document import block_edits, commands, pin_commands, selection
from m2v_studio.document.history import Session
from m2v_studio.document.key_edits import effect_of
from m2v_studio.document.project import load_project, save_project
from m2v_studio.document.state import Document, State, edit_key, tracks

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
    assert block_edits.delete_chosen(commands.select_key(eased, 0, 4)).document.handles[0].easing == {}


def test_pins_and_easing_go_through_the_project_file_and_to_the_worker(tmp_path: Path) -> None:
    import m2v_studio.work.messages  # noqa: F401  teaches pickle about handles

    state = pin_commands.pin_from_here(commands.set_time(keyed(), 6.0), (0,), shape(keyed()))
    state = pin_commands.set_easing(state, [(0, 4)], Easing("overshoot", 0.3))
    save_project(state, tmp_path / "held.m2v")
    document, _ = load_project(tmp_path / "held.m2v")
    for handle in (document.handles[0], pickle.loads(pickle.dumps(state.document.handles[0]))):
        assert handle.pins == ((6, 11),) and dict(handle.easing) == {4: Easing("overshoot", 0.3)}


def test_random_edits_of_everything_keep_every_handle_askable_and_undo_exactly(tmp_path: Path) -> None:
    random = np.random.default_rng(9)
    session = Session(keyed())
    start = session.state.document
    rest = shape(session.state)
    for step in range(190):
        state = session.state
        handles, frames = state.document.handles, state.document.frames
        rows = tuple(row for row in range(len(handles)) if random.random() < 0.5)
        keys = [key for key in selection.keys_of(state, range(len(handles))) if random.random() < 0.5]
        session.show(commands.set_time, float(random.integers(0, frames)))
        session.show(selection.choose_keys, keys)
        match random.integers(11):
            case 0:
                session.do("pin", pin_commands.pin_from_here, rows, rest)
            case 1:
                session.do("let go", pin_commands.let_go_here, rows)
            case 2:
                session.do("remove", pin_commands.remove_pins, rows)
            case 3:
                pinned = [row for row in range(len(handles)) if handles[row].pins]
                if pinned:
                    first, last = (int(value) for value in random.integers(-3, frames + 3, 2))
                    session.do("drag", pin_commands.drag_pin, pinned[0], 0, first, last)
            case 4:
                kind = EASING_KINDS[random.integers(len(EASING_KINDS))]
                easing = None if random.random() < 0.2 else Easing(kind, random.random())
                session.do("ease", pin_commands.set_easing, keys, easing)
            case 5:
                session.do("frames", commands.set_frames, int(random.integers(2, 40)))
            case 6:
                session.do("shift", block_edits.shift_keys, keys, int(random.integers(-9, 9)), random.random() < 0.3)
            case 7:
                session.do(
                    "scale", block_edits.scale_keys, keys, random.uniform(-2, 2), int(random.integers(0, frames))
                )
            case 8 if len(handles) < 8:
                session.do("add", commands.add_handle, int(random.integers(len(rest))))
            case 9 if frames > 1 and handles:
                row, frame = int(random.integers(len(handles))), int(random.integers(1, frames))
                session.do("key", commands.set_key, row, frame, random.normal(size=3))
            case 10 if len(handles) > 2:
                session.do("delete", block_edits.delete_chosen)
        document = session.state.document
        asked = tracks(document)
        asked.validate(rest)
        targets, mask = asked.constraints(rest)
        assert np.isfinite(targets).all() and mask[:, 0].all()
        for handle in document.handles:
            assert all(0 <= first <= last < document.frames for first, last in handle.pins)
            assert all(0 < frame < document.frames for frame in handle.keys)
            for (_, end), (begin, _) in pairwise(handle.pins):
                assert end < begin
        if step % 40 == 0:
            save_project(session.state, tmp_path / "random.m2v")
            assert edit_key_of(load_project(tmp_path / "random.m2v")[0]) == edit_key_of(document)
    while session.past:
        session.undo()
    assert session.state.document is start


def edit_key_of(document: Document) -> list[object]:
    """What the handles ask for, whatever mesh object they are on."""
    return [effect_of(handle) for handle in document.handles]
