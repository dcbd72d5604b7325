"""Snapping of handles: to the ground, a grid, the symmetry plane or another vertex. Source units."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import HandleError
from core.sequence import SourceMesh
from m2v_studio.document.block_edits import REST_FRAME, move_handles
from m2v_studio.document.state import Snap, State, frame_shown, normalization
from m2v_studio.document.symmetry import mirror_of

SNAPS: tuple[Snap, ...] = ("none", "ground", "grid", "symmetry", "vertex")
NAMES = {"none": "nothing", "ground": "ground", "grid": "grid", "symmetry": "symmetry plane", "vertex": "vertex"}
CELLS = 20.0  # grid cells along the shape, about
NEAR = 0.05  # fraction of size: nearer vertices at rest move along with the handle, so it does not snap to them


def grid_step(source: SourceMesh) -> float:
    """The side of a grid cell: 1, 2 or 5 times a power of ten, about a twentieth of the shape's size."""
    wanted = source.size / CELLS
    power = 10.0 ** np.floor(np.log10(wanted))
    return float(min((power * step for step in (1.0, 2.0, 5.0, 10.0)), key=lambda step: abs(np.log(step / wanted))))


def ground_level(source: SourceMesh) -> float:
    """Height along the up axis of the lowest point at rest."""
    return float((source.vertices @ normalization(source).rotation[1]).min())


def others(source: SourceMesh, vertex: int) -> NDArray[np.bool_]:
    """[V] True for vertices that a handle at `vertex` can snap to."""
    away = np.linalg.norm(source.vertices - source.vertices[vertex], axis=1)
    return np.asarray(away > NEAR * source.size)


def snapped(source: SourceMesh, vertex: int, place: ArrayLike, snap: Snap, shape: ArrayLike) -> NDArray[np.float64]:
    """A position [3] snapped to the chosen target; `shape` [V, 3] is the mesh as shown.

    Raises HandleError for the symmetry plane of a mesh that has none.
    """
    at = np.asarray(place, dtype=np.float64)
    if snap == "ground":
        up = normalization(source).rotation[1]
        return at + (ground_level(source) - at @ up) * up
    if snap == "grid":
        origin, step = np.asarray(source.origin), grid_step(source)
        return np.asarray(np.round((at + origin) / step) * step - origin)
    if snap == "symmetry":
        return mirror_of(source).onto(at)
    if snap == "vertex":
        points = np.asarray(shape, dtype=np.float64)
        away = np.where(others(source, vertex), np.linalg.norm(points - at, axis=1), np.inf)
        return points[int(np.argmin(away))] if np.isfinite(away).any() else at
    return at


def key_place(state: State, row: int, shape: NDArray) -> tuple[int, NDArray[np.float64]]:
    """The frame that an edit of this handle's position keys, and its position [3] there.

    The position is that of the handle's key, or without one, its place on the mesh `shape` [V, 3].
    """
    handle = state.document.handles[row]
    frame = frame_shown(state)
    if frame > 0 and frame in handle.keys and not handle.pinned:
        return frame, handle.keys[frame]
    place = np.asarray(shape[handle.vertex], dtype=np.float64)
    return (frame if frame > 0 else state.document.frames - 1), place


def put_on(state: State, rows: tuple[int, ...], snap: Snap, shape: NDArray) -> State:
    """Write keys at the playhead that snap these handles to the ground, the grid and so on."""
    source = state.document.source
    if source is None or not rows:
        return state
    if frame_shown(state) == 0:
        raise HandleError(REST_FRAME)
    places = {}
    for row in rows:
        frame, place = key_place(state, row, shape)
        places[row] = snapped(source, state.document.handles[row].vertex, place, snap, shape)
    return move_handles(state, places, frame)
