"""`run_protocol` runs an evaluation protocol by name, for `m2v evaluate` and `python -m core.evaluation`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import M2VError
from core.evaluation.evaluation_clips import ClipName, moving_rig_clips, procedural_clips, rig_clips
from core.evaluation.reporting import OnProgress, write_report
from core.observation_kinds import SCAN_PROTOCOLS
from core.pipelines.request import MAX_SEEDS, Quality

if TYPE_CHECKING:
    from core.pipelines.animate import Animator

PROTOCOLS = {
    "prior": "one drag, several motions: are they alive, likely and different? On rigs by authors never trained on",
    "parts": "which point of a body is which part, and where it faces; on rigs by authors never trained on",
    "handles": "handle editing compared with ARAP and biharmonic deformation, on held-out motions",
    "ablations": "the preset with one setting changed at a time, trained on equal budgets",
    "autoencoders": "the autoencoders alone, on held-out clips",
    **{name: protocol.about for name, protocol in SCAN_PROTOCOLS.items()},
}


def held_out_clips(
    clips: int,
    rigs: str | Path | None = None,
    rigs_per_identity: int = 1,
    rigs_unseen_motion: int = 0,
    clips_unseen_motion: int = 0,
    frames: int = 17,
    rigs_left_out: int = 0,
) -> list[ClipName]:
    """The clips to evaluate on, always the same list: procedural ones, then those of the rigs in the folder `rigs`.

    `clips` have unseen identities and motions, `clips_unseen_motion` unseen motions only. Rig clips need `frames`
    frames; `rigs_left_out` of them are by authors left out of training.
    """
    names = procedural_clips(clips, "unseen_identity") if clips else []
    names += procedural_clips(clips_unseen_motion, "unseen_motion") if clips_unseen_motion else []
    if rigs is not None:
        names += rig_clips(rigs, "unseen_identity", rigs_per_identity, frames=frames)
        if rigs_unseen_motion:
            names += rig_clips(rigs, "unseen_motion", 1, rigs_unseen_motion, frames)
        if rigs_left_out:
            names += moving_rig_clips(rigs, "unseen_author", rigs_left_out, frames)
    return names


@dataclass(frozen=True)
class ProtocolOptions:
    """Options of `m2v evaluate`; the command line's help says which protocols use each."""

    preset: str = "small"
    device: str = "auto"
    untrained: bool = False
    clips: int = 24
    clips_unseen_motion: int | None = None  # half of `clips` for scans, else 0
    rigs: str | Path | None = None  # a folder of rigged GLB files
    rigs_per_identity: int = 1
    tracks_per_identity: int | None = None  # of them, for the prior's full tracks
    rigs_unseen_motion: int = 0
    rigs_left_out: int = 0  # clips of authors left out of training
    samples: int = 100_000  # points of every measure of a scan
    seeds: int | None = None  # 3 for scans and ablations (where they count trainings), else 8
    quality: Quality = "normal"
    steps: int | None = None
    vertices: int = 1500
    all_tasks: bool = False
    pictures: str | Path | None = None  # a folder for images of results
    rows: Sequence[str] = ()  # this and the rest are for ablations
    train_clips: int = 1200
    overrides: Sequence[str] = ()
    config: str | None = None  # a preset or YAML file; `preset` where left out


Report = dict[str, Any]


@dataclass(frozen=True)
class _ProtocolRun:
    """One run of a protocol: its options, and where the report and the rows of every clip go."""

    name: str
    asked: ProtocolOptions
    out: Path
    raw: Path | None
    on_progress: OnProgress | None

    def seeds(self, usual: int) -> int:
        return usual if self.asked.seeds is None else self.asked.seeds

    def clips(self, seen_identities: int = 0, frames: int = 17) -> list[ClipName]:
        asked = self.asked
        seen = seen_identities if asked.clips_unseen_motion is None else asked.clips_unseen_motion
        of_rigs = (asked.rigs, asked.rigs_per_identity, asked.rigs_unseen_motion)
        return held_out_clips(asked.clips, *of_rigs, seen, frames, asked.rigs_left_out)

    def animator(self) -> tuple[Animator, Report]:
        """The models, and their description for the report."""
        from core.evaluation.models import animator_for, describe

        animator = animator_for(self.asked.preset, self.asked.device, self.asked.untrained)
        return animator, describe(animator, self.asked.preset, self.asked.untrained)


def run_protocol(
    name: str,
    out: str | Path,
    asked: ProtocolOptions | None = None,
    raw: str | Path | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Run a protocol of PROTOCOLS, write `out` (JSON) with a Markdown report beside it, and return the report.

    The report returned has the rows of every clip; they are written only to `raw`. An interrupted run, started again
    with the same arguments, continues. Raises M2VError for an unknown protocol, missing weights, or a folder that
    cannot be written.
    """
    asked, path = asked or ProtocolOptions(), Path(out)
    if name not in PROTOCOLS:
        raise M2VError(f"There is no protocol {name!r}; choose one of {', '.join(PROTOCOLS)}.")
    if path.suffix != ".json":
        raise M2VError(f"The report {path} must end in .json; a readable .md is written beside it.")
    if asked.seeds is not None and not 1 <= asked.seeds <= MAX_SEEDS:
        raise M2VError(f"{asked.seeds} seeds is out of range; ask for 1 to {MAX_SEEDS}.")
    runs = {"prior": _prior, "parts": _parts, "handles": _handles, "ablations": _ablations,
            "autoencoders": _autoencoders}  # fmt: skip
    return runs.get(name, _scans)(_ProtocolRun(name, asked, path, None if raw is None else Path(raw), on_progress))


def _parts(run: _ProtocolRun) -> Report:
    from core.evaluation.part_matching import evaluate_parts, left_out_rigs
    from core.pipelines.part_descriptions import PartDescriptions

    preset, device = run.asked.preset, run.asked.device
    shapes = left_out_rigs(run.asked.rigs)
    network = PartDescriptions.load(preset, "cpu" if device == "auto" else device)
    about = {"preset": preset, "device": device, "weights": network.version}
    return evaluate_parts(network, *shapes, run.out, about, run.on_progress, run.raw)


def _prior(run: _ProtocolRun) -> Report:
    from core.data.rig_files import UNSEEN_AUTHORS
    from core.evaluation.models import animator_for, describe
    from core.evaluation.prior import evaluate_prior, prior_clips

    asked = run.asked
    if asked.rigs is None:
        raise M2VError("The protocol prior needs --rigs, the folder of rigged models to judge on.")
    chosen = prior_clips(asked.rigs, UNSEEN_AUTHORS, asked.rigs_per_identity)
    animator = animator_for(asked.preset, asked.device, False)
    about = describe(animator, asked.preset, False)
    if asked.pictures is not None:
        from core.experiments.drag_pictures import write_drag_pictures

        write_drag_pictures(animator, asked.rigs, Path(asked.pictures), run.on_progress)
    return evaluate_prior(
        animator,
        chosen,
        run.out,
        run.seeds(8),
        model=about,
        on_progress=run.on_progress,
        raw=run.raw,
        tracks_per_rig=asked.tracks_per_identity,
    )


def _ablations(run: _ProtocolRun) -> Report:
    from core.experiments.ablations import AblationSettings, evaluate_ablations

    asked = run.asked
    settings = AblationSettings(asked.train_clips, run.seeds(3), vertices=asked.vertices)
    return evaluate_ablations(
        asked.config or asked.preset, asked.preset, run.clips(), run.out, settings, asked.rows, asked.overrides,
        asked.device, run.on_progress, raw=run.raw,
    )  # fmt: skip


def _scans(run: _ProtocolRun) -> Report:
    from core.evaluation.models import describe_files
    from core.evaluation.reconstruction import Models, ReconstructionSettings, evaluate_reconstruction
    from core.pipelines.reconstruct import Reconstructor

    asked = run.asked
    if asked.untrained:
        raise M2VError("Fresh weights reconstruct nothing, so a scan protocol cannot be run with --untrained.")
    settings = ReconstructionSettings(
        SCAN_PROTOCOLS[run.name].tasks,
        run.seeds(3),
        quality=asked.quality,
        steps=asked.steps,
        vertices=asked.vertices,
        samples=asked.samples,
    )
    names = run.clips(asked.clips // 2, max(task.frames for task in settings.tasks))
    models = Models(Reconstructor.load(asked.preset, asked.device), describe_files(asked.preset, asked.device))
    return evaluate_reconstruction(run.name, models, names, run.out, settings, run.on_progress, run.raw)


def _autoencoders(run: _ProtocolRun) -> Report:
    from core.evaluation.autoencoder import evaluate_autoencoders

    names, (animator, model) = run.clips(), run.animator()
    return evaluate_autoencoders(
        animator, names, run.out, vertices=run.asked.vertices, model=model, on_progress=run.on_progress, raw=run.raw
    )


def _handles(run: _ProtocolRun) -> Report:
    from core.evaluation.handles import ALL_TASKS, TASKS, HandleSettings, evaluate_handles
    from core.evaluation.handles_report import handles_markdown
    from core.experiments.handle_pictures import write_pictures

    asked = run.asked
    names, (animator, model) = run.clips(), run.animator()
    settings = HandleSettings(
        ALL_TASKS if asked.all_tasks else TASKS, run.seeds(8), quality=asked.quality, steps=asked.steps,
        vertices=asked.vertices,
    )  # fmt: skip
    report = evaluate_handles(animator, names, run.out, settings, model, run.on_progress, run.raw)
    if asked.pictures is not None:
        index = write_pictures(animator, report, names, Path(asked.pictures), settings, run.on_progress)
        report["pictures"] = Path(os.path.relpath(index, run.out.parent)).as_posix()
        write_report(run.out, report, handles_markdown(report))
    return report
