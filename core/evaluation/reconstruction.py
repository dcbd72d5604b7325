"""The scan protocols of `m2v evaluate`: reconstructions compared with true motions and baselines.

For every held-out clip a scan is simulated, and every method gets the same one. Baselines are the Poisson and ARAP
pipeline and parts of our own method: where the bank's bodies complete the scan, the networks without bodies and the
best body without networks; elsewhere, the networks in one call without diffusion (paper, Table 6). All get frame 0's
true box (centre 0, longest side 1), as in the paper.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial as bound
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from core.errors import DataError, MeshError
from core.evaluation import metrics
from core.evaluation.body_alone import bodies_may_help, reconstruct_by_body
from core.evaluation.evaluation_clips import ClipName, load
from core.evaluation.fair_bank import without_own_pack
from core.evaluation.reconstruction_metrics import (
    SAMPLES,
    Truth,
    drift,
    half_overlapping_seams,
    half_spread,
    seam_jumps,
)
from core.evaluation.reporting import OnProgress, PartialResults, machine, origin, page, write_report
from core.evaluation.scan_baseline import BaselineSettings, reconstruct_classically
from core.evaluation.scan_tasks import observe, seen_half
from core.geometry.operators import edge_graph
from core.observation_kinds import ScanTask, kind_of
from core.pipelines.request import Quality, ReconstructionOptions, ReconstructionSet, SamplingOptions
from core.sequence import MeshSequence, Normalization, ScanSequence

Method = Literal["ours", "without_diffusion", "without_bodies", "body_alone", "poisson_arap"]
METHODS = 4  # most methods compared on one scan
Compute = Callable[["Truth", ScanSequence, ScanTask], dict[str, Any]]
WINDOW = 17  # frames that the models see at once
FIGURES_VERSION = 4  # cached figures of other versions are ignored
TRUE_FRAME = Normalization(center=np.zeros(3), scale=1.0)  # the clips are in normalised space already


class Reconstructs(Protocol):
    """The evaluated model: `core.pipelines.reconstruct.Reconstructor`, or anything with the same method."""

    def reconstruct(self, scans: ScanSequence, options: ReconstructionOptions) -> ReconstructionSet: ...


@dataclass(frozen=True)
class ReconstructionSettings:
    """Settings of the model and of the data."""

    tasks: tuple[ScanTask, ...]
    seeds: int = 3
    spread_seeds: int = 3  # seeds compared with each other for half bodies
    quality: Quality = "normal"
    steps: int | None = None
    vertices: int = 1500  # of a procedural mesh, about
    samples: int = SAMPLES  # points of every measure
    resolution: int = 128
    baseline: BaselineSettings = field(default_factory=BaselineSettings)

    def options(self, seeds: int, quality: Quality | None = None) -> ReconstructionOptions:
        sampling = SamplingOptions(seeds, 0, quality or self.quality, self.steps)
        return ReconstructionOptions(sampling, TRUE_FRAME, self.resolution)


@dataclass(frozen=True)
class Models:
    """The evaluated model and its description for the report; `weights` in it identifies the model."""

    ours: Reconstructs
    about: Mapping[str, Any] = field(default_factory=dict)


def evaluate_reconstruction(
    protocol: str,
    models: Models,
    clips: Sequence[ClipName],
    out: Path,
    settings: ReconstructionSettings,
    on_progress: OnProgress | None = None,
    raw: Path | None = None,
) -> dict[str, Any]:
    """Evaluate on every clip, write the report `out` (JSON, .md beside it) and the clips' rows to `raw`; return it all.

    Figures of an interrupted run are used again where weights, settings, motion and observation are the same. Raises
    DataError without a single usable clip.
    """
    from core.evaluation.reconstruction_report import ABOUT, reconstruction_tables, summarise

    run = _Run(models, settings, _partial(out, models, settings), on_progress, len(clips))
    results = [result for name in clips if (result := run.clip(name)) is not None]
    if not results:
        raise DataError("None of the clips moves enough, or is long enough, to be evaluated; choose other clips.")
    described = asdict(settings) | {"tasks": [asdict(task) for task in settings.tasks]}
    report: dict[str, Any] = {
        "protocol": protocol,
        "settings": described,
        "model": dict(models.about),
        "machine": machine(),
        "summary": summarise(results, [task.name for task in settings.tasks]),
        "clips": results,
    }
    title = protocol.replace("-", " ").capitalize()
    write_report(out, report, page(title, ABOUT, origin(report), *reconstruction_tables(report)), raw)
    return report


def _partial(out: Path, models: Models, settings: ReconstructionSettings) -> PartialResults:
    data = {"version": FIGURES_VERSION, "samples": settings.samples}
    sampling = {key: getattr(settings, key) for key in ("seeds", "spread_seeds", "quality", "steps", "resolution")}
    ours = data | sampling | {"weights": models.about.get("weights", "")}
    return PartialResults(
        out.with_suffix(".partial.json"),
        {
            "truth": data,
            "poisson_arap": data | {"baseline": asdict(settings.baseline)},
            "ours": ours,
            "without_diffusion": ours,
            "without_bodies": ours,
            "body_alone": data | {"baseline": asdict(settings.baseline)},
        },
    )


@dataclass
class _Run:
    """One run of a protocol and its progress."""

    models: Models
    settings: ReconstructionSettings
    partial: PartialResults
    on_progress: OnProgress | None
    clip_count: int
    done: int = 0

    def clip(self, name: ClipName) -> dict[str, Any] | None:
        """All tasks of one clip; None where it moves too little or is too short."""
        loaded: dict[int, Truth | None] = {}
        tasks: dict[str, Any] = {}
        about: dict[str, Any] = {}
        for task in self.settings.tasks:
            if task.frames not in loaded:
                clip = load(name, task.frames, self.settings.vertices)
                loaded[task.frames] = None if clip is None else Truth(clip, self.settings.samples)
            truth = loaded[task.frames]
            if truth is None:
                self._advance(f"{name.key}: left out", METHODS)
                continue
            about = about or self.partial.recall(
                "truth", f"{name.key}|{truth.clip.fingerprint}", bound(describe, truth)
            )
            scans = observe(task, truth.clip)
            key = f"{name.key}|{truth.clip.fingerprint}|{task.name}|{scan_fingerprint(scans)}"
            tasks[task.name] = {}
            methods = self._methods(scans)
            for method, compute in methods.items():
                compute_here = bound(compute, truth, scans, task)
                with without_own_pack(self.models.ours, name):
                    figures = self.partial.recall(method, key, bound(_or_failure, compute_here))
                tasks[task.name][method] = figures
                self._advance(f"{name.key} {task.name}: {method.replace('_', ' ')}")
            self.done += METHODS - len(methods)
        if not tasks:
            return None
        identity = {"clip": name.key, "source": name.source, "split": name.split, "category": name.category}
        return {**identity, **about, "tasks": tasks}

    def _methods(self, scans: ScanSequence) -> dict[Method, Compute]:
        """{name: how its figures are computed} of the methods compared on these scans."""
        settings, ours = self.settings, self.models.ours
        methods: dict[Method, Compute] = {"ours": bound(sampled_figures, ours, settings, settings.quality)}
        if bodies_may_help(scans) and getattr(ours, "bodies", None) is not None:
            methods["without_bodies"] = bound(_without_bodies, ours, settings)
            methods["body_alone"] = bound(_body_alone, ours, settings)
        else:
            methods["without_diffusion"] = bound(sampled_figures, ours, settings, "draft")
        if kind_of(scans).measured:
            methods["poisson_arap"] = bound(classical_figures, settings)
        return methods

    def _advance(self, what: str, steps: int = 1) -> None:
        self.done += steps
        if self.on_progress is not None:
            total = self.clip_count * len(self.settings.tasks) * METHODS
            self.on_progress(self.done, total, what)


def _or_failure(compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The figures, or {"failed": reason} where a method finds no surface in this scan."""
    try:
        return compute()
    except MeshError as error:
        return {"failed": str(error)}


def describe(truth: Truth) -> dict[str, Any]:
    """What the report says of a clip: size, motion, the sampling floor of the Chamfer distance, and so on."""
    clip = truth.clip
    about = {
        "vertices": clip.vertices.shape[1],
        "frames": truth.frames,
        "motion": metrics.motion_size(clip.vertices),
        "share_in_box": truth.share_in_box(),
        "cd_floor": truth.chamfer_floor(),
    }
    return about | (seam_figures(clip.vertices) if truth.frames > WINDOW else {})


def sampled_figures(
    model: Reconstructs,
    settings: ReconstructionSettings,
    quality: Quality,
    truth: Truth,
    scans: ScanSequence,
    task: ScanTask,
) -> dict[str, Any]:
    """Figures of every seed (a draft has one), their means, and CPU seconds per seed.

    For half bodies, also how much `spread_seeds` seeds differ on the seen and the unseen half.
    """
    scored = 1 if quality == "draft" else settings.seeds
    spread = task.half and quality != "draft"
    count = max(scored, settings.spread_seeds if spread else 1)
    started = time.process_time()
    result = model.reconstruct(scans, settings.options(count, quality))
    seconds = (time.process_time() - started) / count
    sequences = [sample.sequence for sample in result.samples]
    figures = _figures([sequence_figures(truth, sequence) for sequence in sequences[:scored]], seconds)
    if spread:
        halves = half_spread(sequences, *seen_half(truth.clip))
        figures["spread"] = {"seeds": len(sequences), **asdict(halves), "ratio": halves.ratio}
    return figures


def classical_figures(
    settings: ReconstructionSettings, truth: Truth, scans: ScanSequence, task: ScanTask
) -> dict[str, Any]:
    """Figures of the Poisson and ARAP pipeline."""
    return _timed_figures(truth, lambda: reconstruct_classically(scans, settings.baseline))


def _without_bodies(
    model: Any, settings: ReconstructionSettings, truth: Truth, scans: ScanSequence, task: ScanTask
) -> dict[str, Any]:
    """Figures of one seed of the networks without bodies."""
    banks = model.bodies, getattr(model, "motions", None)
    model.bodies = model.motions = None
    try:
        return _timed_figures(truth, lambda: model.reconstruct(scans, settings.options(1)).samples[0].sequence)
    finally:
        model.bodies, model.motions = banks


def _body_alone(
    model: Any, settings: ReconstructionSettings, truth: Truth, scans: ScanSequence, task: ScanTask
) -> dict[str, Any]:
    """Figures of the bank's best body."""
    return _timed_figures(truth, lambda: reconstruct_by_body(model.bodies, scans, settings.baseline))


def _timed_figures(truth: Truth, make: Callable[[], MeshSequence]) -> dict[str, Any]:
    started = time.process_time()
    sequence = make()
    return _figures([sequence_figures(truth, sequence)], time.process_time() - started)


def sequence_figures(truth: Truth, sequence: MeshSequence) -> dict[str, float]:
    """IoU, CD and Corr of one sequence, its jitter over the true motion's, and its number of separate parts.

    For sequences longer than a window, also the drift and the mean and largest jump at window seams.
    """
    scores = truth.score(sequence)
    true_jitter = metrics.jitter(truth.clip.vertices)
    label = connected_components(edge_graph(sequence.faces, sequence.vertices.shape[1]), directed=False)[1]
    figures = {
        **scores.mean(),
        "iou_frame_0": float(scores.iou[0]),
        "jitter_over_truth": metrics.jitter(sequence.vertices) / true_jitter if true_jitter > 0 else float("nan"),
        "parts": float(len(np.unique(label[sequence.faces]))),
    }
    if truth.frames > WINDOW:
        figures |= {"drift": drift(scores.chamfer, WINDOW), **seam_figures(sequence.vertices)}
    return figures


def seam_figures(vertices: NDArray) -> dict[str, float]:
    """Mean and largest step of vertices [T, V, 3] across a window seam, relative to the median step."""
    jumps = seam_jumps(vertices, half_overlapping_seams(len(vertices), WINDOW - 1))
    return {"seam_jump": float(jumps.mean()), "largest_seam_jump": float(jumps.max())}


def scan_fingerprint(scans: ScanSequence) -> str:
    """A hash of everything observed."""
    digest = hashlib.sha256(f"{scans.modality} {scans.tracked} {scans.partial}".encode())
    for values in (*scans.points, scans.dense):
        if values is not None:
            digest.update(str(values.shape).encode() + np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()[:12]


def _figures(seeds: list[dict[str, float]], seconds: float) -> dict[str, Any]:
    means = {key: float(np.mean([figures[key] for figures in seeds])) for key in seeds[0]}
    return {**means, "seconds": seconds, "seeds": seeds}
