"""Finds readable names for bones, such as "leg front left 2".

A borrowed rig's joints say what a bone is, or else the part descriptor if it is confident. Positions decide which of
several limbs is left, right, front or hind. Bones of one limb are numbered from the body outward. If neither source
says anything, as for most objects, bones are named by position only.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from core.bank.matching import yaw
from core.bank.parts import CLASSES, bare_name, part_of
from core.geometry.skeleton import ancestry
from core.pipelines.wings_and_fins import FISH, fins, flier, wings

Floats = NDArray[np.float64]

# From points [N, 3] and outward normals [N, 3] of a surface, Y up: probabilities [N, C] of `CLASSES`, and the heading.
NameParts = Callable[[NDArray[np.floating], NDArray[np.floating]], tuple[NDArray[np.floating], float]]

_WORDS = {
    **dict.fromkeys(("front_foot", "front_lower", "front_upper", "middle_leg", "hind_foot", "hind_lower"), "leg"),
    **dict.fromkeys(("hind_upper", "foot", "leg_lower", "leg_upper"), "leg"),
    **dict.fromkeys(("arm_lower", "arm_upper"), "arm"),
    **dict.fromkeys(("wing_tip", "wing_middle", "wing_base"), "wing"),
    **dict.fromkeys(("hips", "chest", "spine"), "body"),
    "tail_tip": "tail", "back_fin": "fin", "mouth": "head", "fingers": "finger",
}  # fmt: skip
_WORD_OF_CLASS = [_WORDS.get(part, part) for part, _ in CLASSES]
WORDS = tuple(dict.fromkeys(_WORD_OF_CLASS))
_PART_OF_THING = re.compile(r"chest_(top|bottom|lid)")  # not of a trunk
_SAYS_NOTHING = {
    *("bone", "joint", "part", "node", "main", "neutral", "armature", "null", "object", "mesh", "end", "pole"),
    *("target", "ctrl", "control", "helper"),
}
_TO_WORDS = np.array([[word == other for other in WORDS] for word in _WORD_OF_CLASS], dtype=np.float64)
IN_PAIRS = ("leg", "arm", "hand", "finger", "wing", "fin", "tail fin", "ear", "horn")
FOOT = 0.15  # of the size; a limb that ends higher is no whole leg
LIMBS = ("leg", "arm", "wing")
ENDS = ("hand", "finger")  # of an arm; if the arm turns out to be a leg, of that leg
COUNTED = ("hand", "finger")  # told apart by numbers only
SURE = 0.65  # least mean probability of the likeliest word for the descriptor's words to be used
GROUND = 0.06  # of the size; a limb that reaches this near to the lowest point is a leg


class PartChances(NamedTuple):
    """The part descriptor's probabilities [N, C] for points [N, 3] of a surface, and the surface's heading."""

    points: Floats
    chances: Floats
    heading: float


def word_and_side(joint: str) -> tuple[str, str]:
    """The part and side that a joint's name in a rig tells, such as ("leg", "left"); empty if it tells none."""
    named = part_of(joint)
    bare, side = bare_name(joint)
    if named is not None and named[0] != "prop" and not _PART_OF_THING.fullmatch(bare):
        return _WORDS.get(named[0], named[0]), side
    words = [word for word in re.sub(r"\d+", "", bare).split("_") if len(word) > 2 and word not in _SAYS_NOTHING]
    return (" ".join(words), side) if words else ("", "")


def bone_names(
    parents: NDArray[np.int64],
    rest: Floats,
    weights: Floats,
    parts: PartChances | None,
    known: Sequence[tuple[str, str]] = (),
    heading: float | None = None,
    normals: Floats | None = None,
) -> tuple[str, ...]:
    """Different names for B bones, from samples at rest [S, 3] (Y up, size 1) with bone weights [S, B].

    `known` are words and sides [B] from a borrowed rig, empty where it has none, and `heading` is the body's heading by
    that rig. `normals` [S, 3] of the samples tell wings from legs if nothing else does.
    """
    if heading is None:
        heading = 0.0 if parts is None else parts.heading
    facing = rest @ yaw(heading)
    facing = facing - (facing.min(axis=0) + facing.max(axis=0)) / 2
    mass = weights.sum(axis=0).clip(1e-9)[:, None]
    middles = weights.T @ facing / mass
    words = None if parts is None else _words(parts, rest, weights)
    known = known or [("", "")] * len(parents)
    sure = [bool(word) for word, _ in known]
    if any(sure):
        words = _completed([word for word, _ in known], words, parents)
    winged = {} if any(sure) or normals is None else wings(parents, facing, weights, normals @ yaw(heading))
    sided = [bool(side) for _, side in known]
    if words is None and winged:
        words = flier(facing, weights, winged)
        sure = sided = [True] * len(words)
    fine = words
    if words is None or fine is None:
        return _numbered(["body", *(f"part {_place(middle)}" for middle in middles[1:])])
    lows = np.array([facing[column > 0.3, 1].min(initial=np.inf) for column in weights.T]) - facing[:, 1].min()
    highs = np.array([facing[column > 0.3, 1].max(initial=-np.inf) for column in weights.T]) - facing[:, 1].min()
    sides = [said or ("left" if x > 0 else "right") for x, (_, said) in zip(middles[:, 0], known, strict=True)]
    words = ["arm" if word in ENDS and not named else word for word, named in zip(fine, sure, strict=True)]
    for bone in winged:
        words[bone], sure[bone] = "wing", True
    if any(sure) and normals is not None and {"body", "tail"} <= set(words) <= FISH:
        for bone, (word, side) in fins(parents, facing, weights, normals @ yaw(heading), words).items():
            words[bone], sides[bone], sure[bone] = word, side, True
    _correct_words(words, parents, sides, sure)
    _body_above_legs(words, parents, lows, highs)
    limbs = _limbs(parents, words, sides, sided)
    for members in limbs.values():
        upright = words[members[0]] not in ("arm", "wing") or min(lows[bone] for bone in members) >= GROUND
        if not upright and not sure[members[0]]:
            for bone in members:
                words[bone] = "leg"
    if "arm" in words:
        words = [own if word == "arm" and own in ENDS else word for word, own in zip(words, fine, strict=True)]
        limbs = _limbs(parents, words, sides, sided)
    _split_legs(limbs, words, parents, lows, middles)
    _join_thighs(limbs, words, sides, lows, middles)
    tips = {limb: max(members, key=lambda bone: len(ancestry(parents, bone))) for limb, members in limbs.items()}
    named = [""] * len(parents)
    groups = defaultdict(list)
    for limb, members in limbs.items():
        word = words[members[0]]
        of_its_own = (
            word not in WORDS and word not in IN_PAIRS
        )  # a rig's own word, with a side only if it has one there
        side = known[members[0]][1] if of_its_own else sides[tips[limb]] if word in IN_PAIRS else ""
        groups[word, side].append(limb)
    most = {word: max(len(some) for (other, _), some in groups.items() if other == word) for word, _ in groups}
    for (word, side), some in groups.items():
        some.sort(key=lambda limb: -middles[limbs[limb]][:, 2].mean())  # from the front
        for rank, limb in enumerate(some):
            for bone in limbs[limb]:
                named[bone] = " ".join(filter(None, (word, _rank(rank, len(some), most[word], word), side)))
    return _numbered(named)


def _words(parts: PartChances, rest: Floats, weights: Floats) -> list[str] | None:
    """The descriptor's word for each bone; None if it is not confident."""
    chances = parts.chances @ _TO_WORDS
    if chances.max(axis=1).mean() < SURE:
        return None
    near = KDTree(parts.points).query(rest, min(4, len(parts.points)))[1].reshape(len(rest), -1)
    votes = weights.T @ chances[near].mean(axis=1)
    return [WORDS[best] for best in votes.argmax(axis=1)]


def _completed(known: Sequence[str], voted: list[str] | None, parents: NDArray[np.int64]) -> list[str]:
    """The known words; where there is none, the descriptor's, or without these the parent's."""
    words: list[str] = []
    for bone, word in enumerate(known):
        words.append(word or (voted[bone] if voted else words[parents[bone]] if bone else "body"))
    return words


def _correct_words(words: list[str], parents: NDArray[np.int64], sides: list[str], sure: list[bool]) -> None:
    """Correct words that are not `sure` by the tree, in place.

    The root is the body, and so are the parent of a left and a right limb, and a head or tail with a limb as a child. A
    limb keeps one word down to its end.
    """
    words[0] = words[0] if sure[0] else "body"
    for bone, word in enumerate(words):
        if sure[bone]:
            continue
        below = [other for other in range(bone + 1, len(words)) if bone in ancestry(parents, other)]
        if word in IN_PAIRS:
            both = {"left", "right"} <= {sides[other] for other in (bone, *below) if words[other] == word}
        else:
            both = word in ("head", "neck", "tail") and any(words[other] in LIMBS for other in below)
        if both:
            words[bone] = "body"
    for bone in range(1, len(words)):
        above = words[parents[bone]]
        if not sure[bone] and (words[bone] == "body" or words[bone] in LIMBS) and above in LIMBS:
            words[bone] = above


def _body_above_legs(words: list[str], parents: NDArray[np.int64], lows: Floats, highs: Floats) -> None:
    """Make the parent of two whole legs the body, in place, whatever a borrowed rig calls it."""
    stands = [False] * len(words)
    for bone in range(len(words) - 1, -1, -1):
        below = np.flatnonzero(parents == bone)
        legs = [other for other in below if words[other] == "leg" and stands[other] and highs[other] > FOOT + GROUND]
        if words[bone] == "leg" and len(legs) > 1:
            words[bone] = "body"
        stands[bone] = bool(lows[bone] < FOOT or any(stands[other] for other in below))


def _limbs(parents: NDArray[np.int64], words: list[str], sides: list[str], sided: list[bool]) -> dict[int, list[int]]:
    """{first bone: chain of bones with one word and side}, in the order of the tree.

    A child with the same word is on its parent's side, unless both are known to be `sided` otherwise.
    """
    limb = list(range(len(parents)))
    members: dict[int, list[int]] = defaultdict(list)
    for bone, parent in enumerate(parents):
        for above in ancestry(parents, bone)[1:]:
            alike = words[above] == words[bone]
            other = sides[above] != sides[bone] and words[bone] in IN_PAIRS
            if alike and (not other or (above == parent and not (sided[above] and sided[bone]))):
                limb[bone] = limb[above]
                break
        members[limb[bone]].append(bone)
    return dict(members)


def _split_legs(
    limbs: dict[int, list[int]], words: list[str], parents: NDArray[np.int64], lows: Floats, middles: Floats
) -> None:
    """Make two legs that share their upper end, but stand in different places, two limbs, in place."""
    for members in [members for limb, members in limbs.items() if words[limb] == "leg"]:
        for fork in list(members):
            feet: list[int] = []
            for top in [bone for bone in members if parents[bone] == fork]:
                branch = [bone for bone in members if top in ancestry(parents, bone)]
                foot = min(branch, key=lambda bone: lows[bone])
                if lows[foot] < GROUND and all(np.linalg.norm(middles[foot] - middles[other]) > FOOT for other in feet):
                    if feet:
                        limbs[top] = branch
                        members[:] = [bone for bone in members if bone not in branch]
                    feet.append(foot)


def _join_thighs(
    limbs: dict[int, list[int]], words: list[str], sides: list[str], lows: Floats, middles: Floats
) -> None:
    """Join a piece of a leg that does not reach the ground to the nearest one on its side that does, in place."""
    legs = [limb for limb in limbs if words[limb] == "leg"]
    whole = [limb for limb in legs if min(lows[bone] for bone in limbs[limb]) < FOOT]
    for limb in legs:
        beside = [other for other in whole if sides[other] == sides[limb] and other != limb]
        if limb not in whole and beside:
            apart = [np.linalg.norm(middles[limbs[other]] - middles[limb], axis=1).min() for other in beside]
            nearest = beside[int(np.argmin(apart))]
            limbs[nearest] = sorted(limbs[nearest] + limbs.pop(limb))


def _rank(rank: int, count: int, most: int, word: str) -> str:
    """The word or number of one of several limbs of a kind and side, counted from the front; `most` are on one side."""
    if count == 1 or word not in IN_PAIRS:
        return ""
    if most <= 3 and word not in COUNTED:
        return ("front", "hind")[rank] if count == 2 else ("front", "middle", "hind")[rank]
    return str(rank + 1)


def _place(middle: Floats) -> str:
    """A bone's position in at most two words, for the axes along which it is farthest from the middle."""
    words = (("right", "left"), ("low", "high"), ("back", "front"))
    far = [axis for axis in np.argsort(-np.abs(middle))[:2] if abs(middle[axis]) > 0.1]
    named = [words[axis][int(middle[axis] > 0)] for axis in sorted(far, key=lambda axis: (2, 0, 1)[axis])]
    return " ".join(named) or "middle"


def _numbered(names: list[str]) -> tuple[str, ...]:
    """Equal names get numbers, in the order of the tree."""
    total, seen, result = Counter(names), Counter[str](), []
    for name in names:
        seen[name] += 1
        result.append(f"{name} {seen[name]}" if total[name] > 1 else name)
    return tuple(result)
