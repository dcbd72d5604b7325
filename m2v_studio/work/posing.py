"""The mesh under the hand: what a drag shows until the model has drafted the motion."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.geometry.drag_solve import DragSystem, Grip
from m2v_studio.document.state import Document, normalization, tracks


class Posing:
    """One drag at a time. Nothing is posed before the mesh is prepared, which takes a second after it was opened."""

    def __init__(self) -> None:
        self.system: DragSystem | None = None
        self.held = False  # the button is down
        self._base: NDArray[np.float32] | None = None
        self._grip: Grip | None = None

    def forget(self) -> None:
        """Another mesh is opened."""
        self.system, self._base, self._grip, self.held = None, None, None, False

    def take(self, base: NDArray[np.float32]) -> None:
        """A handle is taken hold of while the mesh is at `base` [V, 3]."""
        self.held, self._base, self._grip = True, base, None

    def release(self) -> None:
        self.held = False

    def pose(self, document: Document, frame: int) -> NDArray[np.float32] | None:
        """The mesh [V, 3] that meets all that handles ask for at this frame, nearest to where it was taken hold of."""
        source = document.source
        if self.system is None or self._base is None or source is None or len(self._base) != len(source.vertices):
            return None
        wanted = tracks(document)
        targets, keyframe_mask = wanted.constraints(source.vertices)
        rows = np.flatnonzero(keyframe_mask[:, frame])
        handles = np.array([wanted.handles[row].vertex for row in rows], dtype=np.int64)
        if self._grip is None or not np.array_equal(self._grip.handles, handles):
            height = normalization(source).apply(self._base)[:, 1] if document.contacts else None
            self._grip = self.system.grip(self._base, handles, height)
        return self._grip.pose(targets[rows, frame])
