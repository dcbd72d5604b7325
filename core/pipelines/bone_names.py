"""Readable names for bones: "leg front left 2".

A borrowed rig's joints say what a bone is, or the part descriptor where it is confident; the positions of limbs of one
kind decide which is left, right, front or hind, and bones of one limb are numbered from the body outward. Otherwise, as
for objects that are not animals, a bone is named by its position alone.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from core.bank.matching import yaw
from core.bank.parts import CLASSES, bare_name, part_of

Floats = NDArray[np.float64]

# Points [N, 3] and outward normals [N, 3] of a surface, Y up -> chances [N, C] of `CLASSES` and the angle it faces.
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
FOOT = 0.15  # of the size: what ends higher is not a whole leg
LIMBS = ("leg", "arm", "wing")
ENDS = ("hand", "finger")  # of an arm; where the arm turns out to be a leg, of that
COUNTED = ("hand", "finger")  # that are told apart by numbers alone
FISH = {"body", "head", "tail", "fin", "mouth", "neck"}  # what a swimmer is made of
# A fin is a sheet no thicker than this, of at most this share of the surface, and lies over, under or beside the middle
# by so much, in units of the size.
FIN_SHEET, FIN_MOST, FIN_AWAY = 0.72, 0.2, 0.04
# A wing is a sheet at one side: how much of its normals is along one axis (a leg has half), where its middle lies and
# how far it reaches out, in units of the size, and the share of it that is on that side.
SHEET, ASIDE, REACHES, ONE_SIDED = 0.66, 0.12, 0.12, 0.95
LEG_BELOW = 0.04  # of the size: how far a bird's legs hang out below its belly
SURE = 0.65  # mean chance of the likeliest word from which the words are believed
GROUND = 0.06  # of the size: a limb that reaches so near to the lowest point is a leg


class PartChances(NamedTuple):
    """What the part descriptor says of points [N, 3] of a surface: chances [N, C], and the angle that it faces."""

    points: Floats
    chances: Floats
    heading: float


def word_and_side(joint: str) -> tuple[str, str]:
    """What a joint is and on which side, by its name in a rig: ("leg", "left"), ("antenna", "right"); empty where that
    does not tell.
    """
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
    """Names of bones, all different, from samples at rest [S, 3] (Y up, size 1) with bone weights [S, B].

    `known` are words and sides of the bones [B], empty where a borrowed rig has none for them, and `heading` is where
    the body faces by it. `normals` [S, 3] of the samples tell wings from legs where nothing else does.
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
    wings = {} if any(sure) or normals is None else _wings(parents, facing, weights, normals @ yaw(heading))
    sided = [bool(side) for _, side in known]
    if words is None and wings:
        words = _flier(facing, weights, wings)
        sure = sided = [True] * len(words)
    fine = words
    if words is None or fine is None:
        return _numbered(["body", *(f"part {_place(middle)}" for middle in middles[1:])])
    lows = np.array([facing[column > 0.3, 1].min(initial=np.inf) for column in weights.T]) - facing[:, 1].min()
    highs = np.array([facing[column > 0.3, 1].max(initial=-np.inf) for column in weights.T]) - facing[:, 1].min()
    sides = [said or ("left" if x > 0 else "right") for x, (_, said) in zip(middles[:, 0], known, strict=True)]
    words = ["arm" if word in ENDS and not named else word for word, named in zip(fine, sure, strict=True)]
    for bone in wings:
        words[bone], sure[bone] = "wing", True
    if any(sure) and normals is not None and {"body", "tail"} <= set(words) <= FISH:
        for bone, (word, side) in _fins(parents, facing, weights, normals @ yaw(heading), words).items():
            words[bone], sides[bone], sure[bone] = word, side, True
    _mend(words, parents, sides, sure)
    _part_legs(words, parents, lows, highs)
    limbs = _limbs(parents, words, sides, sided)
    for members in limbs.values():
        upright = words[members[0]] not in ("arm", "wing") or min(lows[bone] for bone in members) >= GROUND
        if not upright and not sure[members[0]]:
            for bone in members:
                words[bone] = "leg"
    if "arm" in words:
        words = [own if word == "arm" and own in ENDS else word for word, own in zip(words, fine, strict=True)]
        limbs = _limbs(parents, words, sides, sided)
    _join_thighs(limbs, words, sides, lows, middles)
    tips = {limb: max(members, key=lambda bone: len(_ancestry(parents, bone))) for limb, members in limbs.items()}
    named = [""] * len(parents)
    groups = defaultdict(list)
    for limb, members in limbs.items():
        word = words[members[0]]
        of_its_own = word not in WORDS and word not in IN_PAIRS  # that a rig gave: with a side only where that has one
        side = known[members[0]][1] if of_its_own else sides[tips[limb]] if word in IN_PAIRS else ""
        groups[word, side].append(limb)
    for (word, side), some in groups.items():
        some.sort(key=lambda limb: -middles[limbs[limb]][:, 2].mean())  # from the front
        for rank, limb in enumerate(some):
            for bone in limbs[limb]:
                named[bone] = " ".join(filter(None, (word, _rank(rank, len(some), word), side)))
    return _numbered(named)


def _words(parts: PartChances, rest: Floats, weights: Floats) -> list[str] | None:
    """The word of each bone; None where the descriptor is not sure what it sees."""
    chances = parts.chances @ _TO_WORDS
    if chances.max(axis=1).mean() < SURE:
        return None
    near = KDTree(parts.points).query(rest, min(4, len(parts.points)))[1].reshape(len(rest), -1)
    votes = weights.T @ chances[near].mean(axis=1)
    return [WORDS[best] for best in votes.argmax(axis=1)]


def _completed(known: Sequence[str], voted: list[str] | None, parents: NDArray[np.int64]) -> list[str]:
    """The words that are known; else those of the descriptor, or where it is not sure what the bone hangs on."""
    words: list[str] = []
    for bone, word in enumerate(known):
        words.append(word or (voted[bone] if voted else words[parents[bone]] if bone else "body"))
    return words


def _mend(words: list[str], parents: NDArray[np.int64], sides: list[str], sure: list[bool]) -> None:
    """Correct names by the tree (in place) where none is known for `sure`.

    The root is the body, so is the parent of a left and a right limb, and a head or tail that a limb hangs on; a limb
    keeps one word down to its end.
    """
    words[0] = words[0] if sure[0] else "body"
    for bone, word in enumerate(words):
        if sure[bone]:
            continue
        below = [other for other in range(bone + 1, len(words)) if bone in _ancestry(parents, other)]
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


def _part_legs(words: list[str], parents: NDArray[np.int64], lows: Floats, highs: Floats) -> None:
    """What two whole legs hang on is the body (in place), whatever a borrowed rig takes it for."""
    stands = [False] * len(words)
    for bone in range(len(words) - 1, -1, -1):
        below = np.flatnonzero(parents == bone)
        legs = [other for other in below if words[other] == "leg" and stands[other] and highs[other] > FOOT + GROUND]
        if words[bone] == "leg" and len(legs) > 1:
            words[bone] = "body"
        stands[bone] = bool(lows[bone] < FOOT or any(stands[other] for other in below))


def _wings(parents: NDArray[np.int64], facing: Floats, weights: Floats, normals: Floats) -> dict[int, str]:
    """The bones of two sheets that stick out at either side, each with its side; none where there are no two."""
    count = len(parents)
    within = np.array([[bone in _ancestry(parents, other) for other in range(count)] for bone in range(count)])
    mass = weights.sum(axis=0).clip(1e-9)
    spread = np.einsum("sb,si,sj->bij", weights, normals, normals) / mass[:, None, None]
    flat = np.linalg.eigvalsh(spread)[:, -1]
    found: dict[str, list[int]] = {}
    for bone in range(1, count):
        members = np.flatnonzero(within[bone])
        share = weights[:, members].sum(axis=1)
        x = facing[:, 0] * np.sign(share @ facing[:, 0])
        own = x[share > 0.5]
        if len(own) < 2 * count or share @ x / share.sum() < ASIDE or np.ptp(own) < REACHES:
            continue
        one_sided = share[x > 0].sum() / share.sum() > ONE_SIDED
        if one_sided and mass[members] @ flat[members] / mass[members].sum() > SHEET:
            side = "left" if share @ facing[:, 0] > 0 else "right"
            larger = found.get(side)
            if larger is None or mass[members].sum() > mass[larger].sum():
                found[side] = members.tolist()
    if len(found) < 2:
        return {}
    return {bone: side for side, members in found.items() for bone in members}


def _flier(facing: Floats, weights: Floats, wings: Mapping[int, str]) -> list[str]:
    """The words of all bones of a body with wings, of which nothing else is known; it looks ahead, to +Z.

    The foremost bone between the wings is the head, the rearmost the tail; legs are those that hang out below.
    """
    words = ["wing" if bone in wings else "body" for bone in range(weights.shape[1])]
    owner = weights.argmax(axis=1)
    trunk = np.array([word == "body" for word in words])
    inside = np.flatnonzero(trunk[owner])
    own = {bone: facing[owner == bone] for bone in np.unique(owner[inside])}
    ends = [int(owner[inside[pick(facing[inside, 2])]]) for pick in (np.argmax, np.argmin)]
    for bone, word in zip(ends, ("head", "tail"), strict=True):
        words[bone] = word if bone else "body"
    floor = np.sort([places[:, 1].min() for bone, places in own.items() if bone not in ends])
    legs = int(np.diff(floor[:5]).argmax()) + 1 if len(floor) > 2 else 0  # the widest gap lies over them
    if 0 < legs <= 4 and floor[legs] - floor[legs - 1] > LEG_BELOW:
        for bone, places in own.items():
            if bone and bone not in ends and places[:, 1].min() < floor[legs]:
                words[bone] = "leg"
    return words


def _fins(
    parents: NDArray[np.int64], facing: Floats, weights: Floats, normals: Floats, words: Sequence[str]
) -> dict[int, tuple[str, str]]:
    """The bones of a fish that are sheets at the end of the tree, and where: ("fin", "top") or ("tail fin", "")."""
    mass = weights.sum(axis=0).clip(1e-9)
    middles = weights.T @ facing / mass[:, None]
    spread = np.einsum("sb,si,sj->bij", weights, normals, normals) / mass[:, None, None]
    thin = (np.linalg.eigvalsh(spread)[:, -1] > FIN_SHEET) & (mass < FIN_MOST * mass.sum())
    found: dict[int, tuple[str, str]] = {}
    for bone in range(len(parents) - 1, 0, -1):
        word = "tail fin" if words[bone] == "tail" else "fin"
        below = np.flatnonzero(parents == bone)
        if not thin[bone] or any(other not in found or found[other][0] != word for other in map(int, below)):
            continue
        trunk = next(above for above in _ancestry(parents, bone)[1:] if not thin[above] or above == 0)
        x, y, _ = middles[bone] - middles[trunk]
        height = "" if abs(y) < FIN_AWAY else "top" if y > 0 else "bottom"
        if words[bone] == "tail":
            found[bone] = word, "" if len(below) else height
        elif abs(x) > max(FIN_AWAY, abs(y) / 2):
            found[bone] = word, "left" if x > 0 else "right"
        elif height:
            found[bone] = word, height
    return found


def _limbs(parents: NDArray[np.int64], words: list[str], sides: list[str], sided: list[bool]) -> dict[int, list[int]]:
    """Chains of bones of one word and side, by the first of each, in the order of the tree.

    What hangs on a bone of its word is on its side too, unless both are known to be `sided` otherwise.
    """
    limb = list(range(len(parents)))
    members: dict[int, list[int]] = defaultdict(list)
    for bone, parent in enumerate(parents):
        for above in _ancestry(parents, bone)[1:]:
            alike = words[above] == words[bone]
            other = sides[above] != sides[bone] and words[bone] in IN_PAIRS
            if alike and (not other or (above == parent and not (sided[above] and sided[bone]))):
                limb[bone] = limb[above]
                break
        members[limb[bone]].append(bone)
    return dict(members)


def _join_thighs(
    limbs: dict[int, list[int]], words: list[str], sides: list[str], lows: Floats, middles: Floats
) -> None:
    """A piece of a leg that does not reach the ground belongs to the nearest one that does, on its side (in place)."""
    legs = [limb for limb in limbs if words[limb] == "leg"]
    whole = [limb for limb in legs if min(lows[bone] for bone in limbs[limb]) < FOOT]
    for limb in legs:
        beside = [other for other in whole if sides[other] == sides[limb] and other != limb]
        if limb not in whole and beside:
            apart = [np.linalg.norm(middles[limbs[other]] - middles[limb], axis=1).min() for other in beside]
            nearest = beside[int(np.argmin(apart))]
            limbs[nearest] = sorted(limbs[nearest] + limbs.pop(limb))


def _rank(rank: int, count: int, word: str) -> str:
    """Which of several limbs of one kind and side, counted from the front."""
    if count == 1 or word not in IN_PAIRS:
        return ""
    if count <= 3 and word not in COUNTED:
        return ("front", "hind")[rank] if count == 2 else ("front", "middle", "hind")[rank]
    return str(rank + 1)


def _place(middle: Floats) -> str:
    """Where a bone lies, in at most two words: the axes along which it is farthest from the middle."""
    words = (("right", "left"), ("low", "high"), ("back", "front"))
    far = [axis for axis in np.argsort(-np.abs(middle))[:2] if abs(middle[axis]) > 0.1]
    named = [words[axis][int(middle[axis] > 0)] for axis in sorted(far, key=lambda axis: (2, 0, 1)[axis])]
    return " ".join(named) or "middle"


def _ancestry(parents: NDArray[np.int64], bone: int) -> list[int]:
    """A bone, its parent, and so on to the root."""
    line = [bone]
    while parents[line[-1]] >= 0:
        line.append(int(parents[line[-1]]))
    return line


def _numbered(names: list[str]) -> tuple[str, ...]:
    """Equal names get numbers, in the order of the tree."""
    total, seen, result = Counter(names), Counter[str](), []
    for name in names:
        seen[name] += 1
        result.append(f"{name} {seen[name]}" if total[name] > 1 else name)
    return tuple(result)
