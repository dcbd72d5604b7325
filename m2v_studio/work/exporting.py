"""Writes results to files, off the main thread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.io.export_formats import seed_path
from core.pipelines.request import Reconstruction, Sample
from core.sequence import MeshSequence
from m2v_studio.document.scan_document import upright
from m2v_studio.document.state import Document


@dataclass(frozen=True)
class Written:
    """The files that were written, at least one, with a note for the user."""

    paths: tuple[Path, ...]
    note: str = ""

    @property
    def sentence(self) -> str:
        """For the status line."""
        names = self.paths[0].name if len(self.paths) == 1 else f"{len(self.paths)} files"
        return f"Exported {names} to {self.paths[0].parent}. {self.note}".rstrip()


def write_results(samples: Sequence[Sample | Reconstruction], out: Path, document: Document, options: Any) -> Written:
    """Export each result; several get the seed in their file names. Raises ExportError or OSError."""
    from core.io.export import export_sequence
    from core.io.export_notes import export_notes

    written: list[Path] = []
    for sample in samples:
        target = seed_path(out, sample.seed, len(samples) > 1)
        twins = sum(other.seed == sample.seed for other in samples[: len(written)])
        if twins:  # an earlier result of the same seed that was kept
            target = target.with_name(f"{target.stem}-{twins + 1}{target.suffix}")
        export_sequence(exported_sequence(sample, document), target, document.source, options=options)
        written.append(target)
    return Written(tuple(written), " ".join(export_notes(document.source, out.suffix.lower())))


def exported_sequence(sample: Sample | Reconstruction, document: Document) -> MeshSequence:
    """A result as it is exported: a mesh made from scans lies where they are, turned to Y up."""
    scans, alignment = document.scans, document.alignment
    if scans is None or alignment is None:
        return sample.sequence
    return upright(replace(sample.sequence, origin=scans.sequence.origin), alignment)
