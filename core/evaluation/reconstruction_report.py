"""Summarises reconstruction figures over many clips, and makes their tables.

Figures are averaged over clips for each seed, then over seeds. `std` is the deviation of these means over seeds (0 for
a method with one result), `std_over_clips` that over clips.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np

from core.errors import DataError
from core.evaluation.reconstruction_metrics import PUBLISHED
from core.evaluation.reporting import Cell, Report, group_title, rows_table, spread, table
from core.observation_kinds import KINDS

TITLES = {
    "ours": "ours",
    "without_diffusion": "ours w/o diffusion (one call)",
    "without_bodies": "without bodies (one seed)",
    "body_alone": "best body alone",
    "one_latent": "one global latent (M = 1)",  # no longer run; stands in an old report
    "poisson_arap": "Poisson + ARAP registration",
}
SCORES = {"iou": "IoU", "cd": "CD", "corr": "Corr"}
MORE = {
    "iou_frame_0": "IoU of frame 0 ↑",
    "jitter_over_truth": "jitter over truth (1 is right)",
    "parts": "separate parts",
    "drift": "CD last 17 / first 17",
    "seam_jump": "seam step / median",
    "largest_seam_jump": "largest seam step / median",
}
ABOUT = (
    "Protocol of all scan sections: a scan of a held-out clip is simulated, and every method gets the same scan with "
    "frame 0's true centre and scale. Scores are means over frames and clips, ± their standard deviation over seeds. "
    "IoU: overlap of the volumes, in the box of side 1.1 around frame 0's centre. CD: Chamfer distance of the "
    "surfaces. Corr: distance of each vertex from the true track of the point nearest to it in frame 0. CD and Corr "
    f"are in units of frame 0's longest side; columns x{PUBLISHED:.0f} have the units of published tables. The "
    "sampling floor is the CD between two samples of the truth. Tracked points: the same surface point has the same "
    "index in every frame. Jitter: third difference in time, over the true motion's. Separate parts: connected pieces "
    "of the surface."
)
# Aims for procedural clips of unseen identity: {protocol: {score: (sense, threshold)}}.
GOALS = {
    "sparse-points": {"iou": (">=", 0.75), "cd": ("<=", 0.010), "corr": ("<=", 0.02)},
    "depth-scans": {"iou": (">=", 0.68), "cd": ("<=", 0.014), "corr": ("<=", 0.022)},
    "half-body": {"iou": (">=", 0.7), "corr": ("<=", 0.015)},
    "voxels": {"iou": (">=", 0.78)},
    "images": {"iou": (">=", 0.45), "cd": ("<=", 0.03)},
}
# The same for rigs of authors left out of the training and the bank.
AUTHOR_GOALS = {
    "depth-scans": {"iou": (">=", 0.6), "cd": ("<=", 0.018), "corr": ("<=", 0.028)},
    "half-body": {"iou": (">=", 0.6), "corr": ("<=", 0.02)},
    "voxels": {"iou": (">=", 0.7)},
    "images": {"iou": (">=", 0.4), "cd": ("<=", 0.035)},
}
Clip = Mapping[str, Any]


def summarise(clips: Sequence[Clip], tasks: Sequence[str]) -> dict[str, Any]:
    """{group: {task: {clips, motion, cd_floor, methods: {method: figures}}}} for every source and split."""
    summary: dict[str, Any] = {}
    for group in dict.fromkeys((clip["source"], clip["split"]) for clip in clips):
        members = [clip for clip in clips if (clip["source"], clip["split"]) == group]
        summary["/".join(group)] = {
            task: task_summary([clip for clip in members if task in clip["tasks"]], task)
            for task in tasks
            if any(task in clip["tasks"] for clip in members)
        }
    return summary


def task_summary(clips: Sequence[Clip], task: str) -> dict[str, Any]:
    """Means and deviations of every method on one task, over the clips on which every method found a surface.

    A method that never found one is left out. `failures` counts the clips in which a method found none.
    Raises DataError where no clip is left.
    """
    methods = [name for name in TITLES if all(name in clip["tasks"][task] for clip in clips)]
    failures = {name: sum("failed" in clip["tasks"][task][name] for clip in clips) for name in methods}
    methods = [name for name in methods if failures[name] < len(clips)]
    clips = [clip for clip in clips if not any("failed" in clip["tasks"][task][name] for name in methods)]
    if "ours" not in methods or not clips:
        raise DataError(f"No clip has a surface from every method for {task}; the model needs more training.")
    result: dict[str, Any] = {
        "clips": len(clips),
        "failures": failures,
        "frames": clips[0]["frames"],
        "motion": _mean([clip["motion"] for clip in clips]),
        "cd_floor": _mean([clip["cd_floor"] for clip in clips]),
        "share_in_box": _mean([clip["share_in_box"] for clip in clips]),
        "methods": {name: _method_summary([clip["tasks"][task][name] for clip in clips]) for name in methods},
    }
    if all("seam_jump" in clip for clip in clips):
        result["true_seam_jump"] = _mean([clip["seam_jump"] for clip in clips])
        result["true_largest_seam_jump"] = _mean([clip["largest_seam_jump"] for clip in clips])
    result["ours_leads"] = {
        score: all(_better(score, result["methods"]["ours"], other) for other in _baselines(result)) for score in SCORES
    }
    return result


def _method_summary(figures: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    summary: dict[str, Any] = {}
    for score in (*SCORES, *(name for name in MORE if name in figures[0])):
        # [clips, seeds]; every clip has as many seeds
        table = np.array([[seed[score] for seed in clip["seeds"]] for clip in figures])
        over_seeds = table.mean(axis=0)
        summary[score] = {
            "mean": float(table.mean()),
            "std": float(over_seeds.std()),
            "std_over_clips": float(table.mean(axis=1).std()),
        }
    summary["seeds"] = len(figures[0]["seeds"])
    summary["seconds"] = float(np.median([clip["seconds"] for clip in figures]))
    if "spread" in figures[0]:
        halves = {half: _mean([clip["spread"][half] for clip in figures]) for half in ("seen", "unseen")}
        ratio = halves["unseen"] / halves["seen"] if halves["seen"] > 0 else float("nan")
        summary["spread"] = {**halves, "ratio": ratio, "seeds": figures[0]["spread"]["seeds"]}
    return summary


def reconstruction_tables(report: Report) -> list[str]:
    """The aims, then the tables of every task; Markdown, block by block."""
    summary, blocks = report["summary"], []
    guessed = {kind.name: kind.files.title for kind in KINDS if not kind.measured}
    for kind in {task["kind"] for task in report["settings"]["tasks"]} & set(guessed):
        blocks.append(f"Poisson and ARAP need points, so they are left out for {guessed[kind]}.")
    blocks.append(rows_table(["What", "Measured", "Aim", "Reached"], _goals(report, summary)))
    for task in report["settings"]["tasks"]:
        groups = {name: tasks[task["name"]] for name, tasks in summary.items() if task["name"] in tasks}
        if groups:
            blocks += [f"**{task['title']}**", *_task_tables(groups), *_failures(groups)]
    return blocks


def _goals(report: Report, summary: Mapping[str, Any]) -> list[list[str]]:
    """One row per aim of this protocol, for the clips that were run."""
    protocol = report["protocol"]
    titles = {task["name"]: task["title"] for task in report["settings"]["tasks"]}
    rows: list[list[str]] = []

    def goal(what: str, value: float, sense: str, threshold: float) -> None:
        reached = value >= threshold if sense == ">=" else value <= threshold
        rows.append([what, f"{value:.4g}", f"{sense} {threshold:g}", "yes" if reached else "no"])

    for group, tasks in summary.items():
        title = group_title(group)
        for task, figures in tasks.items():
            ours = figures["methods"]["ours"]
            what = f"{title}, {titles[task]}" if len(titles) > 1 else title
            goals = {"procedural/unseen_identity": GOALS, "rigs/unseen_author": AUTHOR_GOALS}.get(group, {})
            if protocol in goals:
                for score, (sense, threshold) in goals[protocol].items():
                    goal(f"{what}: {SCORES[score]}", ours[score]["mean"], sense, threshold)
            if "spread" in ours:
                spread = ours["spread"]
                halves = f"unseen half ({spread['unseen']:.4f}) over that on the seen one ({spread['seen']:.4f})"
                goal(f"{what}: distance of {spread['seeds']} seeds on the {halves}", spread["ratio"], ">=", 3.0)
            if "drift" in ours:
                goal(f"{what}: CD of the last 17 frames over the first 17", ours["drift"]["mean"], "<=", 1.3)
                goal(f"{what}: step across a window seam over the median step", ours["seam_jump"]["mean"], "<=", 1.2)
            if len(figures["methods"]) > 1:
                lead = [SCORES[score] for score, yes in figures["ours_leads"].items() if yes]
                rows.append([f"{what}: better than every baseline in", ", ".join(lead) or "none", "IoU, CD, Corr",
                             "yes" if len(lead) == len(SCORES) else "no"])  # fmt: skip
            if figures["frames"] == 17:
                goal(f"{what}: CPU seconds per sequence", ours["seconds"], "<=", 12.0)
    return rows


def _task_tables(groups: Mapping[str, Any]) -> list[str]:
    """A table of the scores and one of further figures, a row per group and method in each."""
    records: list[tuple[str, str, Report]] = []
    for name, group in groups.items():
        title, number = group_title(name), str(group["clips"])
        records += [(f"{title}, {TITLES[method]}", number, row) for method, row in group["methods"].items()]
        true = {key: {"mean": group[f"true_{key}"]} for key in MORE if f"true_{key}" in group}
        records.append((f"{title}, sampling floor", number, {"cd": {"mean": group["cd_floor"]}, **true}))
    first: dict[str, Cell] = {"Clips, method": itemgetter(0), "number": itemgetter(1)}
    scores = first | {
        "IoU ↑": lambda row: spread(row[2].get("iou"), 1, 100, "%"),
        "CD ↓": lambda row: spread(row[2].get("cd"), 4),
        "Corr ↓": lambda row: spread(row[2].get("corr"), 4),
        f"CD x{PUBLISHED:.0f} ↓": lambda row: spread(row[2].get("cd"), 3, PUBLISHED),
        f"Corr x{PUBLISHED:.0f} ↓": lambda row: spread(row[2].get("corr"), 3, PUBLISHED),
        "CPU s": lambda row: f"{row[2]['seconds']:.1f}" if "seconds" in row[2] else "/",
    }
    shown = [key for key in MORE if any(key in figures for _, _, figures in records)]
    more = first | {MORE[key]: lambda row, k=key: spread(row[2].get(k), 3) for key in shown}
    return [table(records, scores), table([row for row in records if shown[0] in row[2] or shown[-1] in row[2]], more)]


def _failures(groups: Mapping[str, Any]) -> list[str]:
    """Lines on how often a method found no surface; means leave those clips out."""
    return [
        f"{group_title(name)}: {TITLES[method]} found no surface in {count} clips; no mean here includes them."
        for name, group in groups.items()
        for method, count in group["failures"].items()
        if count
    ]


def _baselines(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [figures for name, figures in result["methods"].items() if name != "ours"]


def _better(score: str, ours: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    mine, theirs = ours[score]["mean"], other[score]["mean"]
    return bool(mine > theirs if score == "iou" else mine < theirs)


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")
