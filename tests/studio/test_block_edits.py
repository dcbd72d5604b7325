"""Edits of many keys at once, on the pure document."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import HandleError
from core.io.mesh.source_mesh import build_source_mesh
from m2v_studio.document import block_edits, commands, selection
from m2v_studio.document.history import Session
from m2v_studio.document.state import State, frame_shown
from m2v_studio.document.symmetry import mirror_of

from .shapes import ball, ball_arrays


def with_keys(*frames_of: tuple[int, ...]) -> State:
    """A ball with one handle for each argument, keyed in these frames."""
    state = commands.open_source(State(), ball())
    assert state.document.source is not None
    for row, frames in enumerate(frames_of):
        vertex = 20 * row + 3
        state = commands.add_handle(state, vertex)
        for frame in frames:
            state = commands.set_key(state, row, frame, state.document.source.vertices[vertex] + 0.01 * frame)
    return selection.choose_nothing(state)


def frames(state: State) -> list[list[int]]:
    return [list(handle.keys) for handle in state.document.handles]


def test_choosing_keeps_what_exists_and_all_comes_before_handles() -> None:
    state = with_keys((4, 8), (12,))
    state = selection.choose_all(state)
    assert selection.chosen_keys(state) == ((0, 4), (0, 8), (1, 12))
    assert selection.chosen_rows(state) == (0, 1)
    state = selection.choose_all(state)
    assert selection.chosen_keys(state) == () and selection.chosen_rows(state) == (0, 1)
    state = selection.toggle_key(selection.toggle_key(state, 0, 8), 1, 12)
    assert selection.chosen_keys(state) == ((0, 8), (1, 12)) and (state.view.selected, state.view.key) == (1, 12)
    state = selection.toggle_key(state, 1, 12)
    assert selection.chosen_keys(state) == ((0, 8),)
    assert selection.chosen_keys(block_edits.delete_chosen(state)) == ()


def test_a_block_is_moved_as_one_and_stays_within_the_motion() -> None:
    state = with_keys((4, 8), (12,))
    block = [(0, 4), (0, 8), (1, 12)]
    assert frames(block_edits.shift_keys(state, block, 2)) == [[6, 10], [14]]
    assert frames(block_edits.shift_keys(state, block, 99)) == [[8, 12], [16]]
    assert frames(block_edits.shift_keys(state, block, -99)) == [[1, 5], [9]]
    moved = block_edits.shift_keys(state, [(0, 4)], 4)
    assert frames(moved) == [[8], [12]], "a key that it lands on is replaced"
    assert selection.chosen_keys(moved) == ((0, 8),)
    np.testing.assert_array_equal(moved.document.handles[0].keys[8], state.document.handles[0].keys[4])


def test_keys_are_scaled_in_time_and_turned_round() -> None:
    state = with_keys((4, 6, 8), (4,))
    block = selection.keys_of(state, (0, 1))
    assert frames(block_edits.scale_keys(state, block, 2.0, 4)) == [[4, 8, 12], [4]]
    assert frames(block_edits.scale_keys(state, block, 0.1, 4)) == [[4, 5, 6], [4]], "none is lost"
    turned = block_edits.scale_keys(state, block, -1.0, 6)
    assert frames(turned) == [[4, 6, 8], [8]]
    np.testing.assert_array_equal(turned.document.handles[0].keys[8], state.document.handles[0].keys[4])


def test_pasted_keys_keep_their_offsets_and_go_to_the_chosen_handle() -> None:
    state = with_keys((4, 8), ())
    clip = block_edits.copied(commands.select_handle(state, 0))
    assert clip is not None and len(clip) == 2 and clip.first == 4
    pasted = block_edits.paste_keys(commands.select_handle(state, 1), clip, 10)
    assert frames(pasted) == [[4, 8], [10, 14]]
    source = state.document.source
    assert source is not None
    np.testing.assert_allclose(pasted.document.handles[1].keys[14] - source.vertices[23], 0.08, atol=1e-6)
    late = block_edits.paste_keys(commands.select_handle(state, 1), clip, 14)
    assert frames(late)[1] == [14] and "1 key past the last frame" in late.message
    other = commands.open_source(State(), ball())
    with pytest.raises(HandleError, match="another mesh"):
        block_edits.paste_keys(other, clip, 3)


def test_keys_of_several_handles_come_back_to_their_handles_even_when_these_are_gone() -> None:
    state = with_keys((4,), (6,))
    clip = block_edits.copied(selection.choose_all(state))
    assert clip is not None
    fresh = commands.delete_handle(state, 0)
    pasted = block_edits.paste_keys(selection.choose_nothing(fresh), clip, 8)
    assert {handle.vertex: list(handle.keys) for handle in pasted.document.handles} == {23: [6, 10], 3: [8]}


def test_delete_takes_the_chosen_keys_and_then_the_chosen_handles() -> None:
    state = selection.choose_all(with_keys((4, 8), (12,)))
    state = block_edits.delete_chosen(state)
    assert frames(state) == [[], []] and selection.chosen_rows(state) == (0, 1)
    assert block_edits.delete_chosen(state).document.handles == ()


def test_a_pose_is_keyed_at_the_playhead_of_what_is_shown_and_never_in_the_rest_frame() -> None:
    state = commands.set_time(with_keys((16,), ()), 5.0)
    source = state.document.source
    assert source is not None and frame_shown(state) == 5
    shape = source.vertices + np.array([0.1, 0.0, 0.0], dtype=np.float32)
    keyed = block_edits.key_pose(state, shape)
    assert frames(keyed) == [[5, 16], [5]]
    np.testing.assert_allclose(keyed.document.handles[1].keys[5], shape[23])
    only = block_edits.key_pose(commands.select_handle(state, 1), source.vertices)
    assert frames(only) == [[16], [5]]
    with pytest.raises(HandleError, match="rest pose"):
        block_edits.key_pose(commands.set_time(state, 0.0), shape)


def test_mirroring_goes_to_the_other_side_and_back() -> None:
    state = commands.open_source(State(), ball())
    source = state.document.source
    assert source is not None
    mirror = mirror_of(source)
    side = int(np.argmax(source.vertices @ mirror.normal))
    state = commands.add_handle(state, side)
    target = source.vertices[side] + np.array([0.1, 0.2, 0.3])
    state = commands.set_key(state, 0, 9, target)
    mirrored = block_edits.mirrored_keys(commands.select_handle(state, 0))
    assert len(mirrored.document.handles) == 2
    other = mirrored.document.handles[1]
    np.testing.assert_allclose(source.vertices[other.vertex], mirror.point(source.vertices[side]), atol=1e-5)
    np.testing.assert_allclose(other.keys[9], mirror.point(target), atol=1e-6)
    again = block_edits.mirrored_keys(commands.select_handle(mirrored, 1))
    assert len(again.document.handles) == 2
    np.testing.assert_allclose(again.document.handles[0].keys[9], target, atol=1e-6)


def test_a_mesh_without_sides_says_so() -> None:
    vertices, faces = ball_arrays()
    bent = vertices + np.array([0.35, 0.0, 0.0]) * np.sin(2.0 * vertices[:, 2:]) + 0.3 * vertices[:, [0]] ** 2
    crooked = build_source_mesh(bent, faces, name="crooked")
    mirror_of(ball())
    with pytest.raises(HandleError, match="do not match"):
        mirror_of(crooked)


def test_random_block_edits_keep_every_invariant_and_undo_exactly() -> None:
    random = np.random.default_rng(5)
    session = Session(with_keys((4, 8, 12), (2, 16), ()))
    start = session.state.document
    for _ in range(180):
        state = session.state
        keys = selection.keys_of(state, range(len(state.document.handles)))
        some = [key for key in keys if random.random() < 0.5]
        match random.integers(6):
            case 0:
                session.do("shift", block_edits.shift_keys, some, int(random.integers(-20, 20)), random.random() < 0.4)
            case 1:
                session.do("scale", block_edits.scale_keys, some, random.uniform(-2, 2), int(random.integers(0, 17)))
            case 2:
                session.show(selection.choose_keys, some)
            case 3 if len(state.document.handles) > 1:
                session.do("delete", block_edits.delete_chosen)
            case 4:
                session.do("mirror", block_edits.mirrored_keys)
            case 5:
                clip = block_edits.copied(state)
                if clip is not None:
                    session.do("paste", block_edits.paste_keys, clip, int(random.integers(0, 17)))
        document = session.state.document
        assert all(0 < frame < document.frames for handle in document.handles for frame in handle.keys)
        assert len({handle.vertex for handle in document.handles}) == len(document.handles)
        assert all(frame in document.handles[row].keys for row, frame in selection.chosen_keys(session.state))
    while session.past:
        session.undo()
    assert session.state.document is start
