"""The document: every edit is undone exactly, one gesture is one step, and edits keep their promises."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import HandleError
from core.pipelines.request import Quality
from core.sequence import MAX_TARGET_DISTANCE
from m2v_studio.document import block_edits, commands, job_commands
from m2v_studio.document.block_edits import shift_keys
from m2v_studio.document.history import Session
from m2v_studio.document.state import State, edit_key, is_stale, next_step, sampling, tracks, why_not_generate

from .shapes import opened_state, sample_set

EDITS = st.one_of(
    st.tuples(st.just("add"), st.integers(0, 40), st.booleans()),
    st.tuples(st.just("key"), st.integers(0, 5), st.integers(1, 16)),
    st.tuples(st.just("unkey"), st.integers(0, 5), st.integers(1, 16)),
    st.tuples(st.just("move"), st.integers(0, 5), st.integers(-3, 40)),
    st.tuples(st.just("pin"), st.integers(0, 5), st.booleans()),
    st.tuples(st.just("hold"), st.integers(0, 5), st.booleans()),
    st.tuples(st.just("delete"), st.integers(0, 5), st.just(0)),
    st.tuples(st.just("frames"), st.integers(-5, 300), st.just(0)),
    st.tuples(st.just("seeds"), st.integers(-5, 300), st.just(0)),
)


def apply(session: Session, edit: tuple) -> None:
    kind, a, b = edit
    handles = session.state.document.handles
    row = a % len(handles) if handles else 0
    if kind == "add":
        session.do("add", commands.add_handle, a, b)
    elif kind == "frames":
        session.do("frames", commands.set_frames, a)
    elif kind == "seeds":
        session.do("seeds", commands.set_seeds, a)
    elif not handles:
        return
    elif kind == "key":
        frame = min(b, session.state.document.frames - 1)
        session.do("key", commands.set_key, row, frame, [a, b, 1.0])
    elif kind == "unkey":
        if b in handles[row].keys:
            session.do("unkey", lambda state: block_edits.delete_chosen(commands.select_key(state, row, b)))
    elif kind == "move" and handles[row].keys:
        session.do("move", shift_keys, [(row, next(iter(handles[row].keys)))], b, a % 2 == 0)
    elif kind == "pin":
        session.do("pin", commands.set_pinned, row, b)
    elif kind == "hold":
        session.do("hold", commands.set_hold, row, b)
    elif kind == "delete":
        session.do("delete", commands.delete_handle, row)


@settings(max_examples=60, deadline=None)
@given(st.lists(EDITS, max_size=14))
def test_undo_goes_back_through_the_same_documents_and_redo_forward(edits: list[tuple]) -> None:
    session = Session(opened_state())
    seen = [session.state.document]
    for edit in edits:
        apply(session, edit)
        if session.state.document is not seen[-1]:
            seen.append(session.state.document)
    for document in reversed(seen[:-1]):
        session.undo()
        assert session.state.document is document
        view = session.state.view
        assert view.selected is None or view.selected < len(document.handles)
        assert view.time <= document.frames - 1
    session.undo()
    assert session.state.document is seen[0]
    for document in seen[1:]:
        session.redo()
        assert session.state.document is document


@settings(max_examples=60, deadline=None)
@given(st.lists(EDITS, max_size=14))
def test_whatever_is_edited_the_pipeline_gets_valid_tracks(edits: list[tuple]) -> None:
    session = Session(opened_state())
    for edit in edits:
        apply(session, edit)
    document = session.state.document
    assert document.source is not None
    tracks(document).validate(document.source.vertices)


def test_a_gesture_is_one_step_and_the_next_gesture_another() -> None:
    session = Session(opened_state())
    session.do("add", commands.add_handle, 3)
    for x in range(5):
        session.drag("move 1", "move handle", commands.set_key, 0, 16, [x, 0.0, 0.0])
    session.end_gesture()
    session.drag("move 1", "move handle", commands.set_key, 0, 16, [9.0, 0.0, 0.0])
    assert [step.label for step in session.past] == ["add", "move handle", "move handle"]
    session.undo()
    assert session.state.document.handles[0].keys[16][0] == 4.0


def test_an_edit_after_undo_drops_what_could_be_redone() -> None:
    session = Session(opened_state())
    session.do("add", commands.add_handle, 3)
    session.undo()
    session.do("add", commands.add_handle, 4)
    session.redo()
    assert [handle.vertex for handle in session.state.document.handles] == [4]


def test_nothing_is_recorded_when_nothing_changed() -> None:
    session = Session(opened_state())
    session.do("seeds", commands.set_seeds, session.state.document.seeds)
    assert not session.past


def test_show_refuses_commands_that_edit() -> None:
    session = Session(opened_state())
    with pytest.raises(ValueError, match="do\\(\\)"):
        session.show(commands.add_handle, 2)


def test_clicking_a_vertex_twice_selects_its_handle() -> None:
    state = commands.add_handle(commands.add_handle(opened_state(), 3), 5)
    state = commands.add_handle(state, 3)
    assert len(state.document.handles) == 2
    assert state.view.selected == 0
    assert commands.add_handle(state, 3, pinned=True).document.handles[0].pinned


def test_a_drag_on_the_rest_pose_writes_to_the_last_frame() -> None:
    state = opened_state()
    assert commands.key_frame_for_drag(state) == 16
    assert commands.key_frame_for_drag(commands.set_time(state, 5.4)) == 5
    assert commands.key_frame_for_drag(commands.set_loop(state, True)) == 8  # its last frame flows into the rest pose


def test_frame_zero_has_no_key_and_far_targets_stay_possible() -> None:
    state = commands.add_handle(opened_state(), 3)
    with pytest.raises(HandleError):
        commands.set_key(state, 0, 0, [0, 0, 0])
    far = commands.set_key(state, 0, 16, [1e9, 0, 0])
    source = far.document.source
    assert source is not None
    reach = np.abs(far.document.handles[0].keys[16] - source.vertices[3]).max()
    assert reach <= MAX_TARGET_DISTANCE * source.size
    tracks(far.document).validate(source.vertices)


def test_a_longer_animation_keeps_the_end_pose_at_the_end() -> None:
    state = commands.add_handle(opened_state(), 3)
    state = commands.set_key(state, 0, 16, [0, 1, 0])
    state = commands.set_frames(state, 33)
    assert list(state.document.handles[0].keys) == [32]


def test_moving_and_copying_keys() -> None:
    state = commands.add_handle(opened_state(), 3)
    state = commands.set_key(state, 0, 16, [0, 1, 0])
    assert list(shift_keys(state, [(0, 16)], -12).document.handles[0].keys) == [4]
    assert list(shift_keys(state, [(0, 16)], -12, copy=True).document.handles[0].keys) == [4, 16]
    assert list(shift_keys(state, [(0, 16)], -25).document.handles[0].keys) == [1]


def test_playback_loops_and_stops_at_the_end_without_loop() -> None:
    state = replace(opened_state(), results=None)
    state = commands.with_view(state, playing=True)
    once = commands.advance(state, 17.5 / 24)
    assert once.view.playing and once.view.time == pytest.approx(0.5)
    stopped = commands.advance(commands.with_view(state, loop=False), 10.0)
    assert not stopped.view.playing and stopped.view.time == 16.0


def test_there_is_one_next_step_from_opening_to_export() -> None:
    assert next_step(State()) == "open"
    state = opened_state()
    assert next_step(state) == "add_handle" and why_not_generate(state)
    state = commands.add_handle(state, 3)
    assert next_step(state) == "drag"
    state = commands.set_key(state, 0, 16, [0, 1, 0])
    assert next_step(state) == "generate" and not why_not_generate(state)
    state = job_commands.job_started(state, 1, "normal", 4)
    assert next_step(state) == "wait"
    state = commands.with_view(job_commands.job_finished(state, 1, sample_set(state)), playing=False)
    assert next_step(state) == "play"
    assert next_step(commands.toggle_play(state)) == "export"


def test_results_are_stale_until_the_edit_is_undone() -> None:
    session = Session(opened_state())
    session.do("add", commands.add_handle, 3)
    session.do("key", commands.set_key, 0, 16, [0.0, 1.0, 0.0])
    session.show(job_commands.job_started, 1, "normal", 2)
    session.show(job_commands.job_finished, 1, sample_set(session.state))
    assert not is_stale(session.state)
    session.do("key", commands.set_key, 0, 16, [0.0, 2.0, 0.0])
    assert is_stale(session.state)
    session.undo()
    assert not is_stale(session.state)


def test_reports_of_an_older_request_change_nothing() -> None:
    state = commands.set_key(commands.add_handle(opened_state(), 3), 0, 16, [0, 1, 0])
    state = job_commands.job_started(state, 2, "normal", 4)
    assert job_commands.job_finished(state, 1, sample_set(state)) is state
    assert job_commands.job_stopped(state, 1) is state


def drafted(state: State) -> State:
    return job_commands.job_finished(job_commands.job_started(state, 1, "draft", 1), 1, sample_set(state, 1))


def test_a_draft_plays_unless_the_playhead_was_put_somewhere() -> None:
    state = drafted(commands.set_key(commands.add_handle(opened_state(), 3), 0, 16, [0, 1, 0]))
    assert state.view.playing, "the first one shows what this is about"
    assert drafted(commands.hold_still(state)).view.playing, "it was stopped by taking hold of a handle"
    still = drafted(commands.set_time(commands.hold_still(state), 8.0))
    assert not still.view.playing and still.view.time == 8.0
    assert not drafted(commands.toggle_play(state)).view.playing
    every = job_commands.job_finished(job_commands.job_started(still, 2, "normal", 4), 2, sample_set(still, 4))
    assert every.view.playing, "what was asked for is shown"


def test_solo_and_layouts_need_results_that_exist() -> None:
    state = commands.set_key(commands.add_handle(opened_state(), 3), 0, 16, [0, 1, 0])
    assert commands.set_layout(state, "side").view.layout == "one"
    state = job_commands.job_finished(job_commands.job_started(state, 1, "normal", 3), 1, sample_set(state, 3))
    assert commands.solo(state, 2).view.solo == 2
    assert commands.solo(state, 3) is state
    assert commands.set_layout(state, "overlay").view.layout == "overlay"


@pytest.mark.parametrize(
    ("command", "value"),
    [(commands.set_behaviour, "eat"), (commands.set_loop, True), (commands.set_contacts, False)],
)
def test_what_a_motion_is_to_be_is_undone_and_asks_for_other_motions(command: Any, value: Any) -> None:
    session = Session(opened_state())
    session.do("add", commands.add_handle, 3)
    session.do("key", commands.set_key, 0, 16, [0.0, 1.0, 0.0])
    before = session.state
    session.do("wish", command, value)
    assert value in vars(sampling(session.state.document)).values()
    assert edit_key(session.state.document) != edit_key(before.document)
    session.undo()
    assert session.state.document is before.document


@pytest.mark.parametrize(
    ("quality", "seeds", "words"),
    [("draft", 1, "Generated a draft in"), ("best", 1, "Generated 1 motion in"), ("draft", 4, "Generated 4 motions")],
)
def test_the_status_line_says_what_was_made(quality: Quality, seeds: int, words: str) -> None:
    state = commands.set_key(commands.add_handle(opened_state(), 3), 0, 16, [0, 1, 0])
    made = job_commands.job_finished(job_commands.job_started(state, 1, quality, seeds), 1, sample_set(state, seeds))
    assert made.message.startswith(words)


def test_the_edit_key_ignores_names_and_seeds() -> None:
    state = commands.set_key(commands.add_handle(opened_state(), 3), 0, 16, [0, 1, 0])
    key = edit_key(state.document)
    assert edit_key(commands.rename_handle(state, 0, "nose").document) == key
    assert edit_key(commands.set_seeds(state, 9).document) == key
    assert edit_key(commands.set_hold(state, 0, True).document) != key
