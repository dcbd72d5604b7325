"""Hierarchy and joints of the bank's shapes: the rig's own, except where the motion shows that they are not."""

from dataclasses import replace

import numpy as np
import pytest

from core.bank.bank_file import read_bank, write_bank
from core.bank.joints import attached_joints
from core.bank.parts import part_of
from core.bank.shape import mirrored
from core.bank.unnamed_joints import joint_name
from core.bank.user_bank import shipped_bank
from core.errors import DataError
from core.geometry.skeleton import ancestry
from tests.bank.creatures import swinging_rod

MIDDLE = np.zeros((2, 3))


def test_a_joint_that_stays_on_its_parent_hangs_on_it() -> None:
    parents, joints = attached_joints(swinging_rod(), np.array([-1, 0]), MIDDLE)
    np.testing.assert_array_equal(parents, [-1, 0])
    np.testing.assert_array_equal(joints, MIDDLE)


def test_two_loose_parts_become_one_tree_with_a_joint_where_they_turn() -> None:
    far = np.array([[-0.5, 0, 0], [0.5, 0, 0]])
    parents, joints = attached_joints(swinging_rod(), np.array([-1, -1]), far)
    assert sorted(parents) in ([-1, 0], [-1, 1])
    assert np.linalg.norm(joints[parents.argmax()]) < 0.03


def test_a_foot_that_is_led_from_afar_is_hung_on_its_leg() -> None:
    # Three parts: a trunk, a leg that swings on it, and a foot that goes with the leg but hangs on the trunk.
    rod = swinging_rod()
    foot = rod.nodes[:, 0] > 0.25
    index = rod.part_index.copy()
    index[foot, 0] = 2
    shape = replace(rod, part_names=("trunk", "leg", "foot"), part_index=index)
    centres = shape.centres()
    clip = rod.clips[0]
    turns = np.concatenate([clip.quaternions, clip.quaternions[:, 1:]], axis=1)
    moved = rod.posed(clip)
    places = np.stack([moved[:, shape.part_index[:, 0] == part].mean(axis=1) for part in range(3)], axis=1)
    shape = replace(shape, clips=(replace(clip, quaternions=turns, places=places),))
    parents, joints = attached_joints(shape, np.array([-1, 0, 0]), np.array([[-0.5, 0, 0], [0, 0, 0], centres[2]]))
    np.testing.assert_array_equal(parents, [-1, 0, 1])
    assert 0.2 < joints[2][0] < 0.3


def test_nothing_hangs_on_the_other_side() -> None:
    names = ("Hips", "UpperLeg.L", "UpperLeg.R")
    rod = swinging_rod()
    index = rod.part_index.copy()
    index[rod.nodes[:, 0] > 0.25, 0] = 2
    clip = rod.clips[0]
    turns = np.concatenate([clip.quaternions, clip.quaternions[:, 1:]], axis=1)
    places = np.concatenate([clip.places, clip.places[:, 1:] + [0.1, 0, 0]], axis=1)
    shape = replace(rod, part_names=names, part_index=index, clips=(replace(clip, quaternions=turns, places=places),))
    parents, _ = attached_joints(shape, np.array([-1, -1, -1]), np.zeros((3, 3)))
    assert parents[1] != 2 and parents[2] != 1


def test_joints_are_kept_in_the_file_and_mirrored(tmp_path) -> None:
    joints = np.array([[-0.5, 0.25, 0], [0.125, 0, 1.5]], np.float32)
    known = replace(swinging_rod("known"), parents=np.array([1, -1], np.int16), joints=joints)
    write_bank(tmp_path / "bank.safetensors", [swinging_rod("unknown"), known])
    unknown, read = read_bank(tmp_path / "bank.safetensors")
    assert len(unknown.parents) == len(unknown.joints) == 0
    np.testing.assert_array_equal(read.parents, [1, -1])
    np.testing.assert_allclose(read.joints, joints, atol=2e-4)
    np.testing.assert_allclose(mirrored(read).joints, read.joints * [-1, 1, 1])


@pytest.mark.parametrize("parents", [[1, 0], [-1, 5], [-1, -1], [-1, 1]])
def test_a_file_whose_joints_are_no_tree_is_refused(tmp_path, parents) -> None:
    damaged = replace(swinging_rod(), parents=np.array(parents, np.int16), joints=np.zeros((2, 3), np.float32))
    write_bank(tmp_path / "bank.safetensors", [damaged])
    with pytest.raises(DataError, match="damaged"):
        read_bank(tmp_path / "bank.safetensors")


def test_every_shipped_rig_has_a_skeleton_with_names() -> None:
    for shape in read_bank(shipped_bank()):
        if shape.pack == "procedural":
            continue  # came as a sequence: its parts have neither names nor joints
        assert len(shape.parents) == len(shape.joints) == shape.parts
        assert all(len(ancestry(shape.parents, part)) <= shape.parts for part in range(shape.parts))
        if shape.category == "animals":
            assert sum(part_of(name) is None for name in shape.part_names) <= 1, shape.name
    shapes = {shape.name: shape for shape in read_bank(shipped_bank())}
    horse = shapes["Horse"]
    above = {
        name: horse.part_names[parent] if parent >= 0 else ""
        for name, parent in zip(horse.part_names, horse.parents, strict=True)
    }
    assert above["FrontLowerLeg.L"] == "FrontUpperLeg.L" and above["IKFrontLeg.L"] == "FrontLowerLeg.L"
    assert {part_of(name)[0] for name in shapes["simple_Eagle"].part_names if "wing" in name} == {"wing_base"}


def test_numbered_bones_of_known_models_have_names() -> None:
    assert joint_name("simple_Eagle", "Bone.007") == "wing_L.1"
    assert joint_name("simple_Eagle", "Bone.099") == "Bone.099" and joint_name("other", "Bone") == "Bone"
