"""`run_protocol`: the evaluation protocols by name, as `m2v evaluate` and `python -m core.evaluation` call them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.errors import M2VError
from core.evaluation.evaluation_clips import ClipName, procedural_clips, rig_clips
from core.evaluation.reporting import OnProgress, write_report
from core.observation_kinds import SCAN_PROTOCOLS
from core.pipelines.request import MAX_SEEDS, Quality

PROTOCOLS = {
    "prior": "one drag, several motions: alive, likely, various, unstretched; on rigs of authors never trained on",
    "parts": "which point of a body is which part, and where it faces; on rigs of authors never trained on",
    "handles": "handle editing against ARAP and biharmonic on held-out motions",
    "ablations": "the preset with one thing changed at a time, trained on equal budgets",
    "autoencoders": "motion and shape autoencoders alone on held-out clips",
    **{name: protocol.about for name, protocol in SCAN_PROTOCOLS.items()},
}


def held_out_clips(
    clips: int,
    rigs: str | Path | None = None,
    rigs_per_identity: int = 1,
    rigs_unseen_motion: int = 0,
    clips_unseen_motion: int = 0,
    frames: int = 17,
) -> list[ClipName]:
    """The fixed list: `clips` procedural ones of unseen identity and motion, `clips_unseen_motion` whose identity was
    trained on, then those of the rigs in a folder, where they have that many frames."""
    names = procedural_clips(clips, "unseen_identity") if clips else []
    names += procedural_clips(clips_unseen_motion, "unseen_motion") if clips_unseen_motion else []
    if rigs is not None:
        names += rig_clips(rigs, "unseen_identity", rigs_per_identity, frames=frames)
        if rigs_unseen_motion:
            names += rig_clips(rigs, "unseen_motion", 1, rigs_unseen_motion, frames)
    return names


def run_protocol(
    name: str,
    out: str | Path,
    *,
    preset: str = "small",
    device: str = "auto",
    untrained: bool = False,
    clips: int = 24,
    clips_unseen_motion: int | None = None,
    rigs: str | Path | None = None,
    rigs_per_identity: int = 1,
    rigs_unseen_motion: int = 0,
    seeds: int | None = None,
    quality: Quality = "normal",
    steps: int | None = None,
    vertices: int = 1500,
    all_tasks: bool = False,
    pictures: str | Path | None = None,
    rows: Sequence[str] = (),
    train_clips: int = 1200,
    overrides: Sequence[str] = (),
    config: str | None = None,
    raw: str | Path | None = None,
    on_progress: OnProgress | None = None,
) -> dict[str, Any]:
    """Run a protocol of PROTOCOLS and write `out` (JSON) with a Markdown report beside it; returns the report.

    The rows of every clip are returned with it, and written only where `raw` says. `rigs` is a folder of rigged GLB
    files. Where they are left out, `seeds` is 8 for handles and 3 for scans, and `clips_unseen_motion` is 0 for
    handles and half of `clips` for scans. `pictures` is a folder for images of the ten best and the ten worst
    clips of the handles. `rows`, `train_clips`, `overrides` and `config` (a preset or YAML file, `preset` where
    left out) are those of the ablations, whose `seeds` are 3 and count trainings. An interrupted run, started again
    with the same arguments, continues. Raises M2VError with a sentence for an unknown protocol, missing weights, or a
    place that cannot be written.
    """
    if name not in PROTOCOLS:
        raise M2VError(f"There is no protocol {name!r}; choose one of {', '.join(PROTOCOLS)}.")
    path, raw_path = Path(out), None if raw is None else Path(raw)
    if path.suffix != ".json":
        raise M2VError(f"The report {path} has to end in .json; a readable .md is written beside it.")
    from core.evaluation.models import animator_for, describe, describe_files

    if seeds is not None and not 1 <= seeds <= MAX_SEEDS:
        raise M2VError(f"{seeds} seeds are not possible; ask for 1 to {MAX_SEEDS}.")
    if name == "parts":
        from core.evaluation.part_matching import evaluate_parts, left_out_rigs
        from core.pipelines.part_descriptions import PartDescriptions

        shapes = left_out_rigs(rigs)
        network = PartDescriptions.load(preset, "cpu" if device == "auto" else device)
        about = {"preset": preset, "device": device, "weights": network.version}
        return evaluate_parts(network, *shapes, path, about, on_progress, raw_path)
    if name == "prior":
        from core.data.rig_files import UNSEEN_AUTHORS
        from core.evaluation.prior import evaluate_prior, prior_clips

        if rigs is None:
            raise M2VError("The protocol prior needs --rigs, the folder of rigged models to judge on.")
        chosen = prior_clips(rigs, UNSEEN_AUTHORS, rigs_per_identity)
        animator = animator_for(preset, device, False)
        about = describe(animator, preset, False)
        if pictures is not None:
            from core.experiments.drag_pictures import write_drag_pictures

            write_drag_pictures(animator, rigs, Path(pictures), on_progress)
        count = 8 if seeds is None else seeds
        return evaluate_prior(animator, chosen, path, count, model=about, on_progress=on_progress, raw=raw_path)
    if name == "ablations":
        from core.experiments.ablations import AblationSettings, evaluate_ablations

        asked = AblationSettings(train_clips, 3 if seeds is None else seeds, vertices=vertices)
        names = held_out_clips(clips, rigs, rigs_per_identity, rigs_unseen_motion, clips_unseen_motion or 0)
        return evaluate_ablations(
            config or preset, preset, names, path, asked, rows, overrides, device, on_progress, raw=raw_path
        )
    if name in SCAN_PROTOCOLS:
        if untrained:
            raise M2VError("Fresh weights reconstruct nothing, so a scan protocol cannot be run with --untrained.")
        from core.evaluation.reconstruction import Models, ReconstructionSettings, evaluate_reconstruction
        from core.pipelines.reconstruct import Reconstructor

        scan_settings = ReconstructionSettings(
            SCAN_PROTOCOLS[name].tasks,
            3 if seeds is None else seeds,
            quality=quality,
            steps=steps,
            vertices=vertices,
        )
        frames = max(task.frames for task in scan_settings.tasks)
        seen_identities = clips // 2 if clips_unseen_motion is None else clips_unseen_motion
        names = held_out_clips(clips, rigs, rigs_per_identity, rigs_unseen_motion, seen_identities, frames)
        models = Models(Reconstructor.load(preset, device), describe_files(preset, device))
        return evaluate_reconstruction(name, models, names, path, scan_settings, on_progress, raw_path)

    names = held_out_clips(clips, rigs, rigs_per_identity, rigs_unseen_motion, clips_unseen_motion or 0)
    animator = animator_for(preset, device, untrained)
    model = describe(animator, preset, untrained)
    if name == "autoencoders":
        from core.evaluation.autoencoder import evaluate_autoencoders

        return evaluate_autoencoders(
            animator, names, path, vertices=vertices, model=model, on_progress=on_progress, raw=raw_path
        )
    from core.evaluation.handles import ALL_TASKS, HandleSettings, evaluate_handles

    settings = HandleSettings(seeds=8 if seeds is None else seeds, quality=quality, steps=steps, vertices=vertices)
    if all_tasks:
        settings = dataclasses.replace(settings, tasks=ALL_TASKS)
    report = evaluate_handles(animator, names, path, settings, model, on_progress, raw_path)
    if pictures is None:
        return report
    from core.evaluation.handles_report import handles_markdown
    from core.experiments.handle_pictures import write_pictures

    index = write_pictures(animator, report, names, Path(pictures), settings, on_progress)
    report["pictures"] = Path(os.path.relpath(index, path.parent)).as_posix()
    write_report(path, report, handles_markdown(report))
    return report
