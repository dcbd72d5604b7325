"""Moves a body along a borrowed motion by its feet: their heights and steps follow those of the window.

The path of the bank's shape is right only for its own legs. With other legs the same rotations of joints reach less far
or farther, so a body that follows the path of the shape's middle sinks, floats and slides.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.bank.bank_file import STORED_FPS
from core.bank.search import Window, Wish
from core.bank.shape import BankShape, Floats

AFLOAT = ("swim", "fly")  # behaviours that do not stand
ON_FOOT = ("walk", "run")  # behaviours that tell a creature that can stand from one that only swims
LOWEST = 5  # the mean height of this many lowest nodes is the height of a body
NEAR = 0.04  # of the size: a node no higher above the ground may stand on it
SLOW = 0.25  # of the size per second: a faster node does not stand
STANDS = 0.3  # share of a node's parts that must stand for it to lead
ENOUGH = 0.01  # share of the nodes: if fewer stand, they count for less


def lead_by_feet(windows: Sequence[Window], wish: Wish, positions: Tensor) -> Tensor:
    """Node positions [S, T, P, 3], shifted as a whole in each frame to follow the feet of the windows' shapes.

    Loops are returned unchanged, as their last frame has to flow into the first.
    """
    if wish.loop or wish.frames < 2:
        return positions
    moved = positions.numpy()
    shift = np.zeros((*moved.shape[:2], 1, 3), np.float32)
    for number, window in enumerate(windows):
        if window.match.entry.shape.clips[window.clip].behaviour not in AFLOAT:
            shift[number] = _shift(window, wish, moved[number])[:, None]
    return positions + torch.from_numpy(shift)


def may_stand(windows: Sequence[Window], similar: BankShape) -> NDArray[np.bool_]:
    """Whether a body led by each of these windows [S] may put its feet down; `similar` is the shape most like it.

    Two things must agree before it may not: that shape swims or flies in some clip, and the window is of swimming or
    flying, or of a shape that swims and never walks, which floats even when it bites or rests.
    """
    if not any(clip.behaviour in AFLOAT for clip in similar.clips):
        return np.ones(len(windows), bool)
    return np.array([not _floats(window) for window in windows], bool)


def _floats(window: Window) -> bool:
    shape = window.match.entry.shape
    shown = {clip.behaviour for clip in shape.clips}
    swimmer = "swim" in shown and shown.isdisjoint(ON_FOOT)
    return swimmer or shape.clips[window.clip].behaviour in AFLOAT


def _shift(window: Window, wish: Wish, moved: Floats) -> Floats:
    """The shift [T, 3] of a body with its nodes at `moved` [T, P, 3]."""
    theirs, match = _source_nodes(window, wish), window.match
    height, own = _standing_height(theirs), _standing_height(moved)
    shift = np.zeros((len(moved), 3), np.float32)
    shift[:, 1] = own[0] + window.amplitude * (height - height[0]) - own

    speed = np.linalg.norm(np.gradient(theirs, axis=0)[..., [0, 2]], axis=-1) * wish.fps
    standing = (speed < SLOW * window.speed) & (theirs[..., 1] < height.min() + NEAR)  # [T, N]
    by_part = np.stack([(match.entry.weights * row[:, None]).max(axis=0) for row in standing])  # [T, J]
    share = by_part @ match.parts.T  # [T, P]
    both = np.minimum(share[1:], share[:-1])
    both = np.where(both > STANDS, both, 0.0)
    step = np.diff(moved[..., [0, 2]], axis=0)
    slide = (both[..., None] * step).sum(axis=1) / np.maximum(both.sum(axis=1), 1e-6)[:, None]
    slide *= np.clip(both.mean(axis=1) / ENOUGH, 0, 1)[:, None]
    shift[1:, [0, 2]] = -np.cumsum(slide, axis=0)
    return shift


def _standing_height(nodes: Floats) -> Floats:
    """Mean height [T] of the lowest nodes [T, N, 3]."""
    count = min(LOWEST, nodes.shape[1] - 1)
    result: Floats = np.partition(nodes[..., 1], count, axis=1)[:, : max(count, 1)].mean(axis=1)
    return result


def _source_nodes(window: Window, wish: Wish) -> Floats:
    """The node positions [T, N, 3] of the window's own shape in the frames of the request."""
    shape = window.match.entry.shape
    clip = shape.clips[window.clip]
    frames = window.start + window.speed * STORED_FPS / wish.fps * np.arange(wish.frames)
    frames = np.mod(frames, clip.period) if clip.period else np.clip(frames, 0, clip.frames - 1)
    return shape.posed(clip, np.minimum(frames.round().astype(np.int64), clip.frames - 1))
