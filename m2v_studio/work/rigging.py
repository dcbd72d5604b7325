"""A rig in a process of its own: the window goes on, and no torch comes into its process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core.errors import ExportError
from core.io.export_clip import ExportOptions
from core.pipelines.request import Reconstruction, Sample, Windows
from core.sequence import MeshSequence, SourceMesh
from m2v_studio.document.state import Document
from m2v_studio.work.apart import Apart, Say
from m2v_studio.work.exporting import Written, exported_sequence


@dataclass(frozen=True, eq=False)
class RigRequest:
    """One rig of one mesh, for its motions and those that the bank lends; everything the other process needs."""

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
        """For results of a document, each an action with its name; without results for its mesh alone."""
        sequences = [replace(exported_sequence(sample, document), handles=None) for sample in samples]
        sources = [sample.source if isinstance(sample, Sample) else "" for sample in samples]
        titles = [", ".join(filter(None, pair)) for pair in zip(names, sources, strict=True)]
        return cls(tuple(sequences), tuple(titles), document.source, out, options, windows)


class RigJob(Apart):
    """Makes and writes the rig of a request; its answer is `Written`."""

    def __init__(self, request: RigRequest) -> None:
        super().__init__(write_rig, request, "Making the rig", "try fewer results", ExportError)


def write_rig(request: RigRequest, _: Say) -> Written:
    """Make the rig and write it; imports torch, to know what is what."""
    from core.io.export_notes import export_notes
    from core.io.rig_export import export_rig
    from core.pipelines.borrowed_rig import rig_with_bank

    result = rig_with_bank(request.sequences, request.names, request.source, request.windows)
    export_rig(result.rig, result.rest, request.out, request.source, options=request.options)
    notes = export_notes(request.source, request.out.suffix.lower())
    return Written((request.out,), " ".join((result.sentence, *notes)))
