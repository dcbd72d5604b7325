"""The process with the model. It runs one request at a time; a newer one or a cancellation interrupts it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from core.errors import Cancelled, M2VError
from core.geometry.drag_solve import DragSystem
from core.pipelines.request import Progress, ReconstructionSet, SampleSet
from core.sequence import ScanSequence, SourceMesh
from m2v_studio.work.cores import CoreWatch
from m2v_studio.work.engine import AnimatorFactory, AnimatorLike
from m2v_studio.work.messages import (
    Animate,
    Cancel,
    DragReady,
    EngineFailed,
    EngineReady,
    FacingKnown,
    Failed,
    Finished,
    Prepare,
    Progressed,
    Run,
    Stopped,
    Subject,
)
from m2v_studio.work.transfer import receive, send

FIRST_MESH_SECONDS = 0.4  # before the model is loaded, a mesh given at the start is waited for this long
_NOTHING = object()

# ---- the background side ----------------------------------------------------------------------------------


def serve_process(connection: Connection, factory: AnimatorFactory) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C in the terminal is for the window's process
    if hasattr(os, "nice"):
        os.nice(5)  # the window's process comes first
    serve(connection, partial(_on_free_cores, factory, CoreWatch()))


def _on_free_cores(factory: AnimatorFactory, cores: CoreWatch) -> AnimatorLike:
    """Load the models and use as many threads as cores were free meanwhile. `OMP_NUM_THREADS` overrides the number.

    It does not change later, because sums are rounded differently with another number of threads.
    """
    animator = factory()
    if "OMP_NUM_THREADS" not in os.environ and (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(cores.free())
    return animator


def serve(connection: Connection, factory: AnimatorFactory) -> None:
    # Loading the model takes seconds; a mesh that is opened at once can be posed meanwhile.
    try:
        pending: Any = receive(connection) if connection.poll(FIRST_MESH_SECONDS) else _NOTHING
    except (EOFError, OSError):
        return
    early = pending if isinstance(pending, Prepare) else None
    if early is not None:
        _prepare_drags(connection, early)
    try:
        animator = factory()
    except M2VError as error:
        send(connection, EngineFailed(str(error)))
        return
    except Exception:
        send(connection, EngineFailed("The model could not be loaded.", traceback.format_exc()))
        return
    send(connection, EngineReady(_label(animator)))
    subject: Subject | None = None
    while True:
        try:
            message = receive(connection) if pending is _NOTHING else pending
        except (EOFError, OSError):
            return
        pending = _NOTHING
        if message is None:
            return
        if isinstance(message, Cancel):
            continue
        if isinstance(message, Prepare):
            subject = message.subject
            if message is not early:
                _prepare_drags(connection, message)
            _tell_facing(connection, animator, message)
            continue
        subject = message.subject if message.subject is not None else subject
        pending = _run(connection, animator, message, subject)


def _prepare_drags(connection: Connection, message: Prepare) -> None:
    """Send the system for drags. If this fails, the mesh does not follow drags, and the next draft reports why."""
    with contextlib.suppress(Exception):
        send(connection, DragReady(message.mesh, DragSystem.of(message.subject.vertices, message.subject.faces)))


def _tell_facing(connection: Connection, animator: AnimatorLike, message: Prepare) -> None:
    """Send the creature's heading. If this fails, views are along the axes."""
    with contextlib.suppress(Exception):
        if not connection.poll():  # no other request is waiting
            send(connection, FacingKnown(message.mesh, animator.facing(message.subject)))


def _run(connection: Connection, animator: AnimatorLike, job: Run, subject: Subject | None) -> Any:
    """Run one request; returns the message that interrupted it, or `_NOTHING`."""
    interrupted: Any = _NOTHING

    def on_step(progress: Progress) -> None:
        nonlocal interrupted
        if connection.poll():
            interrupted = receive(connection)
            if not isinstance(interrupted, Cancel) or interrupted.request == job.request:
                raise Cancelled
            interrupted = _NOTHING
        send(connection, Progressed(job.request, progress))

    try:
        on_step(Progress(0, 0, "Preparing"))
        samples: SampleSet | ReconstructionSet
        if isinstance(job.task, Animate):
            assert isinstance(subject, SourceMesh)
            samples = animator.animate(subject, job.task.tracks, job.task.options, on_step)
        else:
            assert isinstance(subject, ScanSequence)
            samples = animator.reconstruct(subject, job.task.options, on_step)
        send(connection, Finished(job.request, samples))
    except Cancelled:
        send(connection, Stopped(job.request))
    except M2VError as error:
        send(connection, Failed(job.request, str(error)))
    except (EOFError, BrokenPipeError):
        return None
    except MemoryError:
        message = "There is not enough memory for this; use fewer seeds or frames, a smaller mesh or less detail."
        send(connection, Failed(job.request, message))
    except Exception:
        send(connection, Failed(job.request, "Generation failed because of a bug.", traceback.format_exc()))
    return interrupted


def _label(animator: AnimatorLike) -> str:
    """The model in words for the title line, such as "small, cpu"; "model ready" if the animator names neither."""
    parts = [str(getattr(animator, name)) for name in ("preset", "device") if _is_word(animator, name)]
    return ", ".join(parts) or "model ready"


def _is_word(animator: object, name: str) -> bool:
    """True when the attribute prints as a short word, as a torch.device does."""
    value = getattr(animator, name, None)
    return value is not None and not callable(value) and 0 < len(str(value)) <= 24
