"""Fits editable keys to a motion: a few handles with a few keys each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.sequence import Handle, MeshSequence, SourceMesh, frozen_array

TOLERANCE = 0.01  # of the shape's size, between a handle's path and the straight lines between its keys
MAX_KEYS = 8  # of one handle
EVERY = 2  # frames: a handle of an imported motion gets at most one key in so many
HANDLES, OF_CLIPS = 8, 12  # handles for a generated and for an imported motion, fewer on a small mesh
PROBES = 2000
STILL = 0.01  # of the shape's size: handles that move less are pinned


def fitted_frames(path: NDArray[np.float64], tolerance: float, most: int = MAX_KEYS) -> list[int]:
    """At most `most` frames after frame 0; straight lines between them stay within `tolerance` of the path [T, 3].

    The frame with the largest error is added until none is above the tolerance (Douglas and Peucker 1973).
    """
    frames = np.arange(len(path))
    chosen = [0, len(path) - 1]
    while len(chosen) <= most:
        line = np.stack([np.interp(frames, chosen, path[chosen, axis]) for axis in range(3)], axis=-1)
        off = np.linalg.norm(path - line, axis=1)
        worst = int(np.argmax(off))
        if off[worst] <= tolerance:
            break
        chosen = sorted({*chosen, worst})
    return chosen[1:]


def telling_vertices(source: SourceMesh, track: NDArray, taken: list[int], count: int) -> list[int]:
    """Spread-out vertices, preferring those that move much: `count` in all, starting with those already `taken`."""
    chosen = list(taken)
    candidates = np.linspace(0, len(source.vertices) - 1, min(PROBES, len(source.vertices))).astype(int)
    rest = source.vertices[candidates].astype(np.float64)
    reach = np.linalg.norm(track[:, candidates] - source.vertices[None, candidates], axis=-1).max(0)
    weight = 0.25 + reach / max(float(reach.max()), 1e-12)
    if not chosen:
        chosen.append(int(candidates[np.argmax(reach)]))
    nearest = np.min([np.linalg.norm(rest - source.vertices[vertex], axis=1) for vertex in chosen], axis=0)
    while len(chosen) < count:
        best = int(np.argmax(nearest * weight))
        if nearest[best] < 0.02 * source.size:
            break
        chosen.append(int(candidates[best]))
        nearest = np.minimum(nearest, np.linalg.norm(rest - rest[best], axis=1))
    return chosen


class FittedKeys(NamedTuple):
    """Handles that follow a motion, and the largest distance of one from its vertex, as a fraction of the size."""

    handles: tuple[Handle, ...]
    worst: float

    @property
    def keys(self) -> int:
        return sum(len(handle.keys) for handle in self.handles)


def keys_that_follow(
    source: SourceMesh, track: NDArray, given: Sequence[Handle] = (), most: int = MAX_KEYS, count: int = HANDLES
) -> FittedKeys:
    """Handles that follow a motion: those in `given`, and more at spread-out places, `count` in all.

    `track` [T, V, 3] are positions of the vertices, the first those of `source`. Each handle gets at most `most` keys;
    handles that hardly move are pinned.
    """
    known = {handle.vertex: handle for handle in given}
    handles: list[Handle] = []
    worst = 0.0
    for vertex in telling_vertices(source, track, list(known), max(count, len(known))):
        handle = known.get(vertex, Handle(vertex, name=f"handle {len(handles) + 1}"))
        path = np.asarray(track[:, vertex], dtype=np.float64)
        if np.linalg.norm(path - source.vertices[vertex], axis=1).max() < STILL * source.size:
            handles.append(replace(handle, keys={}, pinned=True, hold=False))
            continue
        frames = fitted_frames(path, TOLERANCE * source.size, most)
        handles.append(replace(handle, keys={frame: path[frame] for frame in frames}, pinned=False, hold=True))
        line = np.stack([np.interp(np.arange(len(path)), [0, *frames], path[[0, *frames], a]) for a in range(3)], -1)
        worst = max(worst, float(np.linalg.norm(path - line, axis=1).max()) / source.size)
    return FittedKeys(tuple(handles), worst)


def keys_of_clip(source: SourceMesh, track: NDArray) -> FittedKeys:
    """Handles that follow an imported motion: more of them, with more keys, since nothing else determines it."""
    return keys_that_follow(source, track, most=max(MAX_KEYS, len(track) // EVERY), count=OF_CLIPS)


def at_first_pose(source: SourceMesh, motion: MeshSequence) -> SourceMesh:
    """The mesh in the first pose of a motion, since keys start from the mesh's own pose."""
    first = frozen_array(motion.vertices[0], np.float32, (len(source.vertices), 3), "vertices")
    return source if np.array_equal(first, source.vertices) else replace(source, vertices=first)
