"""`m2v evaluate prior`: are the motions for one drag alive, likely and different, and do they keep the shape?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial as bound
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.bank.behaviours import behaviour_of
from core.bank.library import MotionLibrary
from core.data.rig_files import clip_author, rig_files
from core.errors import DataError
from core.evaluation.baselines import classical_motions
from core.evaluation.evaluation_clips import ClipName, EvaluationClip, evenly, load
from core.evaluation.fair_bank import without_own_pack
from core.evaluation.handles import handle_vertices
from core.evaluation.reporting import OnProgress, PartialResults, machine, page, rows_table, write_report
from core.io.gltf.clip_reader import clip_frames
from core.io.gltf.scene import GltfScene
from core.pipelines.animate import Animator
from core.pipelines.living_motion import estimate_share
from core.pipelines.request import SamplingOptions
from core.sequence import Handle, HandleTracks

ABOUT = (
    "Protocol: clips of rigs by authors whose work is in neither the training nor the bank used here. One handle is "
    "the vertex that moves farthest, with one key where it is farthest; full tracks are farthest-point vertices, keyed "
    "in every frame. Error alone would reward a static mesh, so all measures count together. Rows: *borrowing and "
    "denoiser* is the program (with one handle it leaves the denoiser out); then each alone; *ARAP with articulated "
    "noise* is what a shape gets that is like nothing in the bank; *biharmonic* and *arap* deform the mesh by the same "
    "handles. All lengths are relative to the true motion. *size*: mean displacement (1 is right). *best*: error of "
    "the best seed; a static mesh has 1. *apart*: mean distance between seeds. *mean*: error of the seeds' mean. "
    "*strain*: change of edge lengths, and *skate*: sliding of feet, over those of the true clips. *energy*: energy "
    "distance, 0 to 1, of all samples of an identity from all its clips, mean over identities with six clips or more "
    "(over all where none has); *floor*: what a perfect prior would show on so few clips. Of several full tracks, the "
    "aim is a mean of at most 0.70 (3) and 0.80 (10) of the better baseline's, clip by clip."
)
FRAMES = 17
GROUND = 0.02  # of the size: what is below this counts as on the ground
MEASURES = ("size", "best", "apart", "strain", "energy", "skate")
Share = Callable[[NDArray[np.float32], int], NDArray[np.float32]]
LESS_IS_BETTER = ("best", "strain", "energy", "skate", "mean")
AIMS = dict(zip(MEASURES, ("0.7 to 1.4", "≤ 0.85", "0.4 to 1", "≤ 1.1", "≤ 0.05", "≤ 1.1"), strict=True))
SHARES: dict[str, Share] = {
    "borrowing and denoiser": estimate_share,
    "borrowing alone": lambda certainty, _: np.zeros_like(certainty),
    "denoiser alone": lambda certainty, _: np.ones_like(certainty),
}
NOISE_ROW = "ARAP with articulated noise"
_ENERGY_POINTS = 64
_ENOUGH = 6  # clips of an identity; with fewer, the energy distance says little
FIGURES_VERSION = 3  # cached figures of other versions are ignored


@dataclass(frozen=True)
class PriorTask:
    """`count` farthest-point vertices keyed in every frame (`full`), or the one that moves farthest, keyed there."""

    name: str
    count: int
    full: bool

    def keys(self, clip: EvaluationClip) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Handle vertices [K] and the keyframe mask [K, T]; frame 0 is always keyed."""
        frames = len(clip.vertices)
        if self.full:
            vertices = handle_vertices(clip.vertices[0], self.count)
            return vertices, np.ones((len(vertices), frames), dtype=bool)
        moved = np.linalg.norm(clip.vertices - clip.vertices[:1], axis=-1)
        vertex = int(moved.max(axis=0).argmax())
        keyframe_mask = np.zeros((1, frames), dtype=bool)
        keyframe_mask[0, [0, int(moved[:, vertex].argmax())]] = True
        return np.array([vertex]), keyframe_mask


TASKS = (PriorTask("one handle", 1, False), PriorTask("3 full tracks", 3, True), PriorTask("10 full tracks", 10, True))


def prior_clips(directory: str | Path, authors: Sequence[str], per_rig: int) -> list[ClipName]:
    """Up to `per_rig` clips, evenly over the file, of every rig by one of `authors`."""
    result = []
    for path in rig_files(directory):
        if clip_author(path.stem) not in authors:
            continue
        clips = GltfScene(path).clips
        usable = [number for number, clip in enumerate(clips) if clip_frames(clip) >= FRAMES]
        picks = evenly(usable, per_rig)
        result += [
            ClipName(
                f"{path.stem}/{clips[n].name}", "rigs", behaviour_of(clips[n].name), path.parent.name, str(path), n
            )
            for n in dict.fromkeys(picks)
        ]
    if not result:
        raise DataError(f"{directory} holds no animated rig by {' or '.join(authors)}; give the folder of the rigs.")
    return result


def evaluate_prior(
    animator: Animator,
    clips: Sequence[ClipName],
    out: Path,
    seeds: int = 8,
    tasks: Sequence[PriorTask] = TASKS,
    model: Mapping[str, Any] | None = None,
    on_progress: OnProgress | None = None,
    raw: Path | None = None,
    tracks_per_rig: int | None = None,
) -> dict[str, Any]:
    """Measure every row on every clip; write the report `out` (JSON, .md beside it) and the clips' rows to `raw`.

    `tracks_per_rig` limits full tracks, which take the most time, to so many clips of each rig. Figures of an
    interrupted run are kept beside the report and used again for the same weights.

    Raises DataError where the model has no bank or no clip moves.
    """
    if animator.library is None:
        raise DataError("This model lacks a bank of motions or a part descriptor, so its prior cannot be measured.")
    model = dict(model or {})
    settings = {"version": FIGURES_VERSION, "seeds": seeds, "frames": FRAMES, "weights": model.get("weights", "")}
    partial = PartialResults(out.with_suffix(".partial.json"), {"rows": settings})
    figures: list[dict[str, Any]] = []
    motions: dict[tuple[str, str, str], list[NDArray]] = {}
    truths: dict[tuple[str, str, str], list[NDArray]] = {}
    tracked = _some_of_each_rig(clips, tracks_per_rig)
    for number, name in enumerate(clips):
        for task in tasks:
            if task.full and name.key not in tracked:
                continue
            compute = bound(_clip_rows, animator, name, task, seeds)
            for row, found in partial.recall("rows", f"{name.key}, {task.name}", compute).items():
                figures.append(
                    {"clip": name.key, "behaviour": name.split, "category": name.category}
                    | {"task": task.name, "row": row, **found["figures"]}
                )
                key = (Path(name.path).stem, task.name, row)
                motions.setdefault(key, []).append(np.array(found["samples"]))
                truths.setdefault(key, []).append(np.array(found["truth"]))
        if on_progress is not None:
            on_progress(number + 1, len(clips), name.key)
    if not figures:
        raise DataError("None of these clips moves enough to be evaluated; choose others.")
    summary = []
    for task in tasks:
        for row in dict.fromkeys(f["row"] for f in figures if f["task"] == task.name):
            mine = [f for f in figures if f["task"] == task.name and f["row"] == row]
            keys = [key for key in motions if key[1:] == (task.name, row)]
            keys = [key for key in keys if len(truths[key]) >= _ENOUGH] or keys
            pairs = [(np.concatenate(motions[key]), np.concatenate(truths[key])) for key in keys]
            energy = {
                "energy": float(np.mean([energy_distance(*pair) for pair in pairs])),
                "floor": float(np.mean([0.5 / len(samples) + 0.5 / len(true) for samples, true in pairs])),
                "identities": len(pairs),
            }
            summary.append({"task": task.name, "row": row, "clips": len(mine), **summarise(mine), **energy})
    report = {
        "protocol": "prior",
        "settings": {"seeds": seeds, "frames": FRAMES},
        "model": model,
        "machine": machine(),
        "summary": summary,
        "groups": _groups(figures),
        "clips": figures,
    }
    write_report(out, report, prior_markdown(report), raw)
    return report


def _some_of_each_rig(clips: Sequence[ClipName], count: int | None) -> set[str]:
    """Keys of up to `count` clips of every rig, evenly over those given; all without a count."""
    by_rig: dict[str, list[str]] = {}
    for name in clips:
        by_rig.setdefault(name.path, []).append(name.key)
    result: set[str] = set()
    for keys in by_rig.values():
        few = len(keys) if count is None else min(count, len(keys))
        result |= set(evenly(keys, few))
    return result


def _clip_rows(animator: Animator, name: ClipName, task: PriorTask, seeds: int) -> dict[str, Any]:
    """{row: figures, samples and truth as displacements} of one clip and task; empty where the clip hardly moves."""
    clip = load(name, FRAMES)
    if clip is None:
        return {}
    try:
        with without_own_pack(animator, name):
            rows = _rows(animator, clip, task, seeds)
    finally:
        animator.share = estimate_share
    flat = lambda vectors: vectors.round(5).tolist()  # noqa: E731
    truth = flat(_displacements(clip.vertices[None]))
    return {
        row: {"figures": measure(samples, clip), "samples": flat(_displacements(samples)), "truth": truth}
        for row, samples in rows.items()
    }


def _rows(animator: Animator, clip: EvaluationClip, task: PriorTask, seeds: int) -> dict[str, NDArray]:
    """Samples [S, T, V, 3] of every row."""
    vertices, keyframe_mask = task.keys(clip)
    tracks = tracks_of(clip, vertices, keyframe_mask)
    result: dict[str, NDArray] = {}
    for row, share in SHARES.items():
        if row == "borrowing alone" and not estimate_share(np.ones(1, np.float32), task.count).any():
            result[row] = result["borrowing and denoiser"]  # which leaves the denoiser out
            continue
        result[row] = samples_of(animator, clip, tracks, seeds, share)
    bank, animator.library = animator.library, MotionLibrary(())
    try:
        result[NOISE_ROW] = samples_of(animator, clip, tracks, seeds, SHARES["borrowing alone"])
    finally:
        animator.library = bank
    if task.full:
        targets = clip.vertices[:, vertices].swapaxes(0, 1)
        classical = classical_motions(clip.vertices[0], clip.faces, vertices, targets, keyframe_mask)
        result |= {name: classical[name][None] for name in ("biharmonic", "arap")}
    return result


def tracks_of(clip: EvaluationClip, vertices: NDArray[np.int64], keyframe_mask: NDArray[np.bool_]) -> HandleTracks:
    """Handles at `vertices` [K], keyed at the clip's own positions where `keyframe_mask` [K, T]."""
    handles = tuple(
        Handle(int(vertex), {int(frame): clip.vertices[frame, vertex] for frame in np.flatnonzero(mask) if frame})
        for vertex, mask in zip(vertices, keyframe_mask, strict=True)
    )
    return HandleTracks(handles, len(clip.vertices), clip.fps)


def samples_of(animator: Animator, clip: EvaluationClip, tracks: HandleTracks, seeds: int, share: Share) -> NDArray:
    """Samples [S, T, V, 3] with `share` as the denoiser's weight."""
    animator.share = share
    found = animator.animate(clip.mesh, tracks, SamplingOptions(seeds=seeds))
    return np.stack([sample.sequence.vertices for sample in found.samples])


def measure(samples: NDArray, clip: EvaluationClip) -> dict[str, float]:
    """The figures of one request; lengths over the true motion's mean displacement."""
    truth = clip.vertices
    scale = float(np.linalg.norm(truth[1:] - truth[:1], axis=-1).mean())
    errors = np.linalg.norm(samples - truth[None], axis=-1)[:, 1:].mean(axis=(1, 2)) / scale
    pairs = [
        np.linalg.norm(samples[i] - samples[j], axis=-1)[1:].mean() / scale
        for i in range(len(samples))
        for j in range(i)
    ]
    return {
        "size": float(np.linalg.norm(samples[:, 1:] - truth[:1], axis=-1).mean() / scale),
        "best": float(errors.min()),
        "single": float(errors.mean()),
        "mean": float(np.linalg.norm(samples.mean(axis=0) - truth, axis=-1)[1:].mean() / scale),
        "apart": float(np.mean(pairs)) if pairs else 0.0,
        "strain": float(np.mean([mean_strain(sample, clip.faces) for sample in samples])),
        "true_strain": mean_strain(truth, clip.faces),
        "skate": float(np.mean([mean_skate(sample) for sample in samples])),
        "true_skate": mean_skate(truth),
    }


def mean_strain(vertices: NDArray, faces: NDArray) -> float:
    """Mean relative change of edge lengths over frames [T, V, 3] against frame 0."""
    sides = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    a, b = np.unique(sides, axis=0).T
    length = np.linalg.norm(vertices[:, a] - vertices[:, b], axis=-1)
    usable = length[0] > 1e-9
    return float(np.abs(length[1:, usable] / length[0, usable] - 1).mean())


def mean_skate(vertices: NDArray) -> float:
    """Mean horizontal step per frame of vertices within 2% of the size of the ground; 0 where none is."""
    near = vertices[1:, :, 1] < vertices[0, :, 1].min() + GROUND
    steps = np.linalg.norm(np.diff(vertices[..., [0, 2]], axis=0), axis=-1)
    return float(steps[near].mean()) if near.any() else 0.0


def energy_distance(samples: NDArray, truths: NDArray) -> float:
    """(2 E|X - Y| - E|X - X'| - E|Y - Y'|) / (2 E|X - Y|) between two sets of vectors [n, d]; 0 for equal sets."""

    def mean_distance(a: NDArray, b: NDArray) -> float:
        return float(np.mean([np.linalg.norm(a - one, axis=-1).mean() for one in b]))

    across = mean_distance(samples, truths)
    inside = mean_distance(samples, samples) + mean_distance(truths, truths)
    return (2 * across - inside) / max(2 * across, 1e-12)


def _displacements(motions: NDArray) -> NDArray:
    """Displacements from frame 0 at some vertices, one vector per motion: [S, d]."""
    some = np.linspace(0, motions.shape[2] - 1, min(_ENERGY_POINTS, motions.shape[2])).round().astype(int)
    chosen = motions[:, :, some]
    return (chosen[:, 1:] - chosen[:, :1]).reshape(len(motions), -1)


def summarise(figures: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Geometric means over clips; strain and skate as ratios of sums, since some true clips have none at all."""
    geometric = lambda name: float(np.exp(np.mean([np.log(max(f[name], 1e-4)) for f in figures])))  # noqa: E731
    ratio = lambda name: sum(f[name] for f in figures) / max(sum(f[f"true_{name}"] for f in figures), 1e-9)  # noqa: E731
    return {name: geometric(name) for name in ("size", "best", "apart", "single", "mean")} | {
        "strain": float(ratio("strain")),
        "skate": float(ratio("skate")),
    }


def _groups(figures: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One handle, by behaviour and by category: geometric means over the clips of each."""
    chosen = [f for f in figures if f["task"] == TASKS[0].name and f["row"] == next(iter(SHARES))]
    result = []
    for group in ("behaviour", "category"):
        for value in sorted({f[group] for f in chosen}):
            mine = [f for f in chosen if f[group] == value]
            means = {name: float(np.exp(np.mean([np.log(max(f[name], 1e-4)) for f in mine]))) for name in MEASURES[:3]}
            result.append({"group": group, "value": value, "clips": len(mine), **means})
    return result


def prior_tables(report: Mapping[str, Any]) -> list[str]:
    """The tables of the report: one per task, then one handle by behaviour and by category."""
    blocks = []
    every = (*MEASURES[:5], "floor", "skate", "mean")
    for task in dict.fromkeys(row["task"] for row in report["summary"]):
        mine = [row for row in report["summary"] if row["task"] == task]
        names = [name for name in every if name in mine[0]]
        rows = [[row["row"], *(f"{row[name]:.3f}" for name in names)] for row in mine]
        if task == TASKS[0].name and "energy" in names:
            rows.append(["aim", *(AIMS.get(name, "") for name in names)])
        head = [f"{name} ↓" if name in LESS_IS_BETTER else name for name in names]
        blocks.append(rows_table([f"{task.capitalize()}, {mine[0]['clips']} clips", *head], rows))
    for group in dict.fromkeys(row["group"] for row in report.get("groups", ())):
        rows = [
            [row["value"], str(row["clips"]), *(f"{row[name]:.3f}" for name in MEASURES[:3])]
            for row in report["groups"]
            if row["group"] == group
        ]
        blocks.append(rows_table([f"One handle, by {group}", "clips", *MEASURES[:3]], rows))
    return blocks


def prior_markdown(report: Mapping[str, Any]) -> str:
    """The report as a page of Markdown."""
    return page("Prior", ABOUT, *prior_tables(report))
