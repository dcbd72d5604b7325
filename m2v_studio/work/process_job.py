"""Long work in a separate process: the window keeps drawing, and its own process does not import torch."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from core.errors import Cancelled, M2VError

WAITING = 0.1  # seconds between two checks whether to stop
PATIENCE = 5.0

Say = Callable[[str], None]


class ProcessJob:
    """Runs `work(request, say)` in another process; call it on a thread that may wait. Any thread may `stop` it.

    `progress` holds the latest words that the work has passed to `say`. `failure` is the class of the errors raised for
    the user; the sentence for a process that ended by itself begins with `title` and ends with `advice`.
    """

    def __init__(
        self, work: Callable[[Any, Say], Any], request: Any, title: str, advice: str, failure: type[M2VError] = M2VError
    ) -> None:
        self._work, self._request = work, request
        self._title, self._advice, self._failure = title, advice, failure
        self._stopped = threading.Event()
        self.progress = ""

    def stop(self) -> None:
        self._stopped.set()

    def __call__(self) -> Any:
        """Returns the work's answer. Raises `failure` with a sentence, RuntimeError for a bug, or Cancelled."""
        ours, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        process = context.Process(target=_serve, args=(theirs, self._work, self._request), name="m2v-job", daemon=True)
        process.start()
        theirs.close()
        try:
            kind, *answer = self._next(ours)
            while kind == "said":
                self.progress = answer[0]
                kind, *answer = self._next(ours)
        except (EOFError, OSError):
            process.join(PATIENCE)
            why = "it ran out of memory" if process.exitcode in (-9, 137) else f"exit code {process.exitcode}"
            raise self._failure(f"{self._title} stopped unexpectedly ({why}); {self._advice}.") from None
        finally:
            ours.close()
            if self._stopped.is_set():
                process.terminate()
            process.join(PATIENCE)
        if kind == "done":
            return answer[0]
        raise RuntimeError(answer[0]) if kind == "fault" else self._failure(answer[0])

    def _next(self, connection: Connection) -> tuple[str, Any]:
        while not connection.poll(WAITING):
            if self._stopped.is_set():
                raise Cancelled
        message: tuple[str, Any] = connection.recv()
        return message


def _serve(connection: Connection, work: Callable[[Any, Say], Any], request: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C in a terminal is for the window's process
    if hasattr(os, "nice"):
        os.nice(5)  # the window's frames come first
    try:
        connection.send(("done", work(request, lambda text: connection.send(("said", text)))))
    except M2VError as error:
        connection.send(("failed", str(error)))
    except MemoryError:
        connection.send(("failed", "There is not enough memory for this; give it fewer files at a time."))
    except Exception:
        connection.send(("fault", traceback.format_exc()))
