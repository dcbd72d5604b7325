"""Summarises handle-editing figures over many clips, and makes the tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from core.evaluation.metrics import ratio_of_means
from core.evaluation.reporting import Cell, Report, group_title, origin, page, rows_table, table

BASELINES = ("biharmonic", "arap")
TITLES = {
    "no_motion": "no motion",
    "arap": "ARAP",
    "biharmonic": "biharmonic",
    "arap_poses": "linear between ARAP poses",
    "draft": "draft",
    "single": "single seed",
    "mean_of_seeds": "mean of seeds",
    "best_of_seeds": "best of seeds",
}
ABOUT = (
    "Protocol: some vertices of a held-out clip (farthest points of the rest mesh) are given as handles at their true "
    "positions, and the rest of the motion is predicted. The baselines, biharmonic deformation and ARAP, get the same "
    "handles in the same run; where a handle is free, they move it linearly in time. Of a rig, nothing of its pack is "
    "in the bank. Columns from *no motion* to *best of seeds* are vertex errors: mean distance from the true motion "
    "over the moving frames, in thousandths of the shape's longest side (less is better). Ratios are ratios of means "
    "over clips. The draft is the posterior mean; a single seed of a perfect posterior has about 1.4 times its "
    "root-mean-square error. Jitter: third difference in time of a single seed, over the true motion's. Seeds differ "
    "by: mean distance between seeds, over the motion. Volume change: mean |V/V0 - 1|. Faces newly crossing: the share "
    "that intersect others in the middle and the last frame, minus that share in frame 0."
)
# Aims of the handle tasks: {task: (method, reference, at most)}.
AIMS = {
    "full_10": ("mean_of_seeds", "over_better_baseline", 0.8),
    "full_3": ("mean_of_seeds", "over_better_baseline", 0.7),
    "last_5": ("best_of_seeds", "over_arap_in_betweens", 0.6),
}
REFERENCES = {
    "over_better_baseline": "over the better of ARAP and biharmonic",
    "over_arap_in_betweens": "over ARAP with linear in-betweens",
}
Clip = Mapping[str, Any]


def summarise(clips: Sequence[Clip], tasks: Sequence[str]) -> dict[str, Any]:
    """{group: {task: figures}} for every source and split; ratios are ratios of means over clips."""
    summary: dict[str, Any] = {}
    for group in dict.fromkeys((clip["source"], clip["split"]) for clip in clips):
        members = [clip for clip in clips if (clip["source"], clip["split"]) == group]
        names = sorted({clip["category"] for clip in members})
        categories = {name: [clip for clip in members if clip["category"] == name] for name in names}
        summary["/".join(group)] = {
            task: task_summary(members, task)
            | {"by_category": {name: _category_summary(clips, task) for name, clips in categories.items()}}
            for task in tasks
        }
    return summary


def _category_summary(clips: Sequence[Clip], task: str) -> dict[str, Any]:
    figures = task_summary(clips, task)
    return {
        "clips": len(clips),
        "errors": {name: errors["mean"] for name, errors in figures["errors"].items()},
        "over_better_baseline": figures["errors"]["mean_of_seeds"]["over_better_baseline"],
    }


def task_summary(clips: Sequence[Clip], task: str) -> dict[str, Any]:
    """Means, deviations over clips and ratios of one task over some clips."""
    motion = _column(clips, lambda clip: clip["motion"])
    true_jitter = _column(clips, lambda clip: clip["jitter"])
    methods = [name for name in TITLES if name in clips[0]["tasks"][task]]
    errors = {name: _column(clips, lambda clip, m=name: clip["tasks"][task][m]["error"]) for name in methods}
    better = min(BASELINES, key=lambda name: float(errors[name].mean()))
    in_between = min((n for n in ("arap", "arap_poses") if n in errors), key=lambda name: float(errors[name].mean()))
    per_clip = np.minimum(*(errors[name] for name in BASELINES))

    def seeds(key: str) -> np.ndarray:
        return _column(clips, lambda clip: clip["tasks"][task]["seeds"][key])

    return {
        "clips": len(clips),
        "motion": float(motion.mean()),
        "true_volume_change": float(_column(clips, lambda clip: clip["volume_change"]).mean()),
        "true_crossings_gained": float(_column(clips, lambda clip: clip["crossings_gained"]).mean()),
        "errors": {
            name: {
                "mean": float(values.mean()),
                "std": float(values.std()),
                "over_motion": ratio_of_means(values, motion),
                "over_better_baseline": ratio_of_means(values, errors[better]),
                "over_better_baseline_of_each_clip": ratio_of_means(values, per_clip),
                "over_arap_in_betweens": ratio_of_means(values, errors[in_between]),
                "over_jitter_of_truth": ratio_of_means(
                    _column(clips, lambda clip, m=name: clip["tasks"][task][m]["jitter"]), true_jitter
                ),
                "volume_change": float(
                    _column(clips, lambda clip, m=name: clip["tasks"][task][m]["volume_change"]).mean()
                ),
                "crossings_gained": float(
                    _column(clips, lambda clip, m=name: clip["tasks"][task][m]["crossings_gained"]).mean()
                ),
            }
            for name, values in errors.items()
        },
        "better_baseline": better,
        "arap_in_betweens": in_between,
        "pairwise_distance_over_motion": ratio_of_means(seeds("mean_pairwise_distance"), motion),
        "handle_error_before_solve": float(seeds("handle_error_before_solve").mean()),
        "handle_error_after_solve": float(seeds("handle_error_after_solve").max()),
        "seconds_draft": float(np.median(_column(clips, lambda clip: clip["tasks"][task]["draft"]["seconds"]))),
        "seconds_seeds": float(np.median(_column(clips, lambda clip: clip["tasks"][task]["single"]["seconds"]))),
    }


def handles_markdown(report: Report) -> str:
    return page("Handle editing", ABOUT, origin(report), *handles_tables(report))


def handles_tables(report: Report) -> list[str]:
    """For each group of clips: a table of all tasks, one of the aims, and one by category; Markdown, block by block."""
    blocks = []
    if report.get("pictures"):
        blocks.append(f"[The ten best and the ten worst clips as images]({report['pictures']})")
    for group, tasks in report["summary"].items():
        blocks.append(f"**{group_title(group)}, {next(iter(tasks.values()))['clips']} clips.**")
        methods = [name for name in TITLES if any(name in task["errors"] for task in tasks.values())]
        columns: dict[str, Cell] = {"Task": lambda row: task_title(row[0])}
        columns |= {TITLES[name]: lambda row, m=name: _thousandths(row[1]["errors"].get(m)) for name in methods}
        columns |= {
            "mean over better baseline ↓": lambda row: (
                f"{row[1]['errors']['mean_of_seeds']['over_better_baseline']:.3f}"
            ),
            "best over ARAP in-betweens ↓": lambda row: (
                f"{row[1]['errors']['best_of_seeds']['over_arap_in_betweens']:.3f}"
            ),
            "jitter (1 is right)": lambda row: f"{row[1]['errors']['single']['over_jitter_of_truth']:.2f}",
            "seeds differ by": lambda row: f"{row[1]['pairwise_distance_over_motion']:.2f}",
            "volume change ↓: ARAP, single": lambda row: _both(row[1], "volume_change"),
            "faces newly crossing ↓: ARAP, single": lambda row: _both(row[1], "crossings_gained", 100, "%"),
        }
        blocks += [table(tasks.items(), columns), aims_table(tasks), _category_table(tasks)]
    return [block for block in blocks if block]


def _thousandths(errors: Report | None) -> str:
    return "/" if errors is None else f"{1000 * errors['mean']:.1f}"


def _both(figures: Report, key: str, factor: float = 1.0, unit: str = "") -> str:
    """ARAP's figure and that of a single seed, or `/` where a report lacks one."""
    both = [figures["errors"][name].get(key) for name in ("arap", "single")]
    return "/" if None in both else ", ".join(f"{factor * value:.3f}{unit}" for value in both)


def _category_table(tasks: Mapping[str, Any]) -> str:
    """Mean of seeds over the better baseline, by category and task; empty where there is one category."""
    first = next(iter(tasks.values()))["by_category"]
    columns: dict[str, Cell] = {
        "Mean of seeds over better baseline ↓ (clips)": lambda name: (
            f"{name.replace('_', ' ')} ({first[name]['clips']})"
        )
    }
    columns |= {
        task_title(task): lambda name, f=figures: f"{f['by_category'][name]['over_better_baseline']:.2f}"
        for task, figures in tasks.items()
    }
    return table(first, columns) if len(first) > 1 else ""


def aims_table(tasks: Mapping[str, Any]) -> str:
    """Aims and measurements for one group of clips, for the tasks that were run."""
    rows: list[tuple[str, float, float]] = []
    for task, (method, reference, most) in AIMS.items():
        if task in tasks:
            what = f"{task_title(task)}: {method.replace('_', ' ')} {REFERENCES[reference]}"
            rows.append((what, tasks[task]["errors"][method][reference], most))
    categories = {
        name.replace("_", " "): group["over_better_baseline"]
        for name, group in tasks.get("full_3", {}).get("by_category", {}).items()
    }
    if len(categories) > 1:
        worst = max(categories, key=categories.__getitem__)
        rows.append((f"{task_title('full_3')}, the worst category ({worst})", categories[worst], 1.0))
    for task, figures in tasks.items():
        jitter = figures["errors"]["single"]["over_jitter_of_truth"]
        rows.append((f"{task_title(task)}: jitter of a single seed over the truth's", jitter, 1.3))
    cells = [(what, f"{value:.3f}", f"{most:g}", "yes" if value <= most else "no") for what, value, most in rows]
    return rows_table(["Aims (ratios of means over clips)", "measured", "at most", "reached"], cells)


def task_title(task: str) -> str:
    kind, count = task.rsplit("_", 1)
    plural = "handle" if count == "1" else "handles"
    return {
        "full": f"{count} full track{'s' if count != '1' else ''}",
        "keyframes": f"{count} {plural} at three keyframes",
        "last": f"{count} {plural} in the last frame only",
    }[kind]


def _column(clips: Sequence[Clip], value: Callable[..., float]) -> np.ndarray:
    return np.array([value(clip) for clip in clips], dtype=np.float64)
