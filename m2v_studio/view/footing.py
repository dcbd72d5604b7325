"""How a motion goes: how fast, which feet stand when and where, and how far feet slide over the ground.

Feet are what lies near the ground in the rest pose, each connected piece of it one foot.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from core.pipelines.request import Sample
from core.sequence import Normalization, SourceMesh
from m2v_studio.document.remembered import remembered

NEAR = 0.035  # of the size: what is nearer to the ground at rest belongs to a foot
TOUCHING = 0.02  # of the size: a foot higher than this above its rest does not stand
STILL = 0.25  # of the size a second: a foot that is faster does not stand
SLIDING = 0.02  # of the size: the height above which a foot's way no longer counts as sliding (Zhang et al. 2018)
MOST_FEET, SMALLEST = 12, 3  # feet; vertices of one
MEASURED = 4000  # vertices that speed is measured at
SOLE = 600  # vertices that a foot is measured at
# Positions that are read in all frames, for speed and for feet: each is a miss of the cache in a motion of gigabytes,
# and the window waits.
POSITIONS = 80_000
LEAST_SOLE = 8


@dataclass(frozen=True, eq=False)
class Footing:
    """Of one motion, in units of the shape's size. `places` [T, K, 3] are where the soles are, normalised."""

    speed: NDArray[np.float32]  # [T] mean of all vertices, sizes a second
    places: NDArray[np.float32]
    standing: NDArray[np.bool_]  # [T, K]
    slide: float  # mean way of the feet over the ground a second, of what touches it


@remembered
def footing(sample: Sample, source: SourceMesh) -> Footing:
    """Worked out once a motion; a few milliseconds."""
    turn, center, found = _feet(source)
    track, fps = sample.sequence.vertices, sample.sequence.fps
    measured = min(MEASURED, POSITIONS // len(track))
    spread = (track[:, :: max(1, track.shape[1] // measured)] - center) @ turn
    sole = max(LEAST_SOLE, POSITIONS // (len(track) * max(len(found), 1)))
    found = [foot[:: max(1, len(foot) // sole)] for foot in found]
    rest_heights = np.array([((source.vertices[foot] - center) @ turn)[:, 1].min() for foot in found])
    speed = _rate(np.linalg.norm(np.diff(spread, axis=0), axis=-1).mean(axis=1) * fps)
    feet = [(track[:, foot] - center) @ turn for foot in found]
    if not feet:
        nobody = np.zeros((len(track), 0))
        return Footing(speed, np.zeros((len(track), 0, 3), np.float32), nobody.astype(bool), 0.0)
    middles = np.stack([foot.mean(axis=1) for foot in feet], axis=1)
    soles = np.stack([foot[..., 1].min(axis=1) for foot in feet], axis=1)
    heights = soles - rest_heights
    way = np.linalg.norm(np.diff(middles[..., [0, 2]], axis=0), axis=-1) * fps
    pace = np.stack([_rate(way[:, foot]) for foot in range(len(feet))], axis=1)
    standing = (heights < TOUCHING) & (pace < STILL)
    low = np.maximum(heights[1:], heights[:-1]).clip(0.0, SLIDING)
    weight = 2.0 - 2.0 ** (low / SLIDING)
    slide = float((way * weight).sum() / weight.sum()) if weight.sum() > 0 else 0.0
    places = middles.astype(np.float32)
    places[..., 1] = soles
    return Footing(speed, places, standing, slide)


@lru_cache(maxsize=3)
def _feet(source: SourceMesh) -> tuple[NDArray[np.float32], NDArray[np.float32], list[NDArray[np.int64]]]:
    """The way to normalised space (turn [3, 3] after taking off centre [3]), and the vertices of the feet."""
    norm = Normalization.of(source.vertices, source.up_axis)
    turn, center = (norm.rotation.T / norm.scale).astype(np.float32), norm.center.astype(np.float32)
    rest = (source.vertices - center) @ turn
    feet = [foot[:: max(1, len(foot) // SOLE)] for foot in feet_of(rest, source.faces)]
    return turn, center, feet


def _rate(steps: NDArray) -> NDArray[np.float32]:
    """[T] the speed at each frame from that of the steps [T - 1] between frames: the mean of those beside it."""
    if not len(steps):
        return np.zeros(1, np.float32)
    padded = np.concatenate([steps[:1], steps, steps[-1:]])
    return ((padded[1:] + padded[:-1]) / 2).astype(np.float32)


def feet_of(rest: NDArray, faces: NDArray[np.int32]) -> list[NDArray[np.int64]]:
    """The vertices of each foot of a shape [V, 3] in normalised space, the largest first."""
    near = rest[:, 1] < rest[:, 1].min() + NEAR
    low = faces[near[faces].all(axis=1)].astype(np.int64)
    if not len(low):
        return []
    a, b = low.ravel(), np.roll(low, 1, axis=1).ravel()
    graph = coo_matrix((np.ones(len(a), bool), (a, b)), (len(rest), len(rest)))
    label = connected_components(graph, directed=False)[1]
    used = np.unique(low)
    pieces = [used[label[used] == piece] for piece in np.unique(label[used])]
    pieces = [piece for piece in pieces if len(piece) >= SMALLEST]
    return sorted(pieces, key=len, reverse=True)[:MOST_FEET]
