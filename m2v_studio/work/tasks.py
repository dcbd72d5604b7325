"""Work off the main thread: reading meshes, saving, exporting, one after the other; what takes long, beside these."""

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
    """Callbacks run in `poll`, on the thread that calls it, so they may change the state freely."""

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

        Long work comes with a `stop` that ends it soon: no save waits for it, and `close` ends it.
        """
        pool = self._pool if stop is None else self._long
        self._running.append(_Task(title, pool.submit(work), done, failed, quiet, stop))

    @property
    def busy(self) -> str:
        """What the window says is going on, empty when nothing is."""
        return next((task.title for task in self._running if not task.quiet), "")

    def poll(self) -> None:
        """Deliver what has finished."""
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
        """Wait for what is running (a save must not be cut short), drop what is queued and end what takes long."""
        for task in self._running:
            if task.stop is not None:
                task.stop()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._long.shutdown(wait=True, cancel_futures=True)


def notice_of(title: str, error: BaseException) -> Notice:
    """The dialog for an error: its sentence when it is meant for people, else a plain one with the details kept."""
    if isinstance(error, M2VError):
        return Notice(title, str(error))
    if isinstance(error, OSError):
        return Notice(title, f"{error.filename or 'A file'}: {error.strerror or error}.")
    detail = "".join(traceback.format_exception(error))
    return Notice(title, f"Something unexpected happened ({type(error).__name__}); your work is kept.", detail)
