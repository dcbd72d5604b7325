"""Makes a rig in a separate process: the window keeps drawing and does not import torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core.errors import ExportError
from core.io.export_clip import ExportOptions
from core.pipelines.request import Reconstruction, Sample, Windows
from core.sequence import MeshSequence, SourceMesh
from m2v_studio.document.state import Document
from m2v_studio.work.exporting import Written, exported_sequence
from m2v_studio.work.process_job import ProcessJob, Say


@dataclass(frozen=True, eq=False)
class RigRequest:
    """All that the other process needs to rig one mesh with its motions and motions borrowed from the bank."""

    sequences: tuple[MeshSequence, ...]
    names: tuple[str, ...]
    source: SourceMesh | None
    out: Path
    options: ExportOptions
    windows: Windows = "none"

    @classmethod
    def of(
        cls,
        samples: Sequence[Sample | Reconstruction],
        names: Sequence[str],
        out: Path,
        document: Document,
        options: ExportOptions,
        windows: Windows = "none",
    ) -> RigRequest:
        """The request for results of a document, each an action of this name, or without results for its mesh alone."""
        sequences = [replace(exported_sequence(sample, document), handles=None) for sample in samples]
        sources = [sample.source if isinstance(sample, Sample) else "" for sample in samples]
        titles = [", ".join(filter(None, pair)) for pair in zip(names, sources, strict=True)]
        return cls(tuple(sequences), tuple(titles), document.source, out, options, windows)


class RigJob(ProcessJob):
    """Makes and writes the rig of a request; returns `Written`."""

    def __init__(self, request: RigRequest) -> None:
        super().__init__(write_rig, request, "Making the rig", "try fewer results", ExportError)


def write_rig(request: RigRequest, _: Say) -> Written:
    """Make the rig and write it. Imports torch, as a model labels the parts of the body."""
    from core.io.export_notes import export_notes
    from core.io.rig_export import export_rig
    from core.pipelines.borrowed_rig import rig_with_bank

    result = rig_with_bank(request.sequences, request.names, request.source, request.windows)
    export_rig(result.rig, result.rest, request.out, request.source, options=request.options)
    notes = export_notes(request.source, request.out.suffix.lower())
    return Written((request.out,), " ".join((result.sentence, *notes)))
