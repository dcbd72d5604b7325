"""Results to files, off the main thread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.io.export_formats import seed_path
from core.pipelines.request import Reconstruction, Sample
from m2v_studio.document.scan_document import upright
from m2v_studio.document.state import Document


def write_results(
    samples: Sequence[Sample | Reconstruction], out: Path, document: Document, options: Any
) -> list[Path]:
    """Export each; several get the seed in their names. Meshes made of scans lie where the scans do, turned to Y up."""
    from core.io.export import export_sequence

    scans, alignment = document.scans, document.alignment
    written: list[Path] = []
    for sample in samples:
        target = seed_path(out, sample.seed, len(samples) > 1)
        twins = sum(other.seed == sample.seed for other in samples[: len(written)])
        if twins:  # one that was kept, beside a newer one of the same seed
            target = target.with_name(f"{target.stem}-{twins + 1}{target.suffix}")
        sequence = sample.sequence
        if scans is not None and alignment is not None:
            sequence = upright(replace(sequence, origin=scans.sequence.origin), alignment)
        export_sequence(sequence, target, document.source, options=options)
        written.append(target)
    return written
