"""Work off the main thread. Reading, saving and exporting run one after the other, long work beside them."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from core.errors import Cancelled, M2VError
from m2v_studio.document.state import Notice


@dataclass(frozen=True, eq=False)
class _Task:
    title: str
    future: Future[Any]
    done: Callable[[Any], None]
    failed: Callable[[Notice], None]
    quiet: bool
    stop: Callable[[], None] | None


class Tasks:
    """A queue of background tasks. Callbacks run in `poll`, on its caller's thread, so they may change the state."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="m2v-files")
        self._long = ThreadPoolExecutor(max_workers=1, thread_name_prefix="m2v-long")
        self._running: list[_Task] = []

    def run(
        self,
        title: str,
        work: Callable[[], Any],
        done: Callable[[Any], None],
        failed: Callable[[Notice], None],
        quiet: bool = False,
        stop: Callable[[], None] | None = None,
    ) -> None:
        """Queue `work`; `title` names it in the status line ("Exporting fox.glb") unless `quiet`.

        Long work has a `stop` that ends it soon. Then no save waits for it, and `close` stops it.
        """
        pool = self._pool if stop is None else self._long
        self._running.append(_Task(title, pool.submit(work), done, failed, quiet, stop))

    @property
    def busy(self) -> str:
        """The title of the running task for the status line; empty without one."""
        return next((task.title for task in self._running if not task.quiet), "")

    def poll(self) -> None:
        """Call the callbacks of finished tasks."""
        finished = [task for task in self._running if task.future.done()]
        self._running = [task for task in self._running if task not in finished]
        for task in finished:
            if task.future.cancelled():  # dropped by `close`
                continue
            error = task.future.exception()
            if isinstance(error, Cancelled):
                continue
            if error is None:
                task.done(task.future.result())
            else:
                task.failed(notice_of(f"{task.title} failed", error))

    def close(self) -> None:
        """Wait for the running task, as a save must not be cut short; drop queued tasks and stop long ones."""
        for task in self._running:
            if task.stop is not None:
                task.stop()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._long.shutdown(wait=True, cancel_futures=True)


def notice_of(title: str, error: BaseException) -> Notice:
    """The dialog for an error: its own sentence if it is meant for users, else a general one with the traceback."""
    if isinstance(error, M2VError):
        return Notice(title, str(error))
    if isinstance(error, OSError):
        return Notice(title, f"{error.filename or 'A file'}: {error.strerror or error}.")
    detail = "".join(traceback.format_exception(error))
    return Notice(title, f"Something unexpected happened ({type(error).__name__}); your work is kept.", detail)
