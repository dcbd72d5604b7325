"""Reads the document's reference in the background, and again when it or the frame rate has changed."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.io.reference_frames import read_reference
from m2v_studio.document.state import Document, Notice
from m2v_studio.work.clips import clip_motion
from m2v_studio.work.tasks import Tasks

Wanted = TypeVar("Wanted", bound=Hashable)


class ReferenceReader(Generic[Wanted]):
    """`wanted` returns what a document refers to, or None; `read` reads it as an array of frames."""

    def __init__(
        self, tasks: Tasks, wanted: Callable[[Document], Wanted | None], read: Callable[[Wanted], NDArray[Any]]
    ) -> None:
        self._tasks, self._asked, self._read = tasks, wanted, read
        self._wanted: Wanted | None = None
        self.frames: NDArray[Any] | None = None  # [N, ...]; None while there are none
        self.fault: Notice | None = None  # why reading failed, until the window has shown it

    def update(self, document: Document) -> None:
        """Call this in every frame of the window."""
        wanted = self._asked(document)
        if wanted == self._wanted:
            return
        self._wanted, self.fault = wanted, None
        if wanted is None:
            self.frames = None
            return

        def done(frames: NDArray[Any]) -> None:
            if self._wanted == wanted:
                self.frames = frames

        def failed(notice: Notice) -> None:
            if self._wanted == wanted:
                self.frames, self.fault = None, notice

        self._tasks.run("Reading the reference", lambda: self._read(wanted), done, failed)


def images_wanted(document: Document) -> tuple[Path, float] | None:
    reference = document.reference
    return None if reference is None else (reference.path, document.fps)


def read_images(wanted: tuple[Path, float]) -> NDArray[np.uint8]:
    """The reference images [N, H, W, 3]."""
    return read_reference(*wanted)


def motion_wanted(document: Document) -> tuple[Path, str, float, int] | None:
    motion, source = document.reference_motion, document.source
    return None if motion is None or source is None else (motion.path, motion.clip, document.fps, len(source.vertices))


def read_motion_track(wanted: tuple[Path, str, float, int]) -> NDArray[np.float32]:
    """The reference motion [T, V, 3] in the units of its file."""
    return clip_motion(*wanted).vertices
