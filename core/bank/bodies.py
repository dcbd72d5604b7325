"""The bank of bodies: closed surfaces of many shapes in some poses, which complete the unseen parts of scans.

A body is a `BankShape` with faces: its nodes are the vertices of a closed surface in farthest-point order, its only
clip a list of distinct poses, the default one first.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.assets import asset_path
from core.bank.bank_file import read_bank
from core.bank.shape import BankClip, BankShape
from core.errors import DataError

POSES = 11  # most poses of a body
COARSE = 96  # vertices that poses are compared by
LEAST_CHANGE = 0.01  # of the size: closer poses are merged
STEP = 2  # stride in frames over a clip's poses
LOOKED_AT = 600  # most poses of a shape that are compared


def shipped_bodies() -> list[BankShape]:
    """The bodies that come with the program. Raises DataError when they cannot be read."""
    return read_bodies(asset_path("bank", "bodies.safetensors"))


def read_bodies(path: str | Path) -> list[BankShape]:
    """The bodies of a bank file. Raises DataError when it cannot be read or has a shape without a surface."""
    bodies = read_bank(path)
    if not all(len(body.faces) for body in bodies):
        raise DataError(f"{Path(path).name} holds motions and not bodies; give a bank of bodies.")
    return bodies


def body_of(shape: BankShape, poses: int = POSES) -> BankShape:
    """The shape with at most this many poses: its default one, and those of its clips that differ most."""
    parts = shape.parts
    still = np.zeros((1, parts, 4), np.float32)
    still[..., 0] = 1
    turns, places = [still], [shape.centres()[None]]
    frames = [(clip, frame) for clip in shape.clips for frame in range(0, clip.frames, STEP)]
    if len(frames) > LOOKED_AT:
        frames = [frames[i] for i in np.linspace(0, len(frames) - 1, LOOKED_AT).round().astype(int)]
    turns += [clip.quaternions[frame][None] for clip, frame in frames]
    places += [clip.places[frame][None] for clip, frame in frames]
    every = BankClip("poses", "", np.concatenate(turns), np.concatenate(places))
    # Without the common offset: scans are placed by search.
    posed = shape.posed(every, nodes=slice(COARSE))
    chosen = differing(posed - posed.mean(axis=1, keepdims=True), poses)
    clip = replace(every, quaternions=every.quaternions[chosen], places=every.places[chosen])
    return replace(shape, clips=(clip,))


def differing(posed: NDArray[np.floating], count: int) -> list[int]:
    """Rows of poses [F, N, 3]: the first, then repeatedly the one farthest from those chosen before."""
    apart = np.full(len(posed), np.inf)
    chosen = [0]
    while len(chosen) < count:
        apart = np.minimum(apart, np.linalg.norm(posed - posed[chosen[-1]], axis=-1).mean(axis=-1))
        if apart.max() < LEAST_CHANGE:
            break
        chosen.append(int(apart.argmax()))
    return chosen
