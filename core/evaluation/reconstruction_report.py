"""What the reconstruction figures of many clips say together: summaries, and tables laid out as the paper's.

Figures are first averaged over clips for each seed, then over seeds: `std` is the deviation of those means over seeds
(0 for a method with one answer), `std_over_clips` that of clips.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from core.errors import DataError
from core.evaluation.reconstruction_metrics import PUBLISHED
from core.evaluation.reporting import markdown_table

TITLES = {
    "ours": "ours",
    "without_diffusion": "ours w/o diffusion (one call)",
    "one_latent": "one global latent (M = 1)",
    "poisson_arap": "Poisson + ARAP registration",
}
SPLITS = {"unseen_motion": "Unseen Motion", "unseen_identity": "Unseen Individual"}
SOURCES = {"procedural": "Procedural", "rigs": "Rigs"}
SCORES = {"iou": "IoU", "cd": "CD", "corr": "Corr"}
_MORE = ("iou_frame_0", "jitter_over_truth", "parts", "drift", "seam_jump", "largest_seam_jump")
# What is asked of procedural clips of unseen identity: {protocol: {score: (sense, threshold)}}.
GOALS = {
    "sparse-points": {"iou": (">=", 0.75), "cd": ("<=", 0.010), "corr": ("<=", 0.02)},
    "depth-scans": {"iou": (">=", 0.6), "cd": ("<=", 0.02)},
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
    """Means and deviations of one task, method by method, over the clips on which every method found a surface.

    A method that found none in any clip is left out instead; `failures` counts what was not found.
    """
    methods = [name for name in TITLES if all(name in clip["tasks"][task] for clip in clips)]
    failures = {name: sum("failed" in clip["tasks"][task][name] for clip in clips) for name in methods}
    methods = [name for name in methods if failures[name] < len(clips)]
    clips = [clip for clip in clips if not any("failed" in clip["tasks"][task][name] for name in methods)]
    if "ours" not in methods or not clips:
        raise DataError(f"No clip has a surface by every method for {task}; the model needs more training.")
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
        score: all(_better(score, result["methods"]["ours"], other) for other in _peers(result)) for score in SCORES
    }
    return result


def _method_summary(figures: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    summary: dict[str, Any] = {}
    for score in (*SCORES, *(name for name in _MORE if name in figures[0])):
        # [clips, seeds]; every clip has as many seeds
        table = np.array([[seed[score] for seed in clip["seeds"]] for clip in figures])
        over_seeds = table.mean(axis=0)
        summary[score] = {
            "mean": float(table.mean()),
            "std": float(over_seeds.std()),
            "std_over_clips": float(table.mean(axis=1).std()),
        }
        if score in ("cd", "corr"):
            summary[f"{score}_published"] = {key: PUBLISHED * value for key, value in summary[score].items()}
    summary["seeds"] = len(figures[0]["seeds"])
    summary["seconds"] = float(np.median([clip["seconds"] for clip in figures]))
    if "spread" in figures[0]:
        halves = {half: _mean([clip["spread"][half] for clip in figures]) for half in ("seen", "unseen")}
        ratio = halves["unseen"] / halves["seen"] if halves["seen"] > 0 else float("nan")
        summary["spread"] = {**halves, "ratio": ratio, "seeds": figures[0]["spread"]["seeds"]}
    return summary


def reconstruction_markdown(report: Mapping[str, Any]) -> str:
    """The report as Markdown: the agreed figures first, then a table per task in the paper's layout."""
    settings, model, machine = report["settings"], report["model"], report["machine"]
    summary = report["summary"]
    lines = [
        f"# {report['protocol'].replace('-', ' ').capitalize()}",
        "",
        f"Preset `{model.get('preset', '?')}` on {model.get('device', 'cpu')}, {settings['seeds']} seeds, quality "
        f"{settings['quality']}; {machine['processor']}, {machine['cores']} cores, {machine['threads']} threads, torch "
        f"{machine['torch']}.",
        "",
        "Mean ± standard deviation over seeds of the mean over clips. CD and Corr in units of frame 0's longest side; "
        f"the columns x{PUBLISHED:.0f} are the units of published tables. {settings['samples']:,} points per measure; "
        "CD of the truth from itself (the sampling floor) is in the table. Every method gets the same input and frame "
        "0's true centre and scale. IoU is taken in the box of side 1.1 around frame 0's centre.",
    ]
    if any(task["kind"] in ("tracked", "half_body") for task in settings["tasks"]):
        lines += ["", "**The points are tracked**: the same surface point has the same index in every frame."]
    if report["one_latent"] is None:
        lines += ["", "The model with one global latent (M = 1) was left out: no folder with its weights was given."]
    if any(task["kind"] == "images" for task in settings["tasks"]):
        lines += ["", "The Poisson and ARAP pipeline needs points, so it is left out for images."]
    lines += ["", markdown_table(["What", "Measured", "Asked for", "Reached"], _goals(report["protocol"], summary))]
    for task in settings["tasks"]:
        if any(task["name"] in group for group in summary.values()):
            lines += ["", f"## {task['title']}", "", _paper_table(summary, task["name"])]
            lines += ["", _more_table(summary, task["name"]), *_failures(summary, task["name"])]
    return "\n".join(lines) + "\n"


def _goals(protocol: str, summary: Mapping[str, Any]) -> list[list[str]]:
    """One row per agreed figure of this protocol, as far as its clips were run."""
    rows: list[list[str]] = []

    def goal(what: str, value: float, sense: str, threshold: float) -> None:
        reached = value >= threshold if sense == ">=" else value <= threshold
        rows.append([what, f"{value:.4g}", f"{sense} {threshold:g}", "yes" if reached else "no"])

    for group, tasks in summary.items():
        title = group_title(group)
        for task, figures in tasks.items():
            ours = figures["methods"]["ours"]
            what = f"{title}, {task.replace('_', ' ')}"
            if group == "procedural/unseen_identity" and protocol in GOALS:
                for score, (sense, threshold) in GOALS[protocol].items():
                    goal(f"{what}: {SCORES[score]}, raw", ours[score]["mean"], sense, threshold)
            if "spread" in ours:
                spread = ours["spread"]
                halves = f"unseen half ({spread['unseen']:.4f}) over the seen half's ({spread['seen']:.4f})"
                goal(f"{what}: spread of the {halves}, {spread['seeds']} seeds", spread["ratio"], ">=", 2.0)
            if "drift" in ours:
                goal(f"{what}: CD of the last 17 frames over the first 17", ours["drift"]["mean"], "<=", 1.3)
                goal(f"{what}: step across a window seam over the median step", ours["seam_jump"]["mean"], "<=", 1.2)
            if len(figures["methods"]) > 1:
                lead = [SCORES[score] for score, yes in figures["ours_leads"].items() if yes]
                rows.append([f"{what}: ahead of every peer in", ", ".join(lead) or "none", "IoU, CD, Corr",
                             "yes" if len(lead) == len(SCORES) else "no"])  # fmt: skip
            if figures["frames"] == 17:
                goal(f"{what}: seconds for one sequence, warm", ours["seconds"], "<=", 10.0)
    return rows


def _paper_table(summary: Mapping[str, Any], task: str) -> str:
    """Dataset and method down, splits and scores across, as the paper's Tables 2 to 5."""
    columns = ("IoU ↑", "CD ↓", "Corr ↓", f"CD x{PUBLISHED:.0f}", f"Corr x{PUBLISHED:.0f}")
    head = ["Dataset, method", *(f"{split}: {column}" for split in SPLITS.values() for column in columns)]
    rows = []
    for source, title in SOURCES.items():
        groups = [summary.get(f"{source}/{split}", {}).get(task) for split in SPLITS]
        for method, name in TITLES.items():
            if any(group is not None and method in group["methods"] for group in groups):
                rows.append([f"{title}, {name}", *(cell for group in groups for cell in _cells(group, method))])
        floors = [["/", f"{group['cd_floor']:.4f}", "/", f"{PUBLISHED * group['cd_floor']:.3f}", "/"]
                  if group is not None else ["/"] * 5 for group in groups]  # fmt: skip
        if any(group is not None for group in groups):
            rows.append([f"{title}, sampling floor", *floors[0], *floors[1]])
    return markdown_table(head, rows)


def _cells(group: Mapping[str, Any] | None, method: str) -> list[str]:
    if group is None or method not in group["methods"]:
        return ["/"] * 5
    figures = group["methods"][method]
    several = figures["seeds"] > 1

    def cell(score: str, digits: int, factor: float = 1.0, unit: str = "") -> str:
        mean, std = factor * figures[score]["mean"], factor * figures[score]["std"]
        return f"{mean:.{digits}f}" + (f" ± {std:.{digits}f}" if several else "") + unit

    return [cell("iou", 1, 100.0, "%"), cell("cd", 4), cell("corr", 4), cell("cd_published", 3),
            cell("corr_published", 3)]  # fmt: skip


def _more_table(summary: Mapping[str, Any], task: str) -> str:
    """Clips and what else tells good from bad, one row per group and method."""
    titles = {
        "iou_frame_0": "IoU of frame 0",
        "jitter_over_truth": "jitter over truth",
        "parts": "separate parts",
        "drift": "CD last 17 / first 17",
        "seam_jump": "seam step / median",
        "largest_seam_jump": "largest seam step / median",
    }
    groups = {name: tasks[task] for name, tasks in summary.items() if task in tasks}
    shown = [key for key in titles if any(key in m for g in groups.values() for m in g["methods"].values())]
    head = ["Clips, method", "number", "motion", *(titles[key] for key in shown), "s per sequence"]
    rows = []
    for name, group in groups.items():
        for method, figures in group["methods"].items():
            rows.append([
                f"{group_title(name)}, {TITLES[method]}", str(group["clips"]), f"{group['motion']:.4f}",
                *(f"{figures[key]['mean']:.3f}" if key in figures else "/" for key in shown),
                f"{figures['seconds']:.1f}",
            ])  # fmt: skip
        if "true_seam_jump" in group:
            true = {"seam_jump": group["true_seam_jump"], "largest_seam_jump": group["true_largest_seam_jump"]}
            rows.append([f"{group_title(name)}, true motion", str(group["clips"]), f"{group['motion']:.4f}",
                         *(f"{true[key]:.3f}" if key in true else "/" for key in shown), "/"])  # fmt: skip
    return markdown_table(head, rows)


def _failures(summary: Mapping[str, Any], task: str) -> list[str]:
    """Lines that say which method found no surface how often; those clips are in no mean."""
    found = [(name, method, count) for name, tasks in summary.items() if task in tasks
             for method, count in tasks[task]["failures"].items() if count]  # fmt: skip
    return [
        line
        for name, method, count in found
        for line in ("", f"{group_title(name)}: {TITLES[method]} found no surface in {count} clips, in no mean here.")
    ]


def group_title(group: str) -> str:
    source, split = group.split("/")
    return f"{SOURCES[source]}, {SPLITS[split].lower()}"


def _peers(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [figures for name, figures in result["methods"].items() if name != "ours"]


def _better(score: str, ours: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    mine, theirs = ours[score]["mean"], other[score]["mean"]
    return bool(mine > theirs if score == "iou" else mine < theirs)


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")
