"""Saves unsaved work to a file of its own, so that it can be recovered after a crash."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from core.assets import config_folder
from core.atomic import is_orphan, owner_mark
from m2v_studio.document.project import save_project
from m2v_studio.document.state import Document, Notice, Results, State, is_worth_keeping
from m2v_studio.work.tasks import Tasks

EVERY_SECONDS = 45.0
AFTER_RESULTS_SECONDS = 1.0  # new results are saved at once, as they can take minutes to make
_START, _END = "autosave-", ".m2v"


def autosave_path() -> Path:
    """The file for this process's unsaved work; it exists only while there is some."""
    return config_folder() / f"{_START}{owner_mark()}{_END}"


def left_behind() -> Path | None:
    """The newest autosave of a studio on this machine that no longer runs; None without one."""
    files = [*config_folder().glob(f"{_START}*{_END}"), config_folder() / "autosave.m2v"]  # the older name
    left = [file for file in files if file.is_file() and (file == files[-1] or is_orphan(file.name[len(_START) :]))]
    return max(left, key=lambda file: file.stat().st_mtime, default=None)


class Autosave:
    """Saves in the background, silently, and only when the document or its results have changed.

    `failed` is called the first time that saving fails; later saves are still tried.
    """

    def __init__(self, tasks: Tasks, failed: Callable[[Notice], None]) -> None:
        self._tasks = tasks
        self._failed = failed
        self._failing = False
        self._kept: tuple[Document, Results | None] | None = None
        self.due = time.monotonic() + EVERY_SECONDS

    def soon(self) -> None:
        """Save soon, because there are new results."""
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
        work = lambda: save_project(state, autosave_path())  # noqa: E731
        self._tasks.run("Autosaving", work, self._done, self._missed, quiet=True)

    def _done(self, _: None) -> None:
        self._failing = False

    def _missed(self, notice: Notice) -> None:
        self._kept = None
        if not self._failing:
            self._failed(notice)
        self._failing = True
