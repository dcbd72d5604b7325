"""Turns of handles: how their surroundings are rotated in a pose, and edits of that. Pure functions of State."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from core.handle_paths import degrees_of_quaternion
from core.quaternions import nearest_rotations, quaternions_of
from core.sequence import Handle, SourceMesh
from m2v_studio.document import commands
from m2v_studio.document.remembered import remembered
from m2v_studio.document.selection import Key
from m2v_studio.document.state import State

NEAR = 0.05  # of the size: vertices this close to a handle define its turn
FEWEST = 8  # of them, at least


def turn_around(
    source: SourceMesh, posed: NDArray[np.floating], vertex: int, region: NDArray[np.int64] | None = None
) -> NDArray[np.float64]:
    """The best-fitting rotation [3, 3] of a vertex's surroundings, or its region, in a pose [V, 3]."""
    if region is not None and len(region) > 2:
        before, after = (shape[region].astype(np.float64) - shape[vertex] for shape in (source.vertices, posed))
        return nearest_rotations((after.T @ before)[None])[0]
    near = _surroundings(source, vertex)
    before, after = (shape[near] - shape[near].mean(axis=0, dtype=np.float64) for shape in (source.vertices, posed))
    return nearest_rotations((after.T @ before)[None])[0]


@remembered
def _surroundings(source: SourceMesh, vertex: int) -> NDArray[np.int64]:
    """The vertices that define a handle's turn."""
    away = np.linalg.norm(source.vertices - source.vertices[vertex], axis=1)
    few = float(np.partition(away, min(FEWEST, len(away) - 1))[min(FEWEST, len(away) - 1)])
    return np.flatnonzero(away <= max(NEAR * float(np.ptp(source.vertices, axis=0).max()), few))


def turn_of(source: SourceMesh, shape: NDArray[np.floating], handle: Handle) -> NDArray[np.float64]:
    """The turn of a handle's surroundings in the mesh `shape` [V, 3]: an axis [3] times degrees."""
    return degrees_of_quaternion(quaternions_of(turn_around(source, shape, handle.vertex, handle.region)))


def turn_shown(source: SourceMesh, handle: Handle, frame: int, shape: NDArray[np.floating]) -> NDArray[np.float64]:
    """The turn of a handle in a frame, an axis [3] times degrees: that of its key, else of the mesh at `shape`."""
    return handle.turns[frame] if frame in handle.turns else turn_of(source, shape, handle)


def with_key(state: State, row: int, frame: int, place: ArrayLike, turn: ArrayLike | None) -> State:
    """Write a key with a turn; None leaves the turn free."""
    keyed = commands.set_key(state, row, frame, place)
    return with_turns(keyed, {row: turn}, frame)


def with_turns(state: State, turns: Mapping[int, ArrayLike | None], frame: int) -> State:
    """Set the turns of handles' keys, by row, in this frame: an axis [3] times degrees, None for free."""
    handles = list(state.document.handles)
    for row, turn in turns.items():
        kept = {at: other for at, other in handles[row].turns.items() if at != frame}
        handles[row] = replace(handles[row], turns=kept if turn is None else {**kept, frame: turn})  # type: ignore[dict-item]
    return commands.with_handles(state, handles)


def angles_of(turn: ArrayLike, near: ArrayLike) -> NDArray[np.float64]:
    """The angles [3] in degrees about X, then Y, then Z of the file that make a turn [3], an axis times degrees.

    Of the many such angles these are the ones nearest to `near` [3], so a number scrubbed past 90 or 180 goes on.
    """
    last = np.asarray(near, dtype=np.float64)
    first = Rotation.from_rotvec(np.asarray(turn, dtype=np.float64), degrees=True).as_euler("xyz", degrees=True)
    both = np.stack([first, first * (1.0, -1.0, 1.0) + 180.0])
    both += 360.0 * np.round((last - both) / 360.0)
    return np.asarray(both[np.abs(both - last).sum(axis=1).argmin()])


def turn_by_angles(angles: ArrayLike) -> NDArray[np.float64]:
    """The inverse of `angles_of`."""
    return np.asarray(Rotation.from_euler("xyz", np.asarray(angles), degrees=True).as_rotvec(degrees=True))


def remove_turns(state: State, keys: Iterable[Key]) -> State:
    """Leave the surroundings free at these keys; they stay where they are."""
    gone = set(keys)
    handles = (
        replace(handle, turns={frame: turn for frame, turn in handle.turns.items() if (row, frame) not in gone})
        for row, handle in enumerate(state.document.handles)
    )
    return commands.with_handles(state, handles)
