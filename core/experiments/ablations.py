"""`m2v evaluate ablations`: the preset with one setting changed at a time, on equal budgets, over several seeds.

A training row trains its stages from fresh weights, on as many clips as every other row. It is measured by the
training's check on held-out clips (error of the posterior mean over that of the warm start, at the anchors) and through
the animation pipeline (vertex errors of draft and samples). A sampling row only changes how the shipped weights are
sampled. Finished runs are kept beside the report, so that a later call continues.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.checkpoint import checkpoint_path
from core.config import Config, config_to_dict, load_config
from core.errors import DataError, M2VError
from core.evaluation import metrics
from core.evaluation.evaluation_clips import ClipName, EvaluationClip, load_all
from core.evaluation.handles import TASKS, HandleSettings, HandleTask, our_figures
from core.evaluation.reporting import OnProgress, PartialResults, machine, write_report
from core.experiments.ablation_rows import DENOISER, HANDLES_ONLY, MOTION, NOT_BUILT, ROWS, SHAPE, Row
from core.experiments.ablation_training import TrainStage, train_in_a_process, train_row
from core.pipelines.animate import Animator

FIGURES_VERSION = 1  # cached figures of other versions are ignored
METHODS = ("draft", "single", "mean_of_seeds", "best_of_seeds")
PARTS = 100  # steps of the progress bar for one run


@dataclass(frozen=True)
class AblationSettings:
    """The budget of a row, and what is measured."""

    train_clips: int = 1200  # seen by every stage that a row trains
    seeds: int = 3  # trainings of a row, or samplings
    samples: int = 4  # motions per clip and task
    tasks: tuple[HandleTask, ...] = TASKS
    frames: int = 17
    vertices: int = 1500  # of a procedural mesh, about

    def validate(self) -> None:
        if self.train_clips < 1 or self.seeds < 1:
            raise M2VError("An ablation needs at least one training clip and one seed.")

    def handles(self, row: Row, seed: int) -> HandleSettings:
        """How the motions of a run are sampled; seeds of a sampling row differ in their noise."""
        samples, first = (1, 0) if row.quality == "draft" else (self.samples, 1000 * seed)
        return HandleSettings(
            self.tasks, samples, first, row.quality, row.steps, self.frames, self.vertices, crossings=False
        )


def choose_rows(names: Sequence[str]) -> list[Row]:
    """The rows of these names (all, if there are none) and their controls, in the table's order. Raises M2VError."""
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        raise M2VError(f"There is no ablation {unknown[0]!r}; choose from {', '.join(ROWS)}.")
    wanted = set(names or ROWS)
    while more := {ROWS[name].control for name in wanted} - wanted:
        wanted |= more
    return [row for row in ROWS.values() if row.name in wanted]


def evaluate_ablations(
    config: str,
    weights: str,
    names: Sequence[ClipName],
    out: Path,
    settings: AblationSettings | None = None,
    rows: Sequence[str] = (),
    overrides: Sequence[str] = (),
    device: str = "auto",
    on_progress: OnProgress | None = None,
    train_stage: TrainStage = train_in_a_process,
    raw: Path | None = None,
) -> dict[str, Any]:
    """Run the rows, write the report `out` (JSON, with .md and a plot beside it) and the runs to `raw`; return it all.

    `config` is a preset's name or a YAML file, `weights` a preset or folder with trained weights; `overrides` apply to
    every row. Raises M2VError for unknown rows, settings that do not fit and missing weights.
    """
    from core.experiments.ablations_report import ablations_markdown, plot_ablations, summarise

    settings = settings or AblationSettings()
    settings.validate()
    chosen = choose_rows(rows)
    clips = list(load_all(names, settings.frames, settings.vertices))
    if not clips:
        raise DataError("None of these clips moves enough to be evaluated; choose others.")
    run = _Ablations(config, weights, clips, out, settings, tuple(overrides), device, train_stage, on_progress)
    results = run.all(chosen)
    report: dict[str, Any] = {
        "protocol": "ablations",
        "preset": config,
        "overrides": list(overrides),
        "handles_only": list(HANDLES_ONLY),
        "settings": asdict(settings) | {"tasks": [task.name for task in settings.tasks]},
        "batch": run.config.training.batch,
        "machine": machine(),
        "sources": Counter(clip.name.source for clip in clips),
        "clips": [_about(clip) for clip in clips],
        "rows": results,
        "runs": {row["name"]: row.pop("runs") for row in results},
        "not_built": NOT_BUILT,
    }
    report["summary"] = summarise(report)
    plot = plot_ablations(report, out.with_suffix(".png"))
    write_report(out, report, ablations_markdown(report, plot), raw)
    return report


@dataclass
class _Ablations:
    """One evaluation of all rows, and its progress."""

    name: str
    weights: str
    clips: list[EvaluationClip]
    out: Path
    settings: AblationSettings
    overrides: tuple[str, ...]
    device: str
    train_stage: TrainStage
    on_progress: OnProgress | None
    done: int = 0
    total: int = 0

    def __post_init__(self) -> None:
        self.config = load_config(self.name, self.overrides)
        stages = (SHAPE, MOTION, DENOISER)
        landed = {stage: checkpoint_path(self.weights, stage) for stage in stages}
        self.landed = {stage: path for stage, path in landed.items() if path.is_file()}
        data = {
            "version": FIGURES_VERSION,
            "clips": {clip.name.key: clip.fingerprint for clip in self.clips},
            "tasks": [task.name for task in self.settings.tasks],
            "samples": self.settings.samples,
        }
        hashes = {stage: hashlib.sha256(path.read_bytes()).hexdigest()[:16] for stage, path in self.landed.items()}
        frozen = {stage: value for stage, value in hashes.items() if stage != DENOISER}
        self.partial = PartialResults(
            self.out.with_suffix(".partial.json"),
            {
                "trained": data | {"train_clips": self.settings.train_clips, "weights": frozen},
                "sampled": data | {"weights": hashes},
            },
        )

    def all(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        """Every row with the figures of its seeds, or the reason why it was not run."""
        self.total = len(rows) * self.settings.seeds * PARTS
        # One seed of every row before the next, so that a run that ends early has the whole table with fewer seeds.
        found: dict[str, dict[str, Any]] = {row.name: {**asdict(row), "runs": []} for row in rows}
        for seed in range(self.settings.seeds):
            for row in rows:
                result = found[row.name]
                reason = result.get("not_run") or self._obstacle(row)
                if reason:
                    result["not_run"] = reason
                else:
                    result["runs"].append(self._run(row, seed))
                self.done += PARTS
                self._tell(0.0, f"{row.name}, seed {seed}")
        return list(found.values())

    def _obstacle(self, row: Row) -> str | None:
        needed = [stage for stage in (SHAPE, MOTION, DENOISER) if stage not in row.stages]
        if row.stages:
            needed = [stage for stage in needed if stage != DENOISER]
        missing = [stage for stage in needed if stage not in self.landed]
        if missing:
            return f"there are no trained weights of {missing[0]}"
        if row.data == "both" and not (self.config.data.rigs and self.config.data.procedural > 0):
            return "training has one source of clips only; --set data.rigs=DIR adds rigs"
        return None

    def _run(self, row: Row, seed: int) -> dict[str, Any]:
        if not row.stages:
            key = _digest({"sampling": asdict(self.settings.handles(row, seed))})
            return self.partial.recall("sampled", f"{key}|{seed}", lambda: self._sample(row, seed))
        changes = (*self.overrides, *HANDLES_ONLY, *row.changes)
        config = load_config(self.name, changes)
        # Rows with the same configuration, because their change is the preset's own, are trained once.
        key = _digest({"config": config_to_dict(config), "stages": row.stages, "quality": row.quality})
        return self.partial.recall("trained", f"{key}|{seed}", lambda: self._train(row, config, changes, seed, key))

    def _train(self, row: Row, config: Config, changes: Sequence[str], seed: int, key: str) -> dict[str, Any]:
        folder = self.out.with_suffix(".runs") / f"{key}-{seed}"
        folder.mkdir(parents=True, exist_ok=True)

        def on_step(stage: str, step: int, steps: int) -> None:
            share = (row.stages.index(stage) + step / steps) / len(row.stages)
            self._tell(0.9 * share, f"{row.name}, seed {seed}: {stage} {step}/{steps}")

        measured = train_row(
            self.name, changes, row.stages, self.weights, folder, self.settings.train_clips, config.training.batch,
            seed, self.train_stage, on_step,
        )  # fmt: skip
        figures = self._measure(Animator.load(str(folder), self.device), row, 0, f"seed {seed}")
        shutil.rmtree(folder, ignore_errors=True)  # large, and only the figures are needed
        return {"seed": seed, "training": measured, "clips": figures}

    def _sample(self, row: Row, seed: int) -> dict[str, Any]:
        animator = Animator.load(self.weights, self.device)
        return {"seed": seed, "training": {}, "clips": self._measure(animator, row, seed, f"seed {seed}")}

    def _measure(self, animator: Animator, row: Row, seed: int, what: str) -> dict[str, Any]:
        """{clip: {task: figures}} through the pipeline; a row without diffusion has only a draft."""
        settings = self.settings.handles(row, seed)
        methods = METHODS[:1] if row.quality == "draft" else METHODS
        figures: dict[str, Any] = {}
        for number, clip in enumerate(self.clips):
            figures[clip.name.key] = {
                task.name: _compact(our_figures(animator, clip, task, settings), methods)
                for task in self.settings.tasks
            }
            self._tell(0.9 + 0.1 * (number + 1) / len(self.clips), f"{row.name}, {what}: {clip.name.key}")
        return figures

    def _tell(self, share: float, what: str) -> None:
        if self.on_progress is not None:
            self.on_progress(self.done + int(PARTS * min(share, 0.99)), self.total, what)


def _about(clip: EvaluationClip) -> dict[str, Any]:
    name, vertices = clip.name, clip.vertices
    identity = {"clip": name.key, "source": name.source, "split": name.split, "category": name.category}
    sizes = {"motion": metrics.motion_size(vertices), "jitter": metrics.jitter(vertices)}
    return {**identity, **sizes, "fingerprint": clip.fingerprint}


def _compact(figures: Mapping[str, Any], methods: Sequence[str]) -> dict[str, Any]:
    """The figures of a clip that the table needs."""
    kept: dict[str, Any] = {
        name: {key: round(figures[name][key], 6) for key in ("error", "jitter", "volume_change")} for name in methods
    }
    kept["seconds"] = round(figures["single" if "single" in methods else "draft"]["seconds"], 4)
    if "single" in methods:
        kept["mean_pairwise_distance"] = round(figures["seeds"]["mean_pairwise_distance"], 6)
    return kept


def _digest(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]
