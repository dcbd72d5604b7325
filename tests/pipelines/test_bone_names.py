"""Names of bones: by what the part descriptor says and by where they are."""

from __future__ import annotations

import numpy as np
import pytest

from core.bank.matching import yaw
from core.bank.parts import CLASSES
from core.pipelines.bone_names import PartChances, bone_names, word_and_side

# A four-legged body of size 1 that faces +Z, its left at +X: (part, what it hangs on, from, to).
BONES = [
    ("spine", -1, (0, 0.5, -0.1), (0, 0.5, 0.1)),
    ("chest", 0, (0, 0.5, 0.1), (0, 0.5, 0.3)),
    ("hips", 0, (0, 0.5, -0.1), (0, 0.5, -0.3)),
    ("neck", 1, (0, 0.6, 0.3), (0, 0.7, 0.4)),
    ("head", 3, (0, 0.7, 0.4), (0, 0.7, 0.5)),
    ("tail", 2, (0, 0.5, -0.3), (0, 0.4, -0.5)),
    *(
        (part, parent if level == 0 else 6 + 2 * leg, (x, high, z), (x, low, z))
        for leg, (parent, x, z) in enumerate(((1, 0.1, 0.25), (1, -0.1, 0.25), (2, 0.1, -0.25), (2, -0.1, -0.25)))
        for level, (part, high, low) in enumerate((("leg_upper", 0.45, 0.25), ("foot", 0.2, 0.0)))
    ),
]
WANTED = [
    "body 1", "body 2", "body 3", "neck", "head", "tail",
    "leg front left 1", "leg front left 2", "leg front right 1", "leg front right 2",
    "leg hind left 1", "leg hind left 2", "leg hind right 1", "leg hind right 2",
]  # fmt: skip


def body(said: dict[int, str] | None = None, sure: float = 0.9, turned: float = 0.0):
    """Parents, samples, weights and chances; `said` replaces what the descriptor says of some bones."""
    along = np.linspace(0, 1, 6)[:, None]
    rest = np.concatenate([np.array(a) + along * (np.array(b) - np.array(a)) for _, _, a, b in BONES])
    weights = np.repeat(np.eye(len(BONES)), 6, axis=0)
    parts = [(said or {}).get(row, part) for row, (part, *_) in enumerate(BONES)]
    chances = np.full((len(BONES), len(CLASSES)), (1 - sure) / (len(CLASSES) - 1))
    for row, part in enumerate(parts):
        chances[row, CLASSES.index((part, ""))] = sure
    parents = np.array([parent for _, parent, _, _ in BONES])
    rest = rest @ yaw(turned).T
    return parents, rest, weights, PartChances(rest, np.repeat(chances, 6, axis=0), turned)


@pytest.mark.parametrize("turned", [0.0, 1.0, np.pi])
def test_limbs_are_told_apart_whichever_way_the_body_faces(turned) -> None:
    assert list(bone_names(*body(turned=turned))) == WANTED


@pytest.mark.parametrize(
    "said",
    [
        {0: "leg_upper"},  # the root is the body
        {1: "front_upper"},  # a left and a right leg hang on it
        {1: "head"},  # legs hang on it
        {9: "spine", 11: "arm_lower"},  # a leg is a leg to its end
        {6: "arm_upper", 7: "hand"},  # it stands on the ground
    ],
)
def test_what_the_tree_knows_better(said) -> None:
    assert list(bone_names(*body(said))) == WANTED


def test_without_words_bones_are_named_by_their_places() -> None:
    parents, rest, weights, chances = body(sure=0.2)
    for parts in (chances, None):
        names = bone_names(parents, rest, weights, parts)
        assert len(set(names)) == len(names) and names[0] == "body"
        assert names[4].startswith("part high front") and names[5].startswith("part high back")
        assert names[7].startswith("part low front") and names[13].startswith("part low back")


def test_a_borrowed_rigs_words_and_sides_are_believed() -> None:
    parents, rest, weights, _ = body()
    known = [("body", "")] * 3 + [("neck", ""), ("head", ""), ("tail", "")]
    known += [("wing", "left")] * 2 + [("wing", "right")] * 2 + [("leg", "left")] * 2 + [("leg", "right"), ("", "")]
    names = bone_names(parents, rest, weights, None, known, 0.0)
    assert names[6:10] == ("wing left 1", "wing left 2", "wing right 1", "wing right 2")  # though they touch the ground
    assert names[10:] == ("leg left 1", "leg left 2", "leg right 1", "leg right 2")
    assert word_and_side("RightHandThumb1") == ("finger", "right") and word_and_side("Palm.L") == ("hand", "left")
    assert word_and_side("Bone.004") == ("", "") and word_and_side("neutral_bone") == ("", "")
    assert word_and_side("Antenna2.L") == ("antenna", "left") and word_and_side("Eyebrow.R") == ("eyebrow", "right")
    assert word_and_side("Chest_Top") == ("chest top", "") and word_and_side("Chest") == ("body", "")


def test_words_of_a_borrowed_rig_alone_keep_the_sides_that_it_gives_them() -> None:
    parents, rest, weights, _ = body()
    known = [("body", "")] * 4 + [("eyebrow", ""), ("turret", "")]
    known += [("claw", "left")] * 2 + [("claw", "right")] * 2 + [("leg", "left")] * 2 + [("leg", "right")] * 2
    names = bone_names(parents, rest, weights, None, known, 0.0)
    assert names[4:6] == ("eyebrow", "turret")
    assert names[6:10] == ("claw left 1", "claw left 2", "claw right 1", "claw right 2")


def test_a_right_leg_that_hangs_on_a_left_one_is_another_leg() -> None:
    parents, rest, weights, _ = body()
    parents[8] = 7
    known = [("body", "")] * 6 + [("leg", side) for side in ("left", "right", "left", "right") for _ in range(2)]
    assert list(bone_names(parents, rest, weights, None, known, 0.0)) == [
        "body 1", "body 2", "body 3", "body 4", "body 5", "body 6", *WANTED[6:]
    ]  # fmt: skip


def test_hands_and_fingers_have_their_own_names() -> None:
    said = {6: "arm_upper", 7: "fingers", 8: "arm_lower", 9: "hand"}
    parents, rest, weights, parts = body(said)
    rest = rest + [0, 0.2, 0] * (rest[:, 2:] > 0.2)  # they do not stand on them
    names = bone_names(parents, rest, weights, parts._replace(points=rest))
    assert names[6:10] == ("arm left", "finger left", "arm right", "hand right")


@pytest.mark.parametrize("thick", [0.02, 1.0])
def test_sheets_at_both_sides_are_wings_and_rods_are_not(thick) -> None:
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    ring = np.stack([0 * angle, np.sin(angle), np.cos(angle)], axis=1)
    points, normals, label = [], [], []
    for bone, middle in enumerate((0.0, 0.25, 0.4, -0.25, -0.4)):
        for x in np.linspace(-0.07, 0.07, 5):
            points.append(ring * [1, 0.1 * (thick if bone else 1), 0.1] + [middle + x, 0, 0])
            across = ring / [1, thick if bone else 1, 1]
            normals.append(across / np.linalg.norm(across, axis=1, keepdims=True))
            label += [bone] * len(angle)
    parents, weights = np.array([-1, 0, 1, 0, 3]), np.eye(5)[label]
    names = bone_names(parents, np.concatenate(points), weights, None, normals=np.concatenate(normals))
    wings = ("wing left 1", "wing left 2", "wing right 1", "wing right 2")
    assert names[0] == "body" and (names[1:] == wings) == (thick < 1)


def test_a_fishs_fins_are_told_by_where_they_are() -> None:
    """Thin sheets at the end of the tree, whose rest is a round body and a tail."""
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    ring = np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1)
    sheet = np.stack(np.meshgrid([0.0], np.linspace(0, 0.1, 4), np.linspace(-0.05, 0.05, 3)), axis=-1).reshape(-1, 3)
    trunk = [0.1 * ring + [0, 0, z] for z in (0.3, 0.1, -0.1)]
    places = [
        *trunk,
        np.add(sheet, (0, 0.1, 0.1)),
        sheet * [1, -1, 1] + [0, -0.1, -0.1],
        sheet[:, [1, 0, 2]] + [0.1, 0, 0.1],
    ]
    places += [sheet[:, [1, 0, 2]] * [-1, 1, 1] + [-0.1, 0, 0.1], sheet * [1, 0.5, 1] + [0, -0.02, -0.3]]
    outward = [ring] * 3 + [np.tile(axis, (12, 1)) for axis in np.eye(3)[[0, 0, 1, 1, 0]]]
    parents = np.array([-1, 0, 1, 1, 2, 1, 1, 2])
    known = [("body", "")] * 7 + [("tail", "")]
    weights = np.repeat(np.eye(8), 12, axis=0)
    names = bone_names(parents, np.concatenate(places), weights, None, known, 0.0, np.concatenate(outward))
    assert names[:3] == ("body 1", "body 2", "body 3")
    assert names[3:] == ("fin top", "fin bottom", "fin left", "fin right", "tail fin")


def test_what_two_legs_hang_on_is_the_body_and_the_hands_of_one_arm_have_numbers() -> None:
    parents, rest, weights, _ = body()
    known = [("body", ""), ("leg", "left"), ("body", ""), ("neck", ""), ("head", ""), ("tail", "")] + [("leg", "")] * 8
    names = bone_names(parents, rest, weights, None, known, 0.0)
    assert names[1].startswith("body") and list(names[6:]) == WANTED[6:]
    hands = [("body", "")] * 6 + [("arm", "left"), ("hand", "left")] + [("arm", "left"), ("hand", "left")] * 3
    named = bone_names(parents, rest, weights, None, hands, 0.0)
    assert len(set(named)) == len(named) and "hand 1 left" in named and not any("hand front" in name for name in named)


def test_a_flier_of_which_nothing_is_known_has_a_head_a_tail_and_legs_between_its_wings() -> None:
    along = np.linspace(-0.5, 0.5, 6)
    ring = np.stack(np.meshgrid(along, along), axis=-1).reshape(-1, 2)
    sheet = lambda x: np.c_[x + 0.3 * ring[:, 0], 0 * ring[:, 0], 0.3 * ring[:, 1]]  # noqa: E731
    angles = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1)
    trunk = [0.06 * circle + [0, 0, z] for z in (0.0, 0.1, -0.1, 0.3, -0.3)]
    legs = [0.01 * circle[:, [0, 2, 1]] + [x, 0, -0.02] - np.outer(np.linspace(0.05, 0.2, 36), [0, 1, 0])
            for x in (0.04, -0.04)]  # fmt: skip
    rest = np.concatenate([*trunk, *legs, sheet(0.25), sheet(-0.25)])
    normals = np.concatenate([circle] * 5 + [circle[:, [0, 2, 1]]] * 2 + [np.tile([0.0, 1, 0], (36, 1))] * 2)
    parents = np.array([-1, 0, 0, 1, 2, 2, 5, 0, 0])
    names = bone_names(parents, rest, np.repeat(np.eye(9), 36, axis=0), None, normals=normals)
    assert names[:5] == ("body 1", "body 2", "body 3", "head", "tail")
    assert names[5:] == ("leg left", "leg right", "wing left", "wing right")
    joined = np.repeat(np.eye(9), 36, axis=0)
    joined[:, 5] += joined[:, 6]
    names = bone_names(
        parents[[0, 1, 2, 3, 4, 5, 7, 8]], rest, joined[:, [0, 1, 2, 3, 4, 5, 7, 8]], None, normals=normals
    )
    assert names[4:] == ("tail", "legs", "wing left", "wing right")


def test_two_legs_that_were_joined_above_are_two_and_both_sides_count_alike() -> None:
    """Eight legs of two pieces: the second on the right hangs on the first one's upper piece."""
    bones = [("body", -1, (0, 0.4, -0.3), (0, 0.4, 0.3))]
    known = [("body", "")]
    for side, x in (("left", 0.3), ("right", -0.3)):
        for z in (0.4, 0.13, -0.13, -0.4):
            top = len(bones)
            above = 9 if (side, z) == ("right", 0.13) else 0
            bones += [("leg", above, (x / 2, 0.4, z), (x, 0.2, z)), ("leg", top, (x, 0.2, z), (1.5 * x, 0, z))]
            known += [("leg", side)] * 2
    along = np.linspace(0, 1, 6)[:, None]
    rest = np.concatenate([np.array(a) + along * (np.array(b) - np.array(a)) for _, _, a, b in bones])
    parents = np.array([above for _, above, _, _ in bones])
    names = bone_names(parents, rest, np.repeat(np.eye(len(bones)), 6, axis=0), None, known, 0.0)
    assert names[0] == "body"
    assert list(names[1:]) == [
        f"leg {n} {side} {piece}" for side in ("left", "right") for n in range(1, 5) for piece in (1, 2)
    ]
