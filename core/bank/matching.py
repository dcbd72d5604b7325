"""Which node of a body corresponds to which node of a shape of the bank, and how alike the two are.

Correspondences come from learned part descriptors, helped by the place in the body's own box and by normals, after both
have been turned to face the same way. Rotations of the bank's parts reach a node through the weights found here.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.bank.shape import BankShape, Floats, mirrored, quaternion_matrices

NEAREST = 4  # nodes of the bank that one node's rotation is mixed from
SHARPNESS = 0.08  # of the mixture, in units of the matching cost
PLACE, NORMAL = 1.0, 0.15  # weights of squared distance in the box and of normals beside the descriptors
MOST_SHAPES = 28  # that windows are searched in, the most alike first


@dataclass(frozen=True, eq=False)
class Body:
    """A surface to be moved, as the bank sees it. Normalised space, Y up."""

    nodes: Floats  # [P, 3]
    normals: Floats  # [P, 3]
    descriptors: Floats  # [P, D] unit vectors, of the body turned to face +Z
    heading: float  # angle about Y from +Z to where it faces
    weight: Floats  # [P, P] edge weights of the graph of nodes
    pieces: NDArray[np.int64] | None = None  # [P] which nodes move as one (the same number), -1 for those that bend

    @cached_property
    def upright(self) -> Floats:
        """The nodes, turned to face +Z."""
        return self.nodes @ yaw(self.heading)


class BankEntry:
    """A shape of the bank, or its mirror image, with what searching needs; rotations are made when first asked for."""

    def __init__(self, shape: BankShape, reflected: bool) -> None:
        self.shape = mirrored(shape) if reflected else shape
        self.reflected = reflected
        self.weights = self.shape.weights()
        facing = yaw(self.shape.heading)
        self.box = _boxed(self.shape.nodes @ facing)
        self.normals = self.shape.normals @ facing
        self.first = np.cumsum([0] + [clip.frames for clip in self.shape.clips])  # of each clip, in the arrays below

        lengths = np.diff(self.first)
        self.clip = np.repeat(np.arange(len(lengths)), lengths)  # of each row of the arrays below
        self.frame = np.arange(self.first[-1]) - self.first[self.clip]
        self._last = (lengths - 1)[self.clip]
        periods = np.array([round(clip.period) for clip in self.shape.clips])
        self.cyclic = (periods > 0)[self.clip]
        self._period = np.maximum(periods, 1)[self.clip]

    def rows_after(self, frames: float) -> NDArray[np.int64]:
        """For every row the one nearest to `frames` later: cyclic clips go round, others hold their end [F]."""
        later = np.round(self.frame + frames).astype(np.int64)
        later = np.where(self.cyclic, np.mod(later, self._period), later)
        result: NDArray[np.int64] = self.first[self.clip] + np.minimum(later, self._last)
        return result

    def left_after(self, frames: float) -> NDArray[np.float64]:
        """How many frames of its clip are left `frames` after each row, negative where it ends before [F]."""
        return np.where(self.cyclic, np.inf, self._last - self.frame - frames)

    @property
    def descriptors(self) -> Floats:
        result: Floats = self.shape.descriptors[0]
        return result

    @cached_property
    def rotations(self) -> Floats:
        """[F, J, 3, 3] of all clips, one after the other."""
        return np.concatenate([quaternion_matrices(clip.quaternions) for clip in self.shape.clips])

    @cached_property
    def places(self) -> Floats:
        """[F, J, 3] likewise."""
        return np.concatenate([clip.places for clip in self.shape.clips])


@dataclass(frozen=True, eq=False)
class Match:
    """A body's correspondence with one entry of the bank."""

    entry: BankEntry
    cost: float  # how unlike they are
    parts: Floats  # [P, J] what each node takes from each part
    turn: Floats  # [3, 3] from the body's world to the bank shape's
    theirs: Floats  # [P, 3] where each node lies on the entry's shape
    pose: Floats  # [F] how well the body's rest pose agrees with each frame of the entry, 1 at most

    @cached_property
    def mass(self) -> Floats:
        """Share of the nodes that follows each part [J]."""
        result: Floats = self.parts.mean(axis=0)
        return result


def match_body(
    body: Body, entries: Sequence[BankEntry], without: Collection[str] = (), most: int = MOST_SHAPES
) -> list[Match]:
    """The entries most like a body, the best first. Shapes whose name, pack or author is in `without` are left out."""
    box, normals = _boxed(body.upright), body.normals @ yaw(body.heading)
    found = []
    for number, entry in enumerate(entries):
        shape = entry.shape
        if without and not {shape.name, shape.pack, shape.author}.isdisjoint(without):
            continue
        cost = 2.0 * (1.0 - body.descriptors @ entry.descriptors.T)
        cost += PLACE * np.square(box[:, None] - entry.box[None]).sum(axis=-1)
        cost += NORMAL * (1.0 - normals @ entry.normals.T)
        found.append((float(cost.min(axis=1).mean() + cost.min(axis=0).mean()), number, cost))
    found.sort(key=lambda row: row[:2])
    return [_match(body, entries[number], alike, cost) for alike, number, cost in found[:most]]


def _match(body: Body, entry: BankEntry, alike: float, cost: Floats) -> Match:
    count = min(NEAREST, cost.shape[1])
    near = np.argpartition(cost, count - 1, axis=1)[:, :count]
    chosen = np.take_along_axis(cost, near, 1)
    share = np.exp(-(chosen - chosen.min(axis=1, keepdims=True)) / SHARPNESS)
    weights = np.zeros_like(cost, dtype=np.float32)
    np.put_along_axis(weights, near, (share / share.sum(axis=1, keepdims=True)).astype(np.float32), 1)
    if body.pieces is not None:
        for piece in np.unique(body.pieces[body.pieces >= 0]):
            weights[body.pieces == piece] = weights[body.pieces == piece].mean(axis=0)
    parts = weights @ entry.weights
    turn = (yaw(entry.shape.heading) @ yaw(body.heading).T).astype(np.float32)
    theirs = weights @ entry.shape.nodes
    pose = _pose_agreement(body, parts, theirs, turn)
    agreement = entry.rotations.reshape(len(entry.rotations), -1) @ pose.reshape(-1)
    return Match(entry, alike, parts.astype(np.float32), turn, theirs, agreement)


def _pose_agreement(body: Body, parts: Floats, theirs: Floats, turn: Floats) -> Floats:
    """Linear functional [J, 3, 3] of an entry's rotations: how well they turn its edges into the body's own.

    The pose in which the body rests decides which windows may begin there; where a limb is thin, only its direction
    counts, since only that can be seen.
    """
    mine, weight = body.nodes @ turn.T, body.weight
    degree = weight.sum(axis=1)
    near_mine, near_theirs = weight @ mine, weight @ theirs
    pairs = mine[:, :, None] * theirs[:, None, :]
    covariance = (
        degree[:, None, None] * pairs
        + np.tensordot(weight, pairs, 1)
        - mine[:, :, None] * near_theirs[:, None, :]
        - near_mine[:, :, None] * theirs[:, None, :]
    )
    lengths = [
        degree * np.square(x).sum(axis=1) + weight @ np.square(x).sum(axis=1) - 2 * (x * near).sum(axis=1)
        for x, near in ((mine, near_mine), (theirs, near_theirs))
    ]
    whole = np.sqrt((lengths[0] * lengths[1]).clip(0)).sum()
    result: Floats = (np.tensordot(parts.T, covariance, 1) / max(whole, 1e-9)).astype(np.float32)
    return result


def yaw(angle: float) -> Floats:
    """Rotation about Y that takes +Z to where `angle` points; points times it are turned back to face +Z."""
    sine, cosine = np.sin(angle), np.cos(angle)
    return np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]], dtype=np.float32)


def _boxed(points: NDArray[Any]) -> Floats:
    """Places within the bounding box, -0.5 to 0.5 along each side."""
    low, high = points.min(axis=0), points.max(axis=0)
    result: Floats = ((points - low) / (high - low).clip(1e-3) - 0.5).astype(np.float32)
    return result
