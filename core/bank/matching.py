"""Matches the nodes of a body with those of a bank shape, and measures how similar the two are.

Correspondences come from learned part descriptors, the place within the bounding box and normals, after both have been
turned to face the same way. They give the weights with which a node follows the rotations of the bank's parts.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.bank.shape import BankShape, Floats, mirrored, quaternion_matrices

NEAREST = 4  # bank nodes that one node's rotation is averaged from
SHARPNESS = 0.08  # of the mixture, in units of the matching cost
PLACE, NORMAL = 1.0, 0.15  # weights of squared distance in the box and of normals beside the descriptors
MOST_SHAPES = 28  # shapes in which windows are searched, the most similar ones


@dataclass(frozen=True, eq=False)
class Body:
    """A surface that motions are transferred to, in normalised space, Y up."""

    nodes: Floats  # [P, 3]
    normals: Floats  # [P, 3]
    descriptors: Floats  # [P, D] unit vectors, of the body turned to face +Z
    heading: float  # angle about Y from +Z to where it faces
    weight: Floats  # [P, P] edge weights of the graph of nodes
    pieces: NDArray[np.int64] | None = None  # [P] nodes with the same number move rigidly together; -1: nodes that bend

    @cached_property
    def upright(self) -> Floats:
        """The nodes, turned to face +Z."""
        return self.nodes @ yaw(self.heading)


class BankEntry:
    """A shape of the bank, or its mirror image, with the arrays for the search; rotations are computed on first use."""

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
        """For every row [F], the row nearest to `frames` later; cyclic clips repeat, others hold their end."""
        later = np.round(self.frame + frames).astype(np.int64)
        later = np.where(self.cyclic, np.mod(later, self._period), later)
        result: NDArray[np.int64] = self.first[self.clip] + np.minimum(later, self._last)
        return result

    def left_after(self, frames: float) -> NDArray[np.float64]:
        """The frames [F] of its clip that are left `frames` after each row; negative if the clip ends before."""
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
    cost: float  # dissimilarity
    parts: Floats  # [P, J] weight of each part's rotation at each node
    turn: Floats  # [3, 3] from the body's world to the bank shape's
    theirs: Floats  # [P, 3] place on the entry's shape that corresponds to each node
    pose: Floats  # [F] agreement of the body's rest pose with each frame of the entry, at most 1

    @cached_property
    def mass(self) -> Floats:
        """The share [J] of the nodes that follows each part."""
        result: Floats = self.parts.mean(axis=0)
        return result


def match_body(
    body: Body, entries: Sequence[BankEntry], without: Collection[str] = (), most: int = MOST_SHAPES
) -> list[Match]:
    """The entries most similar to a body, best first, without shapes whose name, pack or author is in `without`."""
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
    """A linear functional [J, 3, 3] of an entry's rotations that measures how well they turn its edges into the body's.

    It tells which frames have a pose like the body's rest pose, where a window may begin. Of a thin limb only the
    direction counts.
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
    """The rotation about Y that takes +Z to the heading `angle`; `points @ yaw(angle)` turns points back to face +Z."""
    sine, cosine = np.sin(angle), np.cos(angle)
    return np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]], dtype=np.float32)


def _boxed(points: NDArray[Any]) -> Floats:
    """Places within the bounding box, -0.5 to 0.5 along each side."""
    low, high = points.min(axis=0), points.max(axis=0)
    result: Floats = ((points - low) / (high - low).clip(1e-3) - 0.5).astype(np.float32)
    return result
