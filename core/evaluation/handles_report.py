"""What the handle-editing figures of many clips say together: summaries, and the report a person reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from core.evaluation.metrics import ratio_of_means
from core.evaluation.reporting import markdown_table

PEERS = ("biharmonic", "arap")
OURS = ("draft", "single", "mean_of_seeds", "best_of_seeds")
TITLES = {
    "no_motion": "no motion",
    "biharmonic": "biharmonic",
    "arap": "ARAP (targets linear in time where free)",
    "arap_poses": "ARAP poses, vertices linear between",
    "draft": "ours, draft (posterior mean)",
    "single": "ours, a single seed",
    "mean_of_seeds": "ours, mean of seeds",
    "best_of_seeds": "ours, best of seeds",
}
# What the handle tasks were asked to reach: {task: (method, reference, at most)}.
ASKED = {
    "full_10": ("mean_of_seeds", "over_better_peer", 0.8),
    "full_3": ("mean_of_seeds", "over_better_peer", 0.7),
    "last_5": ("best_of_seeds", "over_arap_in_betweens", 0.6),
}
REFERENCES = {
    "over_better_peer": "over the better of ARAP and biharmonic",
    "over_arap_in_betweens": "over ARAP with linear in-betweens",
}
Clip = Mapping[str, Any]


def summarise(clips: Sequence[Clip], tasks: Sequence[str]) -> dict[str, Any]:
    """{group: {task: figures}} for every source and split; ratios are ratios of means over clips."""
    summary: dict[str, Any] = {}
    for group in dict.fromkeys((clip["source"], clip["split"]) for clip in clips):
        members = [clip for clip in clips if (clip["source"], clip["split"]) == group]
        categories = sorted({clip["category"] for clip in members})
        figures = {}
        for task in tasks:
            figures[task] = task_summary(members, task)
            figures[task]["by_category"] = {
                name: task_summary([clip for clip in members if clip["category"] == name], task) for name in categories
            }
        summary["/".join(group)] = figures
    return summary


def task_summary(clips: Sequence[Clip], task: str) -> dict[str, Any]:
    """Means, deviations over clips and ratios of one task over some clips."""
    motion = _column(clips, lambda clip: clip["motion"])
    true_jitter = _column(clips, lambda clip: clip["jitter"])
    methods = [name for name in TITLES if name in clips[0]["tasks"][task]]
    errors = {name: _column(clips, lambda clip, m=name: clip["tasks"][task][m]["error"]) for name in methods}
    better = min(PEERS, key=lambda name: float(errors[name].mean()))
    in_between = min((n for n in ("arap", "arap_poses") if n in errors), key=lambda name: float(errors[name].mean()))
    per_clip = np.minimum(*(errors[name] for name in PEERS))

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
                "over_better_peer": ratio_of_means(values, errors[better]),
                "over_better_peer_of_each_clip": ratio_of_means(values, per_clip),
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
        "better_peer": better,
        "arap_in_betweens": in_between,
        "pairwise_distance_over_motion": ratio_of_means(seeds("mean_pairwise_distance"), motion),
        "handle_error_before_solve": float(seeds("handle_error_before_solve").mean()),
        "handle_error_after_solve": float(seeds("handle_error_after_solve").max()),
        "seconds_draft": float(np.median(_column(clips, lambda clip: clip["tasks"][task]["draft"]["seconds"]))),
        "seconds_seeds": float(np.median(_column(clips, lambda clip: clip["tasks"][task]["single"]["seconds"]))),
    }


def handles_markdown(report: Mapping[str, Any]) -> str:
    """The report as Markdown: the lines that are asked for first, then every method, then categories."""
    settings, model, machine = report["settings"], report["model"], report["machine"]
    lines = [
        "# Handle editing",
        "",
        f"Preset `{model.get('preset', '?')}` on {model.get('device', 'cpu')}, {settings['seeds']} seeds, quality "
        f"{settings['quality']}, {settings['frames']} frames; {machine['processor']}, {machine['cores']} cores, "
        f"{machine['threads']} threads, torch {machine['torch']}.",
        "",
        "Errors are mean vertex distances to the true motion over the moving frames, in units of the shape's longest "
        "side. Ratios are ratios of means over clips. Handles are farthest-point vertices with true positions "
        '("tracked": the same surface point in every frame); peers get the same handles in the same run. A single '
        "seed of a perfect posterior has about 1.4 times the root-mean-square error of its mean. Faces newly crossing: "
        "the share that cut through other faces in the middle and the last frame beyond those that did in frame 0.",
    ]
    if report.get("pictures"):
        lines += ["", f"[The best and the worst clips in pictures]({report['pictures']})"]
    if model.get("untrained"):
        lines += ["", "**Untrained weights**: the draft is the geometric warm start alone."]
    for group, tasks in report["summary"].items():
        lines += ["", f"## {group.replace('/', ', ').replace('_', ' ')}", "", asked_table(tasks)]
        for task, figures in tasks.items():
            lines += ["", f"### {task_title(task)}", "", _methods_table(figures)]
            lines += ["", f"Motion {figures['motion']:.4f} over {figures['clips']} clips (its volume change "
                      f"{figures['true_volume_change']:.3f}, faces newly crossing "
                      f"{100 * figures['true_crossings_gained']:.2f}%); better peer: "
                      f"{TITLES[figures['better_peer']]}; pairwise distance of seeds over motion "
                      f"{figures['pairwise_distance_over_motion']:.2f}; handle error before the exact solve "
                      f"{figures['handle_error_before_solve']:.4f}, largest after it "
                      f"{figures['handle_error_after_solve']:.1e}."]  # fmt: skip
            if len(figures["by_category"]) > 1:
                lines += ["", _category_table(figures["by_category"])]
    return "\n".join(lines) + "\n"


def asked_table(tasks: Mapping[str, Any]) -> str:
    """What was asked for against what was measured, for one group of clips, as far as their tasks were run."""
    rows: list[tuple[str, float, float]] = []
    for task, (method, reference, most) in ASKED.items():
        if task in tasks:
            what = f"{task_title(task)}: {method.replace('_', ' ')} {REFERENCES[reference]}"
            rows.append((what, tasks[task]["errors"][method][reference], most))
    categories = {
        name.replace("_", " "): group["errors"]["mean_of_seeds"]["over_better_peer"]
        for name, group in tasks.get("full_3", {}).get("by_category", {}).items()
    }
    if len(categories) > 1:
        worst = max(categories, key=categories.__getitem__)
        rows.append((f"{task_title('full_3')}, the worst category ({worst})", categories[worst], 1.0))
    for task, figures in tasks.items():
        jitter = figures["errors"]["single"]["over_jitter_of_truth"]
        rows.append((f"{task_title(task)}: jitter of a single seed over the truth's", jitter, 1.3))
    cells = [(what, f"{value:.3f}", f"{most:g}", "yes" if value <= most else "no") for what, value, most in rows]
    return markdown_table(["Asked for (ratios of means over clips)", "measured", "at most", "reached"], cells)


def _methods_table(figures: Mapping[str, Any]) -> str:
    head = ["Method", "error", "std over clips", "over motion", "over better peer", "over each clip's better peer",
            "over ARAP in-betweens", "jitter over truth", "volume change", "faces newly crossing"]  # fmt: skip
    rows = [
        [
            TITLES[name],
            f"{row['mean']:.4f}",
            f"{row['std']:.4f}",
            f"{row['over_motion']:.2f}",
            f"{row['over_better_peer']:.3f}",
            f"{row['over_better_peer_of_each_clip']:.3f}",
            f"{row['over_arap_in_betweens']:.3f}",
            f"{row['over_jitter_of_truth']:.2f}",
            f"{row['volume_change']:.3f}",
            f"{100 * row['crossings_gained']:.2f}%",
        ]
        for name, row in figures["errors"].items()
    ]
    return markdown_table(head, rows)


def _category_table(categories: Mapping[str, Any]) -> str:
    shown = [*PEERS, *OURS]
    head = [
        "Category",
        "clips",
        "motion",
        *(f"{name.replace('_', ' ')} error" for name in shown),
        "mean over better peer",
    ]
    rows = [
        [
            name,
            str(figures["clips"]),
            f"{figures['motion']:.4f}",
            *(f"{figures['errors'][method]['mean']:.4f}" for method in shown),
            f"{figures['errors']['mean_of_seeds']['over_better_peer']:.3f}",
        ]
        for name, figures in categories.items()
    ]
    return markdown_table(head, rows)


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
