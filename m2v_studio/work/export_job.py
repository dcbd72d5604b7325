"""The background job of an export: results as files, or as one rig."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from core.pipelines.request import Windows
from m2v_studio.document.result_commands import result_label
from m2v_studio.document.state import Document, Results
from m2v_studio.work.exporting import Written, write_results
from m2v_studio.work.rigging import RigJob, RigRequest


class ExportJob(NamedTuple):
    """For `Tasks.run`."""

    title: str
    work: Callable[[], Written]
    stop: Callable[[], None] | None


def export_job(
    results: Results | None, rows: Sequence[int], out: Path, document: Document, options: Any, rig: Windows | None
) -> ExportJob:
    """The job that exports the results of `rows` to `out`.

    Several results get the seed in their file names. With `rig` they become the actions of one rig, beside borrowed
    motions.
    """
    chosen = [] if results is None else [results.samples.samples[row] for row in rows]
    if rig is None:
        return ExportJob(f"Exporting {out.name}", lambda: write_results(chosen, out, document, options), None)
    names = [] if results is None else [result_label(results, row) for row in rows]
    job = RigJob(RigRequest.of(chosen, names, out, document, options, rig))
    return ExportJob(f"Making the rig {out.name}", job, job.stop)
