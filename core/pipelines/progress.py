"""Reports a pipeline's progress, and limits the time spent on previews."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from core.bank.search import plain_name
from core.pipelines.body_fit import FittedBody
from core.pipelines.request import OnStep, Progress
from core.sequence import Normalization

PREVIEW_SECONDS = 0.3  # least time between two previews
PREVIEW_SHARE = 0.1  # largest share of time spent on previews


class Reporter:
    """Calls `on_step` with growing step numbers; what it raises, such as Cancelled, passes through."""

    def __init__(self, on_step: OnStep | None, total: int) -> None:
        self._on_step = on_step
        self._total = total
        self._done = 0
        self._message = ""
        self._next_preview = 0.0
        self.faces: NDArray[np.int32] | None = None  # faces of previews without a source mesh

    def start(self, message: str) -> None:
        """Announce a phase without finishing a step."""
        self._message = message
        self.check_cancelled()

    def step(self, message: str, preview: Callable[[], NDArray[np.float32]] | None = None) -> None:
        """Finish a step; `preview` is only called if one is due."""
        self._done = min(self._done + 1, self._total)
        self._message = message
        if self._on_step is not None:
            shown = self._preview(preview)
            self._on_step(Progress(self._done, self._total, message, shown, None if shown is None else self.faces))

    def fitting(self, normalization: Normalization) -> Callable[[FittedBody], None]:
        """A function that shows the best body so far, in the units of scans with this normalization."""

        def show(body: FittedBody) -> None:
            if self._on_step is None:
                return
            shown = self._preview(lambda: normalization.invert(body.vertices)[None].astype(np.float32))
            if shown is not None:
                faces, name = body.faces.astype(np.int32), plain_name(body.name)
                self._on_step(Progress(self._done, self._total, self._message, shown, faces, name))

        return show

    def check_cancelled(self) -> None:
        """Raise Cancelled inside a long step, if requested."""
        if self._on_step is not None:
            self._on_step(Progress(self._done, self._total, self._message))

    def _preview(self, preview: Callable[[], NDArray[np.float32]] | None) -> NDArray[np.float32] | None:
        started = time.monotonic()
        if preview is None or started < self._next_preview:
            return None
        shown = preview()
        ended = time.monotonic()
        self._next_preview = ended + max(PREVIEW_SECONDS, (ended - started) / PREVIEW_SHARE)
        return shown
