"""`m2v evaluate handles`: handle editing compared with true motions and classical baselines.

For every held-out clip and task, the handles are farthest-point vertices of the rest mesh, keyed at their true
positions in some frames; everything else is predicted. Ours are the draft (posterior mean), each seed, the mean of all
seeds and the best one, as the pipeline returns them. Baselines get the same handles in the same run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial as bound
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError
from core.evaluation import metrics
from core.evaluation.baselines import classical_motions
from core.evaluation.evaluation_clips import ClipName, EvaluationClip, load
from core.evaluation.fair_bank import without_own_pack
from core.evaluation.reporting import OnProgress, PartialResults, machine, write_report
from core.evaluation.self_intersections import crossing_faces
from core.pipelines.request import Quality, SampleSet, SamplingOptions
from core.sequence import Handle, HandleTracks, SourceMesh


class Animates(Protocol):
    """The evaluated model: `core.pipelines.animate.Animator`, or anything with the same method."""

    def animate(self, mesh: SourceMesh, tracks: HandleTracks, options: SamplingOptions) -> SampleSet: ...


@dataclass(frozen=True)
class HandleTask:
    """How many handles there are and in which frames they are keyed."""

    handles: int
    frames: str  # "full": every frame, "keyframes": a third, two thirds and the last, "last": the last frame only

    @property
    def name(self) -> str:
        return f"{self.frames}_{self.handles}"

    def keyed(self, frames: int) -> list[int]:
        """The frames after frame 0 in which every handle is keyed."""
        last = frames - 1
        if self.frames == "full":
            return list(range(1, frames))
        if self.frames == "keyframes":
            return sorted({max(1, round(last / 3)), max(1, round(2 * last / 3)), last})
        return [last]


FIGURES_VERSION = 2  # cached figures of other versions are ignored
TASKS = (HandleTask(10, "full"), HandleTask(3, "full"), HandleTask(5, "last"))
ALL_TASKS = tuple(HandleTask(count, kind) for kind in ("full", "keyframes", "last") for count in (1, 3, 5, 10))


@dataclass(frozen=True)
class HandleSettings:
    """Settings of the model and of the data."""

    tasks: tuple[HandleTask, ...] = TASKS
    seeds: int = 8
    first_seed: int = 0
    quality: Quality = "normal"
    steps: int | None = None
    frames: int = 17
    vertices: int = 1500  # of a procedural mesh, about
    crossings: bool = True  # count self-intersections too, which takes longer than sampling


def evaluate_handles(
    animator: Animates,
    clips: Sequence[ClipName],
    out: Path,
    settings: HandleSettings | None = None,
    model: Mapping[str, Any] | None = None,
    on_progress: OnProgress | None = None,
    raw: Path | None = None,
) -> dict[str, Any]:
    """Evaluate on every clip, write the report `out` (JSON, .md beside it) and the clips' rows to `raw`; return it all.

    `model` describes the weights (preset, hash): it goes into the report, and figures kept from an
    interrupted run are used again only for the same description. Raises DataError without a single usable clip.
    """
    from core.evaluation.handles_report import handles_markdown, summarise

    settings = settings or HandleSettings()
    model = dict(model or {})
    data = {"version": FIGURES_VERSION}
    sampling = {k: v for k, v in asdict(settings).items() if k != "tasks"}
    partial = PartialResults(
        out.with_suffix(".partial.json"),
        {"baselines": data, "ours": data | sampling | {"weights": model.get("weights", "")}},
    )
    results = []
    total = len(clips) * len(settings.tasks)
    for number, name in enumerate(clips):
        result = _evaluate_clip(animator, name, settings, partial, on_progress, number * len(settings.tasks), total)
        if result is not None:
            results.append(result)
    if not results:
        raise DataError("None of these clips moves enough to be evaluated; choose others.")
    report = {
        "protocol": "handles",
        "settings": asdict(settings),
        "model": model,
        "machine": machine(),
        "summary": summarise(results, [task.name for task in settings.tasks]),
        "clips": results,
    }
    write_report(out, report, handles_markdown(report), raw)
    return report


def handle_vertices(rest: NDArray, count: int) -> NDArray[np.int64]:
    """`count` farthest-point vertices [K] of the rest mesh [V, 3]; always the same, and more begin with fewer."""
    import torch

    from core.geometry.farthest_points import farthest_point_indices

    points = torch.from_numpy(np.ascontiguousarray(rest, dtype=np.float32))
    return farthest_point_indices(points[None], min(count, len(rest)))[0].numpy()


def task_tracks(clip: EvaluationClip, task: HandleTask) -> HandleTracks:
    """The handles of a task with their true positions as keys."""
    frames = len(clip.vertices)
    handles = [
        Handle(int(vertex), {frame: clip.vertices[frame, vertex] for frame in task.keyed(frames)})
        for vertex in handle_vertices(clip.vertices[0], task.handles)
    ]
    return HandleTracks(tuple(handles), frames, clip.fps)


def _evaluate_clip(
    animator: Animates,
    name: ClipName,
    settings: HandleSettings,
    partial: PartialResults,
    on_progress: OnProgress | None,
    done: int,
    total: int,
) -> dict[str, Any] | None:
    """Figures of all tasks on one clip, from the partial results where they hold them; None where it hardly moves."""
    clip = load(name, settings.frames, settings.vertices)
    tasks: dict[str, Any] = {}
    for offset, task in enumerate(settings.tasks):
        if clip is not None:
            # The motion itself is part of the key: a change of the generator or the reader starts over.
            key = f"{name.key}|{clip.fingerprint}|{task.name}"
            baselines = partial.recall("baselines", key, bound(baseline_figures, clip, task))
            with without_own_pack(animator, name):
                ours = partial.recall("ours", key, bound(our_figures, animator, clip, task, settings))
            tasks[task.name] = {**baselines, **ours}
        if on_progress is not None:
            on_progress(done + offset + 1, total, f"{name.key} {task.name}")
    return None if clip is None else {**_identity(name), **_describe(clip), "tasks": tasks}


def _identity(name: ClipName) -> dict[str, Any]:
    return {"clip": name.key, "source": name.source, "split": name.split, "category": name.category}


def _describe(clip: EvaluationClip) -> dict[str, Any]:
    return {
        "vertices": clip.vertices.shape[1],
        "motion": metrics.motion_size(clip.vertices),
        "jitter": metrics.jitter(clip.vertices),
        "volume_change": metrics.volume_change(clip.vertices, clip.faces),
        "crossings_gained": crossings_gained(clip.vertices, clip),
    }


def baseline_figures(clip: EvaluationClip, task: HandleTask) -> dict[str, Any]:
    """{baseline: {error, jitter, volume_change, crossings_gained}} of every classical baseline."""
    tracks = task_tracks(clip, task)
    targets, keyframe_mask = tracks.constraints(clip.vertices[0])
    handles = np.array([handle.vertex for handle in tracks.handles])
    motions = classical_motions(clip.vertices[0], clip.faces, handles, targets, keyframe_mask)
    return {baseline: _figures(motion, clip) for baseline, motion in motions.items()}


def our_figures(animator: Animates, clip: EvaluationClip, task: HandleTask, settings: HandleSettings) -> dict[str, Any]:
    """Figures of the draft, of a single seed (mean over seeds), of the mean of seeds and of the best seed."""
    tracks, mesh = task_tracks(clip, task), clip.mesh
    draft_set = animator.animate(mesh, tracks, SamplingOptions(seeds=1, quality="draft"))
    options = SamplingOptions(settings.seeds, settings.first_seed, settings.quality, settings.steps)
    sample_set = animator.animate(mesh, tracks, options)
    samples = np.stack([sample.sequence.vertices for sample in sample_set.samples]).astype(np.float64)
    figures_of = bound(_figures, clip=clip, crossings=settings.crossings)
    errors = metrics.seed_errors(samples, clip.vertices)
    per_seed = [figures_of(sample) for sample in samples]
    single = {key: float(np.mean([figures[key] for figures in per_seed])) for key in per_seed[0]}
    return {
        "draft": figures_of(draft_set.samples[0].sequence.vertices)
        | {"seconds": draft_set.seconds, "handle_error_before_solve": draft_set.samples[0].soft_handle_error},
        "single": single | {"std_over_seeds": float(errors.std()), "seconds": sample_set.seconds},
        "mean_of_seeds": figures_of(samples.mean(axis=0)),
        "best_of_seeds": per_seed[int(errors.argmin())],
        "seeds": {
            "errors": [round(float(error), 6) for error in errors],
            "mean_pairwise_distance": metrics.mean_pairwise_distance(samples),
            "handle_error_before_solve": float(np.mean([s.soft_handle_error for s in sample_set.samples])),
            "handle_error_after_solve": float(max(s.handle_error for s in sample_set.samples)),
        },
    }


def _figures(motion: NDArray, clip: EvaluationClip, crossings: bool = True) -> dict[str, float]:
    figures = {
        "error": metrics.vertex_error(motion, clip.vertices),
        "jitter": metrics.jitter(motion),
        "volume_change": metrics.volume_change(motion, clip.faces),
    }
    return figures | ({"crossings_gained": crossings_gained(motion, clip)} if crossings else {})


def crossings_gained(motion: NDArray, clip: EvaluationClip) -> float:
    """Share of faces that intersect others in the middle and the last frame (mean), minus that share in frame 0."""
    frames = (len(motion) // 2, len(motion) - 1)
    counts = [crossing_faces(motion[frame], clip.faces) for frame in frames]
    return float(np.mean(counts) - clip.crossing_faces) / len(clip.faces)
