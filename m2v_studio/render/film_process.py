"""Renders films in a separate process: the window stays responsive and survives driver crashes."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from core.errors import Cancelled, ExportError, M2VError
from m2v_studio.render.shot import Actor, FilmOptions, OnImage

PATIENCE = 5.0  # seconds for a cancelled film to clean up
NO_LIBRARIES = "install what the README names for drawing (on Debian: libegl1 libgl1 libgl1-mesa-dri)."


@dataclass(frozen=True)
class FilmReport:
    """Progress in images; at the end `finished`, or an `error` in one sentence with details."""

    done: int = 0
    total: int = 0
    finished: bool = False
    error: str = ""
    detail: str = ""


class FilmProcess:
    """The process of one film. It starts immediately, and does not block if its reports are not read."""

    def __init__(self, actors: tuple[Actor, ...], out: Path, options: FilmOptions) -> None:
        self._ours, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        self._process = context.Process(target=_serve, args=(theirs,), name="m2v-film", daemon=True)
        self._process.start()
        theirs.close()
        self._over = False
        # A mesh exceeds the pipe's buffer: sending blocks until the other side reads.
        request = actors, out, options
        threading.Thread(target=_send, args=(self._ours, request), name="m2v-film-request", daemon=True).start()

    def wait(self, seconds: float) -> FilmReport | None:
        """The next report, or None if there is none within `seconds`."""
        if self._over:
            return None
        try:
            if not self._ours.poll(seconds):
                return None
            report: FilmReport = self._ours.recv()
        except (EOFError, OSError):
            self._process.join(PATIENCE)
            report = FilmReport(error=_why(self._process.exitcode))
        self._over = report.finished or bool(report.error)
        return report

    def stop(self) -> None:
        """Cancel; returns when the process has ended and nothing half-written is left."""
        self._over = True
        self._ours.close()
        self._process.join(PATIENCE)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join(PATIENCE)


def run_film(
    actors: tuple[Actor, ...], out: Path, options: FilmOptions, on_image: OnImage = lambda done, total: None
) -> None:
    """Make a film and wait for it. Raises ExportError; exceptions from `on_image` stop the film and propagate."""
    process = FilmProcess(actors, out, options)
    try:
        while True:
            report = process.wait(60.0)
            if report is None:
                continue
            if report.finished:
                return
            if report.error:
                raise RuntimeError(report.detail) if report.detail else ExportError(report.error)
            on_image(report.done, report.total)
    finally:
        process.stop()


def _send(connection: Connection, request: object) -> None:
    with contextlib.suppress(OSError, ValueError):  # the other side has ended; the reader notices
        connection.send(request)


def _why(code: int | None) -> str:
    if code in (-9, 137):
        return "There is not enough memory for this film; make its images smaller."
    return f"Drawing stopped unexpectedly (exit code {code}); {NO_LIBRARIES[0].upper()}{NO_LIBRARIES[1:]}"


def _serve(connection: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C in a terminal is handled by the parent
    if hasattr(os, "nice"):
        os.nice(5)

    def on_image(done: int, total: int) -> None:
        if connection.poll():  # nothing follows the request, so this means that the parent has gone
            raise Cancelled
        connection.send(FilmReport(done, total))

    with contextlib.suppress(Cancelled, BrokenPipeError, EOFError):
        connection.send(_film(connection, on_image))


def _film(connection: Connection, on_image: OnImage) -> FilmReport:
    try:
        from m2v_studio.render.filming import make_film

        actors, out, options = connection.recv()
        make_film(actors, out, options, on_image)
        return FilmReport(finished=True)
    except (Cancelled, BrokenPipeError):
        raise Cancelled from None
    except M2VError as error:
        return FilmReport(error=str(error))
    except ImportError as error:
        return FilmReport(error=f"Images cannot be drawn ({error}); {NO_LIBRARIES}")
    except MemoryError:
        return FilmReport(error="There is not enough memory for this film; make its images smaller.")
    except Exception:
        return FilmReport(error="The film could not be made because of a bug.", detail=traceback.format_exc())
