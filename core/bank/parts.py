"""Maps joint names to parts of a body: labels for training the part descriptor, and names for generated rigs.

Rigs call the same thing by many names ("FrontUpLeg.L", "front_leg_upper_l", "LeftArm"); here each becomes a part and a
side. A number ("Bone.004") gives no part.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# (part, pattern), the first that fits decides. Names are lower case, words joined by "_", without the side.
_PATTERNS: tuple[tuple[str, str], ...] = (
    ("prop", r"sword|shield|pistol|gun|weapon|staff|spellbook|badge|cape|tracks?\d|track|eyebrow"),
    ("wing_tip", r"wing_(tip|4|5|feather_[345])|wing4"),
    ("wing_middle", r"wing_(2|3|feather_2)|wing[23]"),
    ("wing_base", r"wing"),
    ("front_foot", r"front_?(foot|toes|leg_(foot|leaf|tip|ankle)|ankle)|front_?leg_?lower_?leg_?end|ff$|ikfront"),
    ("front_lower", r"front_?(lower|low)|front_?leg_(lower)|front_leg_?3|front_leg3"),
    ("front_upper", r"front_?(leg|upper|up|shoulder|humerus|scapula)"),
    ("middle_leg", r"^mid_?(front|back|leg)|^top_leg|^bottom_leg"),
    ("hind_foot", r"back_?(foot|feet|toe)|back_leg_(foot|toe|leaf|tip|ankle)|ffb$|ikback"),
    ("hind_lower", r"back_?(lower|low)|back_leg_lower|back_leg3"),
    ("hind_upper", r"back_?(leg|upper|up|shoulder|hip|pelvis)"),
    ("back_fin", r"back_fin"),
    ("fin", r"fin_|fin$|flipper"),
    ("fingers", r"finger|thumb|pinky|index|middle\d|middle_hand|ring\d|f_(index|middle|pinky)"),
    ("hand", r"hand|palm|wrist"),
    ("arm_lower", r"lower_?arm|fore_?arm"),
    ("arm_upper", r"upper_?arm|^arm$|shoulder(?!s)|collar"),
    ("foot", r"foot|feet|toe|ankle"),
    ("leg_lower", r"lower_?leg|shin|^leg$|mid_?leg|leg[23]$"),
    ("leg_upper", r"upper_?leg|up_?leg|thigh|hip_?joint|leg1$"),
    ("ear", r"ear"),
    ("horn", r"horn"),
    ("mouth", r"mouth|jaw|chin|tongue|nose|face"),
    ("head", r"head|eye|helmet|hat|skull"),
    ("neck", r"neck"),
    ("tail_tip", r"tail_?(tip|end|0?[4-9]|1\d|20)"),
    ("tail", r"tail|main[56]|sting"),
    ("hips", r"hips|pelvis|root|^back$|main4"),
    ("chest", r"chest|torso_?3|spine_?[23]|shoulders|ribcage|spine_[456]|main1|thorax|torso$"),
    ("spine", r"spine|abdomen|body|torso|back|stomach|main[23]|lower_?back"),
)
PARTS = tuple(dict.fromkeys(part for part, _ in _PATTERNS))
SIDES = ("", "left", "right")
# The limb of each part: rigs differ in where one part of a limb ends and the next begins.
LIMBS = {
    **dict.fromkeys(("wing_tip", "wing_middle", "wing_base"), "wing"),
    **dict.fromkeys(("front_foot", "front_lower", "front_upper"), "front leg"),
    **dict.fromkeys(("hind_foot", "hind_lower", "hind_upper"), "hind leg"),
    **dict.fromkeys(("fingers", "hand", "arm_lower", "arm_upper"), "arm"),
    **dict.fromkeys(("foot", "leg_lower", "leg_upper"), "leg"),
    **dict.fromkeys(("ear", "horn", "mouth", "head", "neck"), "head"),
    **dict.fromkeys(("tail_tip", "tail"), "tail"),
    **dict.fromkeys(("hips", "chest", "spine"), "trunk"),
}
_LEFT = re.compile(r"(^left_|^l_|_l$|_left$|_l_)")
_RIGHT = re.compile(r"(^right_|^r_|_r$|_right$|_r_)")


def part_of(name: str) -> tuple[str, str] | None:
    """(part, side) of a joint's name, or None if the name gives none."""
    bare, side = bare_name(name)
    for part, pattern in _PATTERNS:
        if re.search(pattern, bare):
            return part, side
    return None


def bare_name(name: str) -> tuple[str, str]:
    """A joint's name in lower case, words joined by "_", and its side: "DEF-Upper_Arm.L" is ("upper_arm", "left")."""
    plain = re.sub(r"^(DEF|ORG|MCH)-", "", name.split("|")[-1].split(":")[-1])
    plain = re.sub(r"\.\d+$", "", plain)
    plain = re.sub(r"^([LR])(?=[A-Z][a-z])", r"\1_", plain)
    plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", plain)
    plain = re.sub(r"[^a-z0-9]+", "_", plain.lower()).strip("_")
    side = "left" if _LEFT.search(plain) else "right" if _RIGHT.search(plain) else ""
    return _RIGHT.sub("_", _LEFT.sub("_", plain)).strip("_"), side


CLASSES = tuple((part, side) for part in PARTS for side in SIDES)
OPPOSITE = {"left": "right", "right": "left", "": ""}
MIRRORED = np.array([CLASSES.index((part, OPPOSITE[side])) for part, side in CLASSES])  # each class's mirror image
_BACK, _FRONT = ("hips", "tail", "tail_tip"), ("head", "mouth", "neck")


def class_weights(names: Sequence[str]) -> NDArray[np.float32]:
    """The class of each joint as rows [J, C] over `CLASSES`: a single 1, or zeros if the name gives no class."""
    result = np.zeros((len(names), len(CLASSES)), np.float32)
    for row, named in enumerate(map(part_of, names)):
        if named is not None:
            result[row, CLASSES.index(named)] = 1
    return result


def side_or_spine_heading(
    names: Sequence[str], nodes: NDArray[Any], weights: NDArray[Any]
) -> NDArray[np.float64] | None:
    """The heading of a rig by its joints' names, as a horizontal unit vector; None if they do not tell.

    It is a quarter turn from the direction across, right to left, or else the direction from tail to head. Nodes [N, 3]
    follow joints with weights [N, J].
    """
    named = [part_of(name) for name in names]

    def middle(chosen: list[bool]) -> NDArray[np.float64] | None:
        share = weights[:, chosen].sum(axis=1)
        return share @ nodes / share.sum() if share.sum() > 0.5 else None

    left, right = (middle([part is not None and part[1] == side for part in named]) for side in ("left", "right"))
    head, tail = (middle([part is not None and part[0] in group for part in named]) for group in (_FRONT, _BACK))
    for one, other, least in ((left, right, 0.02), (head, tail, 0.1)):
        if one is None or other is None:
            continue
        across = (one - other) * np.array([1.0, 0.0, 1.0])
        length = np.linalg.norm(across)
        if length > least:
            return np.cross(across / length, [0.0, 1.0, 0.0]) if one is left else across / length
    return None
