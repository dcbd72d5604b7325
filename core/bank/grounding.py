"""Leads a body along a borrowed motion by its feet: how high they are and where they stand is as in the window.

The path of the bank's shape is right for its own legs alone. On other legs the same turns of the joints reach less far
or farther, so that a body that is led by its middle sinks, floats and slides.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from core.bank.bank_file import STORED_FPS
from core.bank.search import Window, Wish
from core.bank.shape import Floats

AFLOAT = ("swim", "fly")  # behaviours that do not stand
LOWEST = 5  # nodes whose mean height is how high a body stands
NEAR = 0.04  # of the size: a node no higher than this above the ground may stand on it
SLOW = 0.25  # of the size a second: a node faster than this does not stand
STANDS = 0.3  # share of a node's parts that must stand for it to lead
ENOUGH = 0.01  # share of the nodes: where fewer stand, they lead the less


def lead_by_feet(windows: Sequence[Window], wish: Wish, positions: Tensor) -> Tensor:
    """Node positions [S, T, P, 3], moved as a whole in each frame as the feet of the windows' shapes ask.

    Loops are left alone: their last frame has to flow into the first.
    """
    if wish.loop or wish.frames < 2:
        return positions
    moved = positions.numpy()
    shift = np.zeros((*moved.shape[:2], 1, 3), np.float32)
    for number, window in enumerate(windows):
        if window.match.entry.shape.clips[window.clip].behaviour not in AFLOAT:
            shift[number] = _shift(window, wish, moved[number])[:, None]
    return positions + torch.from_numpy(shift)


def _shift(window: Window, wish: Wish, moved: Floats) -> Floats:
    """By how much a body with its nodes at [T, P, 3] is to be moved [T, 3]."""
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
    """Where the window's own shape has its nodes in the frames of the request [T, N, 3]."""
    shape = window.match.entry.shape
    clip = shape.clips[window.clip]
    frames = window.start + window.speed * STORED_FPS / wish.fps * np.arange(wish.frames)
    frames = np.mod(frames, clip.period) if clip.period else np.clip(frames, 0, clip.frames - 1)
    return shape.posed(clip, np.minimum(frames.round().astype(np.int64), clip.frames - 1))
