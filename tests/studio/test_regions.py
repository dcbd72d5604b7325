"""Regions as handles on the pure document: what a circle means, edits, files."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import HandleError
from core.io.mesh.source_mesh import build_source_mesh
from m2v_studio.document import block_edits, commands, regions, selection
from m2v_studio.document.state import State, edit_key, tracks

from .shapes import ball, ball_arrays


def opened() -> State:
    return commands.open_source(State(), ball())


def side(state: State, sign: float = 1.0) -> np.ndarray:
    """One end of the ball, off its middle."""
    assert state.document.source is not None
    places = state.document.source.vertices
    return np.flatnonzero((sign * places[:, 0] > 0.5) & (places[:, 2] > 0.2))


def test_a_region_replaces_handles_inside_it_and_a_click_in_it_chooses_it() -> None:
    state = commands.add_handle(opened(), int(side(opened())[0]))
    state = regions.add_region(state, side(state))
    assert [handle.name for handle in state.document.handles] == ["region 1"]
    other = commands.select_handle(state, None)
    assert commands.add_handle(other, int(side(state)[-1])).view.selected == 0
    with pytest.raises(HandleError, match="take more of it"):
        regions.add_region(state, [3, 4])


def test_a_region_keeps_its_turn_at_every_key_and_when_it_is_pinned() -> None:
    state = regions.add_region(opened(), side(opened()))
    source = state.document.source
    assert source is not None
    vertex = state.document.handles[0].vertex
    keyed = commands.set_key(state, 0, 9, source.vertices[vertex] + 0.1)
    _, given = tracks(keyed.document).turns()
    assert given[0].nonzero()[0].tolist() == [0, 9]
    assert tracks(commands.set_pinned(state, 0, True).document).turns()[1].all()
    assert edit_key(keyed.document) != edit_key(regions.dissolve(keyed, (0,)).document)


def test_two_regions_share_no_vertex() -> None:
    state = regions.add_region(opened(), side(opened()))
    middle = state.document.handles[0].vertex
    rest = np.setdiff1d(side(state), [middle])
    state = regions.add_region(state, np.append(rest[:6], side(state, -1.0)))
    first, second = state.document.handles
    assert not np.intersect1d(first.region, np.append(second.region, second.vertex)).size


def test_a_mirrored_region_does_the_same_on_the_other_side() -> None:
    state = regions.add_region(opened(), side(opened()))
    source = state.document.source
    assert source is not None
    place = source.vertices[state.document.handles[0].vertex] + np.array([0.3, 0.2, 0.0])
    state = block_edits.turn_handles(state, {0: place}, {0: [0.0, 30.0, 0.0]}, 8)
    mirrored = block_edits.mirrored_keys(commands.select_handle(state, 0))
    again = block_edits.mirrored_keys(commands.select_handle(state, 0))
    handle, image = mirrored.document.handles
    assert len(mirrored.document.handles) == len(again.document.handles) == 2
    assert abs(len(image.region) - len(handle.region)) <= 1
    moved = image.keys[8] - source.vertices[image.vertex]
    np.testing.assert_allclose(moved, [-0.3, 0.2, 0.0], atol=1e-5)
    np.testing.assert_allclose(image.turns[8], [0.0, -30.0, 0.0], atol=1e-6)


def test_a_region_that_is_gone_comes_back_with_its_pasted_keys() -> None:
    state = regions.add_region(opened(), side(opened()))
    vertex, region = state.document.handles[0].vertex, state.document.handles[0].region
    assert state.document.source is not None
    state = commands.set_key(state, 0, 5, state.document.source.vertices[vertex] + 0.1)
    clip = block_edits.copied(selection.choose_handles(state, (0,)))
    assert clip is not None
    pasted = block_edits.paste_keys(commands.delete_handle(state, 0), clip, 9).document.handles[0]
    assert pasted.region.tolist() == region.tolist() and list(pasted.keys) == [9]


def test_a_circle_means_the_piece_in_front_with_its_far_side_and_loose_parts_inside() -> None:
    near, faces = ball_arrays()
    small = 0.2 * near + np.array([0.0, 0.0, 1.0])
    count = len(near)
    shapes = (near, near - np.array([8.0, 0.0, 0.0]), small)
    vertices = np.concatenate(shapes)
    mesh = build_source_mesh(vertices, np.concatenate([faces, faces + count, faces + 2 * count]), name="three")
    inside = np.abs(vertices[:, 2]) < 1.5
    seen = inside & (np.arange(len(vertices)) < count) & (vertices[:, 0] > 0)
    found = regions.circled(mesh, inside, seen)
    owners = found // count
    assert set(owners) == {0, 2} and (owners == 2).sum() == count
    assert (vertices[found, 0] < 0).any(), "the far side too"
