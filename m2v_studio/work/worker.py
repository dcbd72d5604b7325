"""Generation in the background: a new request replaces the running one, and progress and previews come back.

The model runs in a separate process (`serving`). Importing torch, which holds the interpreter for up to a second, and
sampling then never delay a frame of the window, and running out of memory ends in a message. Tests run the same loop
on a thread.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import queue
import threading
from multiprocessing.connection import Connection
from typing import Any

from core.pipelines.request import ReconstructionOptions, SamplingOptions
from core.sequence import HandleTracks, ScanSequence, SourceMesh
from m2v_studio.work.engine import AnimatorFactory as AnimatorFactory
from m2v_studio.work.engine import load_animator as load_animator
from m2v_studio.work.messages import (
    Animate,
    Cancel,
    DragReady,
    EngineFailed,
    EngineReady,
    Event,
    FacingKnown,
    Prepare,
    Progressed,
    Reconstruct,
    Run,
    Subject,
)
from m2v_studio.work.serving import serve, serve_process
from m2v_studio.work.transfer import receive, send

Message = Run | Cancel | Prepare


class GenerationWorker:
    """Runs one request at a time; a newer request or `cancel` stops the running one between denoiser calls."""

    def __init__(self, factory: AnimatorFactory = load_animator, isolate: bool = True) -> None:
        self._factory = factory
        self._isolate = isolate
        self._connection: Connection | None = None
        self._outbox: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._process: Any = None
        self._thread: threading.Thread | None = None  # in place of a process
        self._events: queue.SimpleQueue[tuple[int, Event]] = queue.SimpleQueue()
        self._generation = 0  # of the process: reports of an ended one are ignored
        self._request = 0
        self._active: int | None = None  # the request that is running or queued
        self._mesh = 0  # the number of the mesh that was last prepared for drags
        self._subject: Subject | None = None  # the mesh or scans that the other process has
        self._closing = False

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
                target=serve_process, args=(theirs, self._factory), name="m2v-generate", daemon=True
            )
            self._process.start()
            theirs.close()
        else:
            self._thread = threading.Thread(
                target=serve, args=(theirs, self._factory), name="m2v-generate", daemon=True
            )
            self._thread.start()
        self._connection = ours
        self._outbox.put(None)  # for the sender of a process that has ended
        self._outbox = queue.SimpleQueue()
        # A mesh does not fit into a pipe: sending it waits until the other side reads, which may be loading the model.
        threading.Thread(target=_write, args=(ours, self._outbox), name="m2v-requests", daemon=True).start()
        reader = threading.Thread(
            target=self._read, args=(ours, self._process, self._generation), name="m2v-events", daemon=True
        )
        reader.start()

    def prepare(self, mesh: SourceMesh) -> None:
        """Request the system for drags on this mesh and its heading; they come as `DragReady` and `FacingKnown`."""
        self.start()
        self._mesh += 1
        self._subject = mesh
        self._outbox.put(Prepare(self._mesh, mesh))

    def submit(self, mesh: SourceMesh, tracks: HandleTracks, options: SamplingOptions) -> int:
        """Request motions of a mesh; returns the request's number. A running request is stopped."""
        return self._ask(mesh, Animate(tracks, options))

    def submit_scans(self, scans: ScanSequence, options: ReconstructionOptions) -> int:
        """Request complete meshes of scans; like `submit`."""
        return self._ask(scans, Reconstruct(options))

    def _ask(self, subject: Subject, task: Animate | Reconstruct) -> int:
        self.start()
        self._request += 1
        self._active = self._request
        known = subject is self._subject
        self._outbox.put(Run(self._request, None if known else subject, task))
        self._subject = subject
        return self._request

    def cancel(self) -> None:
        """Stop the running request; it sends no more reports."""
        if self._active is not None:
            self._outbox.put(Cancel(self._active))
            self._active = None

    def poll(self) -> list[Event]:
        """Reports since the last call, without those of stopped requests."""
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
            elif isinstance(event, (DragReady, FacingKnown)):
                if event.mesh != self._mesh:
                    continue
            elif not isinstance(event, EngineReady):
                if event.request != self._active:
                    continue
                if not isinstance(event, Progressed):
                    self._active = None
            events.append(event)

    def close(self) -> None:
        """End the background process; a running request is stopped."""
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
        if self._thread is not None:  # a thread in compiled code at the end of Python would abort the process
            self._thread.join(timeout=2.0)

    def _read(self, connection: Connection, process: Any, generation: int) -> None:
        while True:
            try:
                event = receive(connection)
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


def _write(connection: Connection, outbox: queue.SimpleQueue[Message | None]) -> None:
    """Send requests in order; None, which ends the other side, is the last."""
    # When the process has ended, its reader reports that and the next request starts another.
    with contextlib.suppress(OSError, ValueError):
        while True:
            message = outbox.get()
            send(connection, message)
            if message is None:
                return
