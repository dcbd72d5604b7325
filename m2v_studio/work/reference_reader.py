"""Reads the pictures of a document's reference in the background, anew when it or the rate has changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.io.reference_frames import read_reference
from m2v_studio.document.state import Document, Notice
from m2v_studio.work.tasks import Tasks

Wanted = tuple[Path, float]


class ReferenceReader:
    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._wanted: Wanted | None = None
        self.frames: NDArray[np.uint8] | None = None  # [N, H, W, 3]; None while there are none
        self.fault: Notice | None = None  # why there are none, until it was shown

    def update(self, document: Document) -> None:
        """To be called in every frame."""
        reference = document.reference
        wanted = None if reference is None else (reference.path, document.fps)
        if wanted == self._wanted:
            return
        self._wanted, self.fault = wanted, None
        if wanted is None:
            self.frames = None
            return
        path, fps = wanted

        def done(frames: NDArray[np.uint8]) -> None:
            if self._wanted == wanted:
                self.frames = frames

        def failed(notice: Notice) -> None:
            if self._wanted == wanted:
                self.frames, self.fault = None, notice

        self._tasks.run(f"Reading {path.name}", lambda: read_reference(path, fps), done, failed)
