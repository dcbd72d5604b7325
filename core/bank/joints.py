"""Finds parent and position of each joint of a rig, as a model for the skeleton of another body.

A rig's own hierarchy need not be its anatomy: feet driven by inverse kinematics are children of the root. Such a joint
moves relative to its parent as the clips play, so it is attached to the part that it stays with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.bank.parts import part_of
from core.bank.shape import BankClip, BankShape, Floats, quaternion_matrices
from core.geometry.skeleton import ancestry

FRAMES = 300  # of all clips, evenly chosen, in which joints are compared
LOOSE = 0.012  # of the size: a joint that slips more on its parent (root mean square) may get another one
BETTER = 0.5  # of that slip, at most, on the new parent
TOLERATED = 0.004  # slip beside which nearness decides
REACH = 0.02  # of the size, added to the gap between two parts
BLURRED = 0.02  # of the size: how far around the closest nodes of two parts their border is averaged
HOLD, HOLD_TURNING = 3e-4, 0.01  # pull a joint to the border, alone and in units of how much the parts turn


def attached_joints(
    shape: BankShape, parents: NDArray[np.integer], joints: NDArray[Any]
) -> tuple[NDArray[np.int16], Floats]:
    """Parents [J] (-1: none) and joints [J, 3] of a shape's parts; parts that slip get the parent that they stay with.

    Other parts keep their entry of `parents`. The result is one tree.
    """
    above = np.asarray(parents, np.int64).copy()
    places = np.asarray(joints, np.float64).copy()
    rotations, shifts = _maps(shape.clips, shape.centres().astype(np.float64))
    weights, nodes = shape.weights().astype(np.float64), shape.nodes.astype(np.float64)
    far = np.linalg.norm(nodes[:, None] - nodes[None], axis=-1)
    may = _may_hang(shape.part_names)
    for part in map(int, np.flatnonzero(above >= 0)):
        parent = above[part]
        missed = (rotations[:, part] - rotations[:, parent]) @ places[part] + shifts[:, part] - shifts[:, parent]
        slip = float(np.sqrt(np.square(missed).sum(axis=-1).mean()))
        if slip > LOOSE:
            _hang(part, slip * BETTER, above, places, rotations, shifts, weights, nodes, far, may)
    roots = np.flatnonzero(above < 0)
    for root in map(int, roots[roots != _heaviest(roots, above, weights)]):
        _hang(root, np.inf, above, places, rotations, shifts, weights, nodes, far, may)
    return above.astype(np.int16), places.astype(np.float32)


def _hang(
    part: int,
    most: float,
    above: NDArray[np.int64],
    places: NDArray[np.float64],
    rotations: NDArray[np.float64],
    shifts: NDArray[np.float64],
    weights: NDArray[np.float64],
    nodes: NDArray[np.float64],
    far: NDArray[np.float64],
    may: NDArray[np.bool_],
) -> None:
    """Set the best parent and joint of a part, in place; nothing changes if all slip by more than `most`."""
    best = (np.inf, -1, places[part])
    for other in range(len(above)):
        if not may[part, other] or part in ancestry(above, other):
            continue
        gap, border = _border(weights[:, part], weights[:, other], nodes, far)
        turning, apart = rotations[:, part] - rotations[:, other], shifts[:, part] - shifts[:, other]
        normal = np.einsum("tij,tik->jk", turning, turning) / len(turning)
        hold = HOLD + HOLD_TURNING * np.trace(normal)
        missed = turning @ border + apart
        step = -np.linalg.solve(normal + hold * np.eye(3), np.einsum("tij,ti->j", turning, missed) / len(turning))
        slip = float(np.sqrt(np.square(missed + turning @ step).sum(axis=-1).mean()))
        if slip < most:
            best = min(best, ((slip + TOLERATED) * (gap + REACH), other, border + step), key=lambda row: row[0])
    if best[1] >= 0:
        above[part], places[part] = best[1], best[2]


def _may_hang(names: Sequence[str]) -> NDArray[np.bool_]:
    """A mask [J, J]: whether each part may have each other one as its parent, by their names.

    A part of one side or of the middle has no parent on the other side, and only objects have objects as parents.
    """
    result = ~np.eye(len(names), dtype=bool)
    named = [part_of(name) for name in names]
    for part, own in enumerate(named):
        for other, above in enumerate(named):
            if own is None or above is None or own[0] == "prop":
                continue
            if above[0] == "prop" or (above[1] and above[1] != own[1]):
                result[part, other] = False
    return result


def _maps(clips: Sequence[BankClip], centres: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each part's rigid map of points at rest, in some frames: R [T, J, 3, 3], t [T, J, 3]."""
    quaternions = np.concatenate([clip.quaternions for clip in clips])
    places = np.concatenate([clip.places for clip in clips]).astype(np.float64)
    some = np.linspace(0, len(places) - 1, min(FRAMES, len(places))).round().astype(int)
    rotations = quaternion_matrices(quaternions[some]).astype(np.float64)
    return rotations, places[some] - np.einsum("fjab,jb->fja", rotations, centres)


def _border(
    one: NDArray[np.float64], other: NDArray[np.float64], nodes: NDArray[np.float64], far: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    """The gap between two parts, given by their weights at the nodes [N], and the middle of their closest nodes [3]."""
    apart = far + REACH / np.sqrt(one[:, None] * other[None] + 1e-6)
    gap = float(apart.min())
    soft = np.exp((gap - apart) / BLURRED)
    soft /= soft.sum()
    return gap, (soft.sum(axis=1) @ nodes + soft.sum(axis=0) @ nodes) / 2


def _heaviest(roots: NDArray[np.int64], above: NDArray[np.int64], weights: NDArray[np.float64]) -> int:
    """The root that carries most of the nodes."""
    mass = {int(root): 0.0 for root in roots}
    for part, own in enumerate(weights.sum(axis=0)):
        mass[ancestry(above, part)[-1]] += float(own)
    return max(mass, key=lambda root: mass[root])
