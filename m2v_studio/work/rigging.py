"""A rig from results, in a process of its own: the window goes on, and no torch comes into its process."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

from core.errors import Cancelled, ExportError, M2VError
from core.io.export_clip import ExportOptions
from core.pipelines.request import Reconstruction, Sample
from core.sequence import MeshSequence, SourceMesh
from m2v_studio.document.state import Document
from m2v_studio.work.exporting import Written, exported_sequence

WAITING = 0.1  # seconds between two looks whether it is to stop
PATIENCE = 5.0


@dataclass(frozen=True, eq=False)
class RigRequest:
    """One rig for several motions of one mesh; everything the other process needs."""

    sequences: tuple[MeshSequence, ...]
    names: tuple[str, ...]
    source: SourceMesh | None
    out: Path
    options: ExportOptions

    @classmethod
    def of(
        cls,
        samples: Sequence[Sample | Reconstruction],
        names: Sequence[str],
        out: Path,
        document: Document,
        options: ExportOptions,
    ) -> RigRequest:
        """For results of a document, each an action with its name."""
        sequences = [replace(exported_sequence(sample, document), handles=None) for sample in samples]
        sources = [sample.source if isinstance(sample, Sample) else "" for sample in samples]
        titles = [", ".join(filter(None, pair)) for pair in zip(names, sources, strict=True)]
        return cls(tuple(sequences), tuple(titles), document.source, out, options)


class RigJob:
    """Callable on a thread that may wait: makes and writes the rig. `stop` ends it soon, from any thread."""

    def __init__(self, request: RigRequest) -> None:
        self._request = request
        self._stopped = threading.Event()

    def stop(self) -> None:
        self._stopped.set()

    def __call__(self) -> Written:
        """Raises ExportError with one sentence, RuntimeError with the details of a fault, Cancelled after `stop`."""
        ours, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        process = context.Process(target=_serve, args=(theirs, self._request), name="m2v-rig", daemon=True)
        process.start()
        theirs.close()
        try:
            while not ours.poll(WAITING):
                if self._stopped.is_set():
                    raise Cancelled
            answer: Written | tuple[str, str] = ours.recv()
        except (EOFError, OSError):
            process.join(PATIENCE)
            why = "it ran out of memory" if process.exitcode in (-9, 137) else f"exit code {process.exitcode}"
            raise ExportError(f"Making the rig stopped unexpectedly ({why}); try fewer results.") from None
        finally:
            ours.close()
            if self._stopped.is_set():
                process.terminate()
            process.join(PATIENCE)
        if isinstance(answer, Written):
            return answer
        sentence, detail = answer
        raise RuntimeError(detail) if detail else ExportError(sentence)


def _serve(connection: Connection, request: RigRequest) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C in a terminal is for the window's process
    if hasattr(os, "nice"):
        os.nice(5)  # the window's frames come first
    try:
        connection.send(write_rig(request))
    except M2VError as error:
        connection.send((str(error), ""))
    except MemoryError:
        connection.send(("There is not enough memory for this; make the rig of fewer results.", ""))
    except Exception:
        connection.send(("", traceback.format_exc()))


def write_rig(request: RigRequest) -> Written:
    """Make the rig and write it; imports torch, for the names of the bones."""
    from core.io.export_notes import export_notes
    from core.io.rig_export import export_rig
    from core.pipelines.make_rig import make_rig
    from core.pipelines.part_descriptions import name_parts

    up = "y" if request.source is None else request.source.up_axis
    result = make_rig(request.sequences, request.names, up_axis=up, name_parts=name_parts())
    export_rig(result.rig, request.sequences[0], request.out, request.source, options=request.options)
    notes = export_notes(request.source, request.out.suffix.lower())
    return Written((request.out,), " ".join((result.sentence, *notes)))
