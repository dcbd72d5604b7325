"""Measures a motion: its speed, which feet stand when and where, and how far they slide over the ground.

Every connected piece of the shape near the ground in the rest pose is a foot.
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

NEAR = 0.035  # of the size: vertices nearer to the ground at rest belong to a foot
TOUCHING = 0.02  # of the size: a foot higher than this above its rest does not stand
STILL = 0.25  # of the size per second: a faster foot does not stand
SLIDING = 0.02  # of the size: above this height a foot's path does not count as sliding (Zhang et al. 2018)
MOST_FEET, SMALLEST = 12, 3  # feet; vertices of one
MEASURED = 4000  # vertices that speed is measured at
SOLE = 600  # vertices that a foot is measured at
# At most this many positions are read for speed and feet: the window waits, and in a long motion each misses the cache.
POSITIONS = 80_000
LEAST_SOLE = 8


@dataclass(frozen=True, eq=False)
class Footing:
    """Speed and feet of one motion, in units of the shape's size. `places` [T, K, 3] are the soles, normalised."""

    speed: NDArray[np.float32]  # [T] mean of all vertices, sizes per second
    places: NDArray[np.float32]
    standing: NDArray[np.bool_]  # [T, K]
    slide: float  # mean path of touching feet over the ground, sizes per second


@remembered
def footing(sample: Sample, source: SourceMesh) -> Footing:
    """Measure a motion; takes a few milliseconds, and is cached."""
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
    """The map to normalised space (subtract the centre [3], then turn by [3, 3]), and the vertices of the feet."""
    norm = Normalization.of(source.vertices, source.up_axis)
    turn, center = (norm.rotation.T / norm.scale).astype(np.float32), norm.center.astype(np.float32)
    rest = (source.vertices - center) @ turn
    feet = [foot[:: max(1, len(foot) // SOLE)] for foot in feet_of(rest, source.faces)]
    return turn, center, feet


def _rate(steps: NDArray) -> NDArray[np.float32]:
    """The speed [T] at each frame: the mean of the steps [T - 1] before and after it."""
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
