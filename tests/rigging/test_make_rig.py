"""A rig made from motions: bones where the motion bends, weights as engines need them, keys that are few and right."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from core.errors import ExportError
from core.io.export import export_sequence
from core.io.rig_export import export_rig
from core.pipelines.make_rig import AIM_MOTION, AIM_SIZE, RigOptions, make_rig
from core.sequence import MeshSequence
from tests.rigging.bent_tube import JOINTS, bent_tube


@pytest.fixture(scope="module")
def sequence() -> MeshSequence:
    return bent_tube()


@pytest.fixture(scope="module")
def result(sequence):
    return make_rig([sequence], ["bend"], RigOptions(3, exactly=True))


def mean_error(rig, sequence, action=0) -> float:
    """In units of the size, by the rig's own evaluation."""
    made = rig.vertices(sequence.vertices[0].astype(np.float64), rig.actions[action])
    return float(np.linalg.norm(made - sequence.vertices, axis=-1).mean() / np.ptp(sequence.vertices[0], axis=0).max())


def test_the_skin_follows_the_vertices(result, sequence) -> None:
    assert mean_error(result.rig, sequence) == pytest.approx(result.error, rel=1e-3)
    assert result.error < AIM_SIZE and result.share < AIM_MOTION
    still = np.linalg.norm(sequence.vertices - sequence.vertices[0], axis=-1).mean()
    assert result.motion == pytest.approx(still / np.ptp(sequence.vertices[0], axis=0).max(), rel=1e-4)


def test_bones_turn_where_the_motion_bends(result) -> None:
    rig = result.rig
    assert len(rig.names) == len(set(rig.names)) == 3
    # The middle piece is the root, and its two neighbours hang on it at the true hinges.
    np.testing.assert_array_equal(rig.parents, [-1, 0, 0])
    places = rig.places[1:][np.argsort(rig.places[1:, 0])]
    assert np.abs(places - JOINTS).max() < 0.06


def test_weights_are_what_engines_take(result, sequence) -> None:
    rig = result.rig
    assert rig.weights.shape == rig.bones.shape == (sequence.vertices.shape[1], 4)
    assert rig.weights.min() >= 0 and np.abs(rig.weights.sum(1) - 1).max() < 1e-5
    assert (np.diff(rig.weights, axis=1) <= 0).all()
    dense = np.zeros((len(rig.bones), 3))
    np.add.at(dense, (np.arange(len(dense))[:, None], rig.bones), rig.weights)
    edges = np.concatenate([sequence.faces[:, [0, 1]], sequence.faces[:, [1, 2]]])
    assert np.abs(dense[edges[:, 0]] - dense[edges[:, 1]]).max() < 0.45  # a bend is spread over several rings


def test_keys_are_fewer_than_frames_and_only_the_root_shifts() -> None:
    result = make_rig([bent_tube(frames=49)], ["bend"], RigOptions(3, exactly=True))
    action = result.rig.actions[0]
    assert action.keys < 0.4 * action.frames * 4 and result.error < AIM_SIZE
    assert all(keys.frames[0] == 0 for keys in action.rotations)
    assert [keys is not None for keys in action.shifts] == [True, False, False]


def test_several_motions_are_several_actions_of_one_rig(sequence) -> None:
    other = bent_tube(frames=20, phase=1.0, name="other")
    result = make_rig([sequence, other], ["bend", "other"])
    assert [(action.name, action.frames) for action in result.rig.actions] == [("bend", 13), ("other", 20)]
    assert max(mean_error(result.rig, motion, row) for row, motion in enumerate((sequence, other))) < 2e-3


def test_it_stands_where_the_sequence_does(sequence) -> None:
    """Other units, axes and places give the same rig there."""
    turned = sequence.vertices[..., [0, 2, 1]] * np.array([100.0, -100.0, 100.0]) + 700.0  # z up
    moved = replace(sequence, vertices=turned)
    result = make_rig([moved], ["bend"], RigOptions(3, exactly=True), up_axis="z")
    assert mean_error(result.rig, moved) < AIM_SIZE
    places = (result.rig.places[1:] - 700) / 100
    assert np.abs(places[np.argsort(places[:, 0])] - JOINTS[:, [0, 2, 1]]).max() < 0.06


def test_it_works_without_dem_bones(sequence, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "py_dem_bones", None)
    assert make_rig([sequence], ["bend"], RigOptions(8)).error < AIM_SIZE


def test_a_piece_that_slides_gets_shifts() -> None:
    """No rotation can lengthen a tube by a third."""
    sliding = bent_tube(stretch=1.0)
    result = make_rig([sliding], ["slide"], RigOptions(3, exactly=True))
    assert sum(keys is not None for keys in result.rig.actions[0].shifts) > 1
    assert result.share < 0.06


def test_copies_of_a_vertex_stay_together(sequence) -> None:
    """A seam is cut into the mesh: both sides of it hang on the same bones."""
    count = sequence.vertices.shape[1]
    half = sequence.faces[: len(sequence.faces) // 2]
    copied = np.unique(half)
    number = np.arange(count)
    number[copied] = count + np.arange(len(copied))
    faces = np.concatenate([number[half], sequence.faces[len(half) :]])
    cut = replace(sequence, vertices=np.concatenate([sequence.vertices, sequence.vertices[:, copied]], 1), faces=faces)
    rig = make_rig([cut], ["bend"], RigOptions(3, exactly=True)).rig
    np.testing.assert_array_equal(rig.bones[count:], rig.bones[copied])
    np.testing.assert_array_equal(rig.weights[count:], rig.weights[copied])


def test_loose_parts_belong_to_the_tree(sequence) -> None:
    """Two tubes that touch nowhere are one rig with one root."""
    count = sequence.vertices.shape[1]
    second = sequence.vertices + np.float32([0.0, 0.0, 1.5])
    both = np.concatenate([sequence.vertices, second], 1)
    pair = replace(sequence, vertices=both, faces=np.concatenate([sequence.faces, sequence.faces + count]))
    result = make_rig([pair], ["pair"], RigOptions(8))
    assert (result.rig.parents < 0).sum() == 1 and (result.rig.parents < np.arange(len(result.rig.parents))).all()
    assert result.error < 2e-3


@pytest.mark.parametrize("fault", ["still", "one frame", "other mesh"])
def test_what_cannot_be_rigged_is_said(sequence, fault) -> None:
    sequences = [sequence]
    if fault == "still":
        sequences = [replace(sequence, vertices=np.repeat(sequence.vertices[:1], 3, 0))]
    if fault == "one frame":
        sequences = [replace(sequence, vertices=sequence.vertices[:1])]
    if fault == "other mesh":
        sequences = [sequence, replace(sequence, faces=sequence.faces[:-1])]
    words = {"still": "Nothing moves", "one frame": "only one frame", "other mesh": "another mesh"}
    with pytest.raises(ExportError, match=words[fault]):
        make_rig(sequences, ["a", "b"][: len(sequences)])


def test_a_number_of_bones_out_of_range_is_said() -> None:
    for bones in (1, 129):
        with pytest.raises(ExportError, match="2 to 128"):
            RigOptions(bones)


def test_a_thing_of_two_rigid_parts_has_two_bones() -> None:
    """A lid that turns on its box, and bends a little as it does, is no reason for twenty bones."""
    side = np.stack(np.meshgrid(np.linspace(0, 1, 16), np.linspace(0, 1, 12), indexing="ij"), -1).reshape(-1, 2)
    box = np.stack([side[:, 0], 0 * side[:, 0], side[:, 1]], axis=1)
    row = np.arange(15 * 12).reshape(15, 12)[:, :-1].ravel()
    faces = np.concatenate([np.stack([row, row + 12, row + 13], 1), np.stack([row, row + 13, row + 1], 1)])
    rest = np.concatenate([box, box * [-1, 1, 1] - [1e-3, 0, 0]])
    frames = []
    for angle in np.linspace(0, 1.5, 13):
        turn = np.array([[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
        lid = rest[len(box) :] @ turn.T
        lid[:, 1] += 0.04 * angle * np.sin(3 * rest[len(box) :, 2])
        frames.append(np.concatenate([box, lid]))
    thing = MeshSequence(
        np.stack(frames).astype(np.float32), np.concatenate([faces, faces + len(box)]).astype(np.int32)
    )
    result = make_rig([thing], ["open"])
    assert len(result.rig.names) == 2 and result.share < 0.06 and result.error > AIM_SIZE
    assert "bends the surface more" in result.sentence
    assert len(make_rig([thing], ["open"], RigOptions(8, exactly=True)).rig.names) == 8


def test_the_file_is_at_most_a_fifth_of_one_with_every_vertex(tmp_path) -> None:
    moving = bent_tube(frames=49)
    morphs = export_sequence(moving, tmp_path / "morphs.glb")[0].stat().st_size
    rig = make_rig([moving], ["bend"], RigOptions(3, exactly=True))
    assert export_rig(rig.rig, rig.rest, tmp_path / "rig.glb")[0].stat().st_size <= morphs / 5
