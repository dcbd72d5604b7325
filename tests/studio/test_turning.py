"""Turns of keys on the pure document, through edits, files and the message to the worker."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np

from core.handle_paths import degrees_of_quaternion, quaternion_of_degrees, turned_further
from core.key_easing import Easing
from core.quaternions import rotation_matrices
from core.sequence import Handle
from m2v_studio.document import block_edits, commands, selection, turning
from m2v_studio.document.project import load_project, save_project
from m2v_studio.document.state import State, edit_key, tracks
from m2v_studio.document.symmetry import mirror_of
from m2v_studio.work import messages  # noqa: F401  (teaches pickle what a handle is)

from .shapes import ball

TURN = np.array([10.0, 50.0, 0.0])


def turned() -> State:
    state = commands.add_handle(commands.open_source(State(), ball()), 3)
    assert state.document.source is not None
    state = block_edits.turn_handles(state, {0: state.document.source.vertices[3]}, {0: TURN}, 8)
    return commands.select_handle(state, 0)


def test_turns_add_up_and_go_through_quaternions() -> None:
    there = degrees_of_quaternion(quaternion_of_degrees(TURN))
    np.testing.assert_allclose(there, TURN, atol=1e-9)
    twice = turned_further([0, 30, 0], [50, 0, 0])
    first, then = (rotation_matrices(quaternion_of_degrees(turn)) for turn in ([0, 30, 0], [50, 0, 0]))
    np.testing.assert_allclose(rotation_matrices(quaternion_of_degrees(twice)), then @ first, atol=1e-9)


def test_a_turn_asks_for_another_motion_and_can_be_taken_away() -> None:
    state = turned()
    plain = turning.remove_turns(state, selection.keys_to_edit(state))
    assert list(plain.document.handles[0].keys) == [8] and not plain.document.handles[0].turns
    assert edit_key(state.document) != edit_key(plain.document)
    turns, given = tracks(state.document).turns()
    assert given[0].nonzero()[0].tolist() == [0, 8] and turns.shape == (1, 17, 4)
    assert not tracks(plain.document).turns()[1].any(), "a handle that is only moved turns as it likes"


def test_between_eased_keys_a_handle_turns_along() -> None:
    handle = Handle(0, {8: np.ones(3)}, easing={0: Easing("linear")}, turns={8: np.array([0.0, 0.0, 80.0])})
    path = handle.path(np.zeros(3), 17)
    assert path.turned.tolist() == [True] * 9 + [False] * 8
    np.testing.assert_allclose(degrees_of_quaternion(path.turns[4]), [0, 0, 40], atol=1e-9)


def test_keys_keep_their_turns_when_they_move_and_lose_them_when_another_lands_on_them() -> None:
    state = turned()
    moved = block_edits.shift_keys(state, [(0, 8)], 3)
    assert list(moved.document.handles[0].turns) == [11]
    assert list(commands.set_frames(state, 33).document.handles[0].turns) == [16]
    assert state.document.source is not None
    plain = commands.set_key(state, 0, 4, state.document.source.vertices[3])
    assert not block_edits.shift_keys(plain, [(0, 4)], 4).document.handles[0].turns
    assert not block_edits.delete_chosen(commands.select_key(state, 0, 8)).document.handles[0].turns


def test_a_mirrored_turn_is_what_a_mirror_shows() -> None:
    state = turned()
    assert state.document.source is not None
    mirror = mirror_of(state.document.source)
    mirrored = block_edits.mirrored_keys(state).document.handles[-1]
    matrix, image = (rotation_matrices(quaternion_of_degrees(t)) for t in (TURN, mirrored.turns[8]))
    flip = np.eye(3) - 2 * np.outer(mirror.normal, mirror.normal)
    np.testing.assert_allclose(image, flip @ matrix @ flip, atol=1e-9)


def test_the_pose_is_keyed_with_its_turn_by_handles_that_turn() -> None:
    state = commands.set_time(turned(), 12.0)
    source = state.document.source
    assert source is not None
    matrix = rotation_matrices(quaternion_of_degrees([0, 0, 35]))
    keyed = block_edits.key_pose(state, source.vertices @ matrix.T).document.handles[0]
    np.testing.assert_allclose(keyed.turns[12], [0, 0, 35], atol=1e-3)


def test_turns_are_in_the_project_file_and_reach_the_worker(tmp_path: Path) -> None:
    state = turned()
    save_project(state, tmp_path / "a.m2v")
    document, _ = load_project(tmp_path / "a.m2v")
    np.testing.assert_allclose(document.handles[0].turns[8], TURN)
    there = pickle.loads(pickle.dumps(tracks(state.document)))
    np.testing.assert_allclose(there.handles[0].turns[8], TURN)


def test_angles_about_the_axes_go_on_past_a_half_turn() -> None:
    shown = np.zeros(3)
    for typed in ([30.0, 0.0, 0.0], [30.0, 100.0, 0.0], [30.0, 100.0, 200.0], [-400.0, 80.0, 10.0]):
        turn = turning.turn_by_angles(typed)
        shown = turning.angles_of(turn, typed)
        np.testing.assert_allclose(shown, typed, atol=1e-6)
    once = rotation_matrices(quaternion_of_degrees(turning.turn_by_angles([90.0, 0.0, 90.0])))
    np.testing.assert_allclose(once @ [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], atol=1e-9)


def test_several_handles_are_turned_in_one_step() -> None:
    state = commands.add_handle(turned(), 40)
    source = state.document.source
    assert source is not None
    places = {row: source.vertices[handle.vertex] for row, handle in enumerate(state.document.handles)}
    after = block_edits.turn_handles(state, places, {0: TURN, 1: -TURN}, 12)
    np.testing.assert_allclose([handle.turns[12] for handle in after.document.handles], [TURN, -TURN])
    assert selection.chosen_keys(after) == ((0, 12), (1, 12))
