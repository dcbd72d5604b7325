"""`run_protocol`: the evaluation protocols by name, as `m2v evaluate` and `python -m core.evaluation` call them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from core.errors import M2VError
from core.evaluation.clips import ClipName, procedural_clips, rig_clips
from core.evaluation.reporting import OnProgress
from core.pipelines.request import Quality

PROTOCOLS = {
    "handles": "handle editing against ARAP and biharmonic on held-out motions",
    "autoencoders": "motion and shape autoencoders alone on held-out clips",
}


def held_out_clips(
    clips: int, rigs: str | Path | None = None, rigs_per_identity: int = 1, rigs_unseen_motion: int = 0
) -> list[ClipName]:
    """The fixed list: `clips` procedural ones of unseen identity and motion, then those of the rigs in a folder."""
    names = procedural_clips(clips, "unseen_identity") if clips else []
    if rigs is not None:
        names += rig_clips(rigs, "unseen_identity", rigs_per_identity)
        if rigs_unseen_motion:
            names += rig_clips(rigs, "unseen_motion", 1, rigs_unseen_motion)
    return names


def run_protocol(
    name: str,
    out: str | Path,
    *,
    preset: str = "small",
    device: str = "auto",
    untrained: bool = False,
    clips: int = 24,
    rigs: str | Path | None = None,
    rigs_per_identity: int = 1,
    rigs_unseen_motion: int = 0,
    seeds: int = 8,
    quality: Quality = "normal",
    guidance: float = 1.0,
    steps: int | None = None,
    vertices: int = 1500,
    all_tasks: bool = False,
    on_progress: OnProgress | None = None,
) -> dict[str, Any]:
    """Run a protocol of PROTOCOLS and write `out` (JSON) with a Markdown report beside it; returns the report.

    `rigs` is a folder of rigged GLB files. An interrupted run, started again with the same arguments, goes on.
    Raises M2VError with a sentence for an unknown protocol, missing weights, or a place that cannot be written.
    """
    if name not in PROTOCOLS:
        raise M2VError(f"There is no protocol {name!r}; choose one of {', '.join(PROTOCOLS)}.")
    path = Path(out)
    if path.suffix != ".json":
        raise M2VError(f"The report {path} has to end in .json; a readable .md is written beside it.")
    from core.evaluation.models import animator_for, describe

    names = held_out_clips(clips, rigs, rigs_per_identity, rigs_unseen_motion)
    animator = animator_for(preset, device, untrained)
    model = describe(animator, preset, untrained)
    if name == "autoencoders":
        from core.evaluation.autoencoder import evaluate_autoencoders

        return evaluate_autoencoders(animator, names, path, vertices=vertices, model=model, on_progress=on_progress)
    from core.evaluation.handles import ALL_TASKS, HandleSettings, evaluate_handles

    settings = HandleSettings(seeds=seeds, quality=quality, guidance=guidance, steps=steps, vertices=vertices)
    if all_tasks:
        settings = dataclasses.replace(settings, tasks=ALL_TASKS)
    return evaluate_handles(animator, names, path, settings, model, on_progress)
