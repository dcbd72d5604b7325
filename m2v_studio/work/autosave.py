"""Unsaved work kept aside, for the next start after a window that was killed."""

from __future__ import annotations

import time

from m2v_studio.document.project import autosave_path, save_project
from m2v_studio.document.state import Document, Results, State, is_worth_keeping
from m2v_studio.work.tasks import Tasks

EVERY_SECONDS = 45.0
AFTER_RESULTS_SECONDS = 1.0  # minutes of work of the model are kept at once


class Autosave:
    """Saves in the background, silently, and only when the document or its results have changed since."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._kept: tuple[Document, Results | None] | None = None
        self.due = time.monotonic() + EVERY_SECONDS

    def soon(self) -> None:
        """New results are there."""
        self.due = min(self.due, time.monotonic() + AFTER_RESULTS_SECONDS)

    def tick(self, state: State) -> None:
        if time.monotonic() > self.due:
            self.now(state)

    def now(self, state: State) -> None:
        self.due = time.monotonic() + EVERY_SECONDS
        before = self._kept
        if before is not None and before[0] is state.document and before[1] is state.results:
            return
        if not is_worth_keeping(state):
            return
        self._kept = state.document, state.results
        self._tasks.run(
            "Autosaving", lambda: save_project(state, autosave_path()), lambda _: None, lambda _: None, quiet=True
        )
