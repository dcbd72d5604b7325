"""Poses the mesh during a drag, until the model has drafted the motion."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.geometry.drag_solve import DragSystem, Grip
from core.geometry.surroundings import hold_together
from core.quaternions import rotation_matrices
from m2v_studio.document.state import Document, normalization, tracks
from m2v_studio.document.turning import turn_around


class Posing:
    """One drag at a time. Until the mesh is prepared, about a second after it was opened, `pose` returns None."""

    def __init__(self) -> None:
        self.system: DragSystem | None = None
        self.held = False  # the button is down
        self._base: NDArray[np.float32] | None = None
        self._grip: Grip | None = None
        self._before: list[NDArray[np.float64]] = []  # [3, 3] rotations of turned handles at the start

    def forget(self) -> None:
        """Reset for another mesh."""
        self.system, self._base, self._grip, self.held = None, None, None, False

    def take(self, base: NDArray[np.float32]) -> None:
        """Begin a drag from the mesh `base` [V, 3]."""
        self.held, self._base, self._grip = True, base, None

    def release(self) -> None:
        self.held = False

    def pose(self, document: Document, frame: int) -> NDArray[np.float32] | None:
        """The mesh [V, 3] that satisfies all handles at this frame, deformed as little as possible by the drag."""
        source = document.source
        if self.system is None or self._base is None or source is None or len(self._base) != len(source.vertices):
            return None
        wanted = tracks(document)
        targets, keyframe_mask = wanted.constraints(source.vertices)
        turns, turn_mask = wanted.turns()
        rows = np.flatnonzero(keyframe_mask[:, frame])
        handles = np.array([wanted.handles[row].vertex for row in rows], dtype=np.int64)
        turned = tuple(int(place) for place in np.flatnonzero(turn_mask[rows, frame]))
        taken = {place: wanted.handles[rows[place]].region for place in turned}
        regions = {place: region for place, region in taken.items() if len(region)}
        if self._grip is None or not np.array_equal(self._grip.handles, handles) or self._grip.turned != turned:
            height = normalization(source).apply(self._base)[:, 1] if document.contacts else None
            self._grip = self.system.grip(self._base, handles, height, turned, regions)
            self._before = [
                turn_around(source, self._base, int(handles[place]), regions.get(place)) for place in turned
            ]
        asked = rotation_matrices(turns[rows[list(turned)], frame])
        further = [turn @ before.T for turn, before in zip(asked, self._before, strict=True)]
        vertices = self._grip.pose(targets[rows, frame], further)
        for turn, (place, region) in zip(asked, taken.items(), strict=True):
            hold_together(
                vertices[None], source.vertices, int(handles[place]), region, turn[None], np.ones(1, dtype=bool)
            )
        return vertices
