"""Background generation: the latest request wins, progress and previews stream back, cancel is quick.

The model lives in a process of its own, so that neither importing torch (which holds the interpreter for up to
a second) nor sampling can ever delay a window frame, and so that running out of memory ends in a message.
The same loop also runs on a thread, which the tests use.
"""

from __future__ import annotations

import contextlib
import copyreg
import multiprocessing
import os
import queue
import signal
import threading
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from core.errors import Cancelled, M2VError
from core.pipelines.request import (
    Progress,
    ReconstructionOptions,
    ReconstructionSet,
    SampleSet,
    SamplingOptions,
)
from core.sequence import Handle, HandleTracks, ScanSequence, SourceMesh
from m2v_studio.work.engine import AnimatorFactory as AnimatorFactory
from m2v_studio.work.engine import AnimatorLike as AnimatorLike
from m2v_studio.work.engine import load_animator as load_animator


# Handles keep their keys in a read-only mapping, which pickle refuses; rebuild them from plain values.
def _reduce_handle(handle: Handle) -> tuple[Any, ...]:
    return Handle, (handle.vertex, dict(handle.keys), handle.hold, handle.pinned, handle.name)


copyreg.pickle(Handle, _reduce_handle)  # type: ignore[arg-type]


# ---- events, oldest first from poll() ---------------------------------------------------------------------


@dataclass(frozen=True)
class EngineReady:
    label: str
    variety: float = 1.0  # the model's own, where a request asks for none


@dataclass(frozen=True)
class EngineFailed:
    message: str
    detail: str = ""


@dataclass(frozen=True, eq=False)
class Progressed:
    request: int
    progress: Progress


@dataclass(frozen=True, eq=False)
class Finished:
    request: int
    samples: SampleSet | ReconstructionSet


@dataclass(frozen=True)
class Stopped:
    request: int


@dataclass(frozen=True)
class Failed:
    request: int
    message: str
    detail: str = ""


Event = EngineReady | EngineFailed | Progressed | Finished | Stopped | Failed


Subject = SourceMesh | ScanSequence


@dataclass(frozen=True, eq=False)
class _Animate:
    tracks: HandleTracks
    options: SamplingOptions


@dataclass(frozen=True, eq=False)
class _Reconstruct:
    options: ReconstructionOptions


@dataclass(frozen=True, eq=False)
class _Run:
    request: int
    subject: Subject | None  # None when the other side has it already, from the request before
    task: _Animate | _Reconstruct


@dataclass(frozen=True)
class _Cancel:
    request: int


# ---- the window's side ------------------------------------------------------------------------------------


class GenerationWorker:
    """Runs one request at a time; a newer request or `cancel` stops the running one between denoiser calls."""

    def __init__(self, factory: AnimatorFactory = load_animator, isolate: bool = True) -> None:
        self._factory = factory
        self._isolate = isolate
        self._connection: Connection | None = None
        self._outbox: queue.SimpleQueue[_Run | _Cancel | None] = queue.SimpleQueue()
        self._process: Any = None
        self._events: queue.SimpleQueue[tuple[int, Event]] = queue.SimpleQueue()
        self._generation = 0  # of the process: reports of an ended one are ignored
        self._request = 0
        self._active: int | None = None
        self._subject: Subject | None = None  # what the other side has
        self._closing = False

    @property
    def active(self) -> int | None:
        """The request that is running or queued, if any."""
        return self._active

    def start(self) -> None:
        """Begin loading the model in the background; returns at once."""
        if self._connection is not None:
            return
        ours, theirs = multiprocessing.Pipe()
        self._generation += 1
        self._subject = None
        if self._isolate:
            context = multiprocessing.get_context("spawn")
            self._process = context.Process(
                target=_serve_process, args=(theirs, self._factory), name="m2v-generate", daemon=True
            )
            self._process.start()
            theirs.close()
        else:
            threading.Thread(target=_serve, args=(theirs, self._factory), name="m2v-generate", daemon=True).start()
        self._connection = ours
        self._outbox.put(None)  # for the sender of a process that has ended
        self._outbox = queue.SimpleQueue()
        # A mesh does not fit into a pipe: sending it waits until the other side reads, which may be loading the model.
        threading.Thread(target=_write, args=(ours, self._outbox), name="m2v-requests", daemon=True).start()
        reader = threading.Thread(
            target=self._read, args=(ours, self._process, self._generation), name="m2v-events", daemon=True
        )
        reader.start()

    def submit(self, mesh: SourceMesh, tracks: HandleTracks, options: SamplingOptions) -> int:
        """Ask for motions of a mesh; returns the request's number. Anything still running is given up for it."""
        return self._ask(mesh, _Animate(tracks, options))

    def submit_scans(self, scans: ScanSequence, options: ReconstructionOptions) -> int:
        """Ask for complete meshes of scans, in the same way."""
        return self._ask(scans, _Reconstruct(options))

    def _ask(self, subject: Subject, task: _Animate | _Reconstruct) -> int:
        self.start()
        self._request += 1
        self._active = self._request
        known = subject is self._subject
        self._outbox.put(_Run(self._request, None if known else subject, task))
        self._subject = subject
        return self._request

    def cancel(self) -> None:
        """Stop the running request; nothing more is reported of it."""
        if self._active is not None:
            self._outbox.put(_Cancel(self._active))
            self._active = None

    def poll(self) -> list[Event]:
        """Reports since the last call; those of requests that are no longer wanted are left out."""
        events: list[Event] = []
        while True:
            try:
                generation, event = self._events.get_nowait()
            except queue.Empty:
                return events
            if generation != self._generation:
                continue
            if isinstance(event, EngineFailed):
                self._active = None
                self._connection = None  # the next request starts a new process
            elif not isinstance(event, EngineReady):
                if event.request != self._active:
                    continue
                if not isinstance(event, Progressed):
                    self._active = None
            events.append(event)

    def close(self) -> None:
        """End the background side; a running request is given up."""
        self._closing = True
        self._connection = None
        self._active = None
        self._generation += 1
        self._outbox.put(None)
        if self._process is not None:
            self._process.join(timeout=0.2)
            if self._process.is_alive():
                self._process.terminate()
                self._process.join(timeout=2.0)

    def _read(self, connection: Connection, process: Any, generation: int) -> None:
        while True:
            try:
                event = connection.recv()
            except (EOFError, OSError):
                break
            self._events.put((generation, event))
            if isinstance(event, EngineFailed):
                return
        if self._closing:
            return
        code = None
        if process is not None:
            process.join(timeout=1.0)
            code = process.exitcode
        reason = "it ran out of memory" if code in (-9, 137) else f"exit code {code}"
        self._events.put(
            (generation, EngineFailed(f"The generator stopped unexpectedly ({reason}); generate again to restart it."))
        )


def _write(connection: Connection, outbox: queue.SimpleQueue[_Run | _Cancel | None]) -> None:
    """Send requests in order; None, which ends the other side, is the last."""
    # When the process has ended, its reader reports that and the next request starts another.
    with contextlib.suppress(OSError, ValueError):
        while True:
            message = outbox.get()
            connection.send(message)
            if message is None:
                return


# ---- the background side ----------------------------------------------------------------------------------


def _serve_process(connection: Connection, factory: AnimatorFactory) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C in the terminal is for the window's process
    if hasattr(os, "nice"):
        os.nice(5)  # the window's frames come first
    _serve(connection, factory)


def _serve(connection: Connection, factory: AnimatorFactory) -> None:
    try:
        animator = factory()
    except M2VError as error:
        connection.send(EngineFailed(str(error)))
        return
    except Exception:
        connection.send(EngineFailed("The model could not be loaded.", traceback.format_exc()))
        return
    connection.send(EngineReady(_label(animator), float(getattr(animator, "variety", 1.0))))
    subject: Subject | None = None
    pending: Any = _NOTHING
    while True:
        try:
            message = connection.recv() if pending is _NOTHING else pending
        except (EOFError, OSError):
            return
        pending = _NOTHING
        if message is None:
            return
        if isinstance(message, _Cancel):
            continue
        subject = message.subject if message.subject is not None else subject
        pending = _run(connection, animator, message, subject)


_NOTHING = object()


def _run(connection: Connection, animator: AnimatorLike, job: _Run, subject: Subject | None) -> Any:
    """Run one request; returns the message that interrupted it, or `_NOTHING`."""
    interrupted: Any = _NOTHING

    def on_step(progress: Progress) -> None:
        nonlocal interrupted
        if connection.poll():
            interrupted = connection.recv()
            if not isinstance(interrupted, _Cancel) or interrupted.request == job.request:
                raise Cancelled
            interrupted = _NOTHING
        connection.send(Progressed(job.request, progress))

    try:
        on_step(Progress(0, 0, "Preparing"))
        samples: SampleSet | ReconstructionSet
        if isinstance(job.task, _Animate):
            assert isinstance(subject, SourceMesh)
            samples = animator.animate(subject, job.task.tracks, job.task.options, on_step)
        else:
            assert isinstance(subject, ScanSequence)
            samples = animator.reconstruct(subject, job.task.options, on_step)
        connection.send(Finished(job.request, samples))
    except Cancelled:
        connection.send(Stopped(job.request))
    except M2VError as error:
        connection.send(Failed(job.request, str(error)))
    except (EOFError, BrokenPipeError):
        return None
    except MemoryError:
        message = "There is not enough memory for this; ask for fewer seeds or frames, a smaller mesh or less detail."
        connection.send(Failed(job.request, message))
    except Exception:
        connection.send(Failed(job.request, "Generation failed because of a fault in it.", traceback.format_exc()))
    return interrupted


def _label(animator: AnimatorLike) -> str:
    """For the title line, such as "small, cpu", from whatever the animator tells about itself."""
    parts = [str(getattr(animator, name)) for name in ("preset", "device") if _is_word(animator, name)]
    return ", ".join(parts) or "model ready"


def _is_word(animator: object, name: str) -> bool:
    """True when the attribute prints as a short word (a torch.device does)."""
    value = getattr(animator, name, None)
    return value is not None and not callable(value) and 0 < len(str(value)) <= 24
