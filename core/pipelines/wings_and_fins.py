"""Finds wings and fins: the thin sheets of a body, which geometry alone distinguishes from legs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from core.geometry.skeleton import ancestry

Floats = NDArray[np.float64]

FISH = {"body", "head", "tail", "fin", "mouth", "neck"}  # all words of a swimmer
# A fin is a sheet with at least this share of its normals along one axis, covers at most this share of the surface, and
# lies at least so far above, below or beside the trunk, in units of the size.
FIN_SHEET, FIN_MOST, FIN_AWAY = 0.72, 0.2, 0.04
# A wing is a sheet at one side: how much of its normals is along one axis (a leg has half), where its middle lies and
# how far it reaches out, in units of the size, and the share of it that is on that side.
SHEET, ASIDE, REACHES, ONE_SIDED = 0.66, 0.12, 0.12, 0.95
# Of the size: how far legs of a bird hang out below its belly, and on both sides of the middle where a bone moves both.
LEG_BELOW, LEG_APART = 0.04, 0.02


def wings(parents: NDArray[np.int64], facing: Floats, weights: Floats, normals: Floats) -> dict[int, str]:
    """The bones of two sheets that stick out on either side, each with its side; empty if there are not two."""
    count = len(parents)
    within = np.array([[bone in ancestry(parents, other) for other in range(count)] for bone in range(count)])
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


def flier(facing: Floats, weights: Floats, winged: Mapping[int, str]) -> list[str]:
    """The words of all bones of a body with wings about which nothing else is known; it faces +Z.

    The foremost bone between the wings is the head, the rearmost the tail; legs are those that hang out below.
    """
    words = ["wing" if bone in winged else "body" for bone in range(weights.shape[1])]
    owner = weights.argmax(axis=1)
    trunk = np.array([word == "body" for word in words])
    inside = np.flatnonzero(trunk[owner])
    own = {bone: facing[owner == bone] for bone in np.unique(owner[inside])}
    ends = [int(owner[inside[pick(facing[inside, 2])]]) for pick in (np.argmax, np.argmin)]
    for bone, word in zip(ends, ("head", "tail"), strict=True):
        words[bone] = word if bone else "body"
    floor = np.sort([places[:, 1].min() for bone, places in own.items() if bone not in ends])
    legs = int(np.diff(floor[:5]).argmax()) + 1 if len(floor) > 2 else 0  # they are below the widest gap
    if 0 < legs <= 4 and floor[legs] - floor[legs - 1] > LEG_BELOW:
        for bone, places in own.items():
            low = places[places[:, 1] < floor[legs]]
            if bone and bone not in ends and len(low):
                words[bone] = "legs" if low[:, 0].min() < -LEG_APART and low[:, 0].max() > LEG_APART else "leg"
    return words


def fins(
    parents: NDArray[np.int64], facing: Floats, weights: Floats, normals: Floats, words: Sequence[str]
) -> dict[int, tuple[str, str]]:
    """The bones of a fish that are sheets at the ends of the tree, with word and place, such as ("fin", "top")."""
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
        trunk = next(above for above in ancestry(parents, bone)[1:] if not thin[above] or above == 0)
        x, y, _ = middles[bone] - middles[trunk]
        height = "" if abs(y) < FIN_AWAY else "top" if y > 0 else "bottom"
        if words[bone] == "tail":
            found[bone] = word, "" if len(below) else height
        elif abs(x) > max(FIN_AWAY, abs(y) / 2):
            found[bone] = word, "left" if x > 0 else "right"
        elif height:
            found[bone] = word, height
    return found
