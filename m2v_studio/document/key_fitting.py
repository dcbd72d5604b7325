"""A result made into keys: few handles with few keys that follow its motion, to be edited like any others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from core.pipelines.request import SampleSet
from core.sequence import MIN_FRAMES, Handle, SourceMesh
from m2v_studio.document import commands
from m2v_studio.document.selection import choose_nothing
from m2v_studio.document.state import State
from m2v_studio.document.words import counted

TOLERANCE = 0.01  # of the shape's size, between a handle's path and the straight lines between its keys
MAX_KEYS = 8  # of one handle
HANDLES = 8  # at least so many, where the mesh has room for them
PROBES = 2000
STILL = 0.01  # of the shape's size: what moves less is pinned


def fitted_frames(path: NDArray[np.float64], tolerance: float, most: int = MAX_KEYS) -> list[int]:
    """Frames of a path [T, 3] that, joined by straight lines from frame 0 on, stay within `tolerance` of it; `most`
    at most. The frame that is furthest off is added until none is."""
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
    """Vertices far from each other, sooner where much moves: `count` in all, those that are `taken` first."""
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


def result_as_keys(state: State, row: int) -> State:
    """Replace the handles by ones that follow this result: those that are there, and more at telling places."""
    results, source = state.results, state.document.source
    if results is None or source is None or not isinstance(results.samples, SampleSet):
        return state
    sequence = results.samples.samples[row].sequence
    track = sequence.vertices.astype(np.float64)
    if len(track) < MIN_FRAMES or track.shape[1] != len(source.vertices):
        return state
    given = {handle.vertex: handle for handle in state.document.handles}
    handles: list[Handle] = []
    worst = 0.0
    for vertex in telling_vertices(source, track, list(given), max(HANDLES, len(given))):
        handle = given.get(vertex, Handle(vertex, name=f"handle {len(handles) + 1}"))
        path = track[:, vertex]
        if np.linalg.norm(path - source.vertices[vertex], axis=1).max() < STILL * source.size:
            handles.append(replace(handle, keys={}, pinned=True, hold=False))
            continue
        frames = fitted_frames(path, TOLERANCE * source.size)
        handles.append(replace(handle, keys={frame: path[frame] for frame in frames}, pinned=False, hold=True))
        line = np.stack([np.interp(np.arange(len(path)), [0, *frames], path[[0, *frames], a]) for a in range(3)], -1)
        worst = max(worst, float(np.linalg.norm(path - line, axis=1).max()) / source.size)
    frames_given = min(len(track), commands.MAX_FRAMES)
    document = replace(state.document, handles=tuple(handles), frames=frames_given, fps=sequence.fps)
    count = sum(len(handle.keys) for handle in handles)
    message = (
        f"{counted(count, 'key')} on {counted(len(handles), 'handle')} follow it within {100 * worst:.1f} % of size."
    )
    return replace(choose_nothing(replace(state, document=document)), message=message)
