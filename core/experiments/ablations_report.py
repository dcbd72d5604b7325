"""What the runs of the ablations say together: means and spreads over seeds, the table, and its plot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core.evaluation.reporting import markdown_table
from core.experiments.plots import plot_ratios

Run = Mapping[str, Any]
Spread = dict[str, float | None]  # mean and std over seeds; no std of a single one
DENOISER = "motion-diffusion"
STEADY = 1.0  # standard deviations within which a difference says nothing


def summarise(report: Mapping[str, Any]) -> dict[str, Any]:
    """{row: figures} of the rows that were run; see `row_summary`."""
    runs = {row["name"]: row for row in report["rows"] if row["runs"]}
    return {name: row_summary(report, row, runs.get(row["control"])) for name, row in runs.items()}


def row_summary(report: Mapping[str, Any], row: Mapping[str, Any], control: Mapping[str, Any] | None) -> dict[str, Any]:
    """Held-out checks of training, errors and jitter per group of clips and task, and the ratio to the control."""
    groups = {"all": report["clips"]}
    for clip in report["clips"]:
        groups.setdefault(clip["source"], [])
        groups[clip["source"]].append(clip)
    if len(groups) == 2:  # one source: it is all
        groups = {"all": report["clips"]}
    tasks, runs = report["settings"]["tasks"], row["runs"]
    result: dict[str, Any] = {"seeds": len(runs), "checks": _checks(runs), "groups": {}}
    for group, clips in groups.items():
        result["groups"][group] = {task: _task_figures(runs, clips, task) for task in tasks}
    names = [clip["clip"] for clip in report["clips"]]
    result["seconds"] = _over_seeds(runs, lambda run: _mean([run["clips"][n][tasks[0]]["seconds"] for n in names]))
    if runs[0]["training"]:
        last = runs[0]["training"][DENOISER]
        result |= {key: last[key] for key in ("parameters", "clips")}
    if control is not None and control is not row:
        pairs = list(zip(runs, control["runs"], strict=False))
        result["over_control"] = {
            method: _spread([_ratio(ours, theirs, names, tasks, method) for ours, theirs in pairs])
            for method in ("draft", "single")
            if all(method in run["clips"][names[0]][tasks[0]] for pair in pairs for run in pair)
        }
    return result


def _task_figures(runs: Sequence[Run], clips: Sequence[Mapping[str, Any]], task: str) -> dict[str, Any]:
    """{method: {error, jitter_over_truth}} of one task over some clips."""
    names = [clip["clip"] for clip in clips]
    true_jitter = sum(clip["jitter"] for clip in clips)
    methods = [name for name, value in runs[0]["clips"][names[0]][task].items() if isinstance(value, dict)]

    def jitter(run: Run, method: str) -> float:
        return float(sum(run["clips"][name][task][method]["jitter"] for name in names) / true_jitter)

    return {
        method: {
            "error": _over_seeds(runs, lambda run, m=method: _mean_error(run, names, task, m)),
            "jitter_over_truth": _over_seeds(runs, lambda run, m=method: jitter(run, m)),
        }
        for method in methods
    }


def _ratio(ours: Run, theirs: Run, names: Sequence[str], tasks: Sequence[str], method: str) -> float:
    """Vertex error over the control's of the same seed, the mean over tasks."""
    return _mean([_mean_error(ours, names, task, method) / _mean_error(theirs, names, task, method) for task in tasks])


def _mean_error(run: Run, names: Sequence[str], task: str, method: str) -> float:
    return _mean([run["clips"][name][task][method]["error"] for name in names])


def _checks(runs: Sequence[Run]) -> dict[str, dict[str, Spread]]:
    """{stage: {figure: mean and std}} of the held-out checks of training."""
    return {
        stage: {
            name: _over_seeds(runs, lambda run, s=stage, n=name: run["training"][s]["check"][n])
            for name in runs[0]["training"][stage]["check"]
        }
        for stage in runs[0]["training"]
    }


def _over_seeds(runs: Sequence[Run], value: Callable[..., float]) -> Spread:
    return _spread([value(run) for run in runs])


def _spread(values: Sequence[float]) -> Spread:
    return {"mean": _mean(values), "std": float(np.std(values, ddof=1)) if len(values) > 1 else None}


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def ablations_markdown(report: Mapping[str, Any], plot: Path | None = None) -> str:
    """The report as Markdown: what the figures are, one table of trained rows, one of sampled rows, and notes."""
    settings, machine, summary = report["settings"], report["machine"], report["summary"]
    rows = [row for row in report["rows"] if row["name"] in summary]
    trained, sampled = [row for row in rows if row["stages"]], [row for row in rows if not row["stages"]]
    sources = {source: sum(c["source"] == source for c in report["clips"]) for c in report["clips"]
               for source in (c["source"],)}  # fmt: skip
    counted = " and ".join(f"{count} {name}" for name, count in sources.items())
    lines = [
        "# Ablations",
        "",
        f"Preset `{report['preset']}`, one thing changed at a time. **A small budget**: every stage a row trains sees "
        f"{settings['train_clips']:,} clips from fresh weights (the shipped weights have seen many more), "
        f"{settings['seeds']} seeds, batches of {report['batch']}. It shows what helps early; what pays only after "
        f"long training can look useless here. Held out: {counted} clips of unseen identities and motions. "
        f"{machine['processor']}, {machine['cores']} cores, torch {machine['torch']}.",
        "",
        "Vertex errors are mean distances to the true motion in thousandths of the shape's longest side, through the "
        "whole pipeline with exact handles; mean ± standard deviation over seeds. `draft` is the posterior mean (one "
        "call), `sample` a single sampled motion. Check: error of the posterior mean over that of the warm start at "
        "the anchors, 64 held-out clips of training's own sources, so rows with other anchors or sources, or without a "
        "warm start, are to be compared by vertex errors. Over control: draft error over that of its control, "
        "seed by seed, mean over tasks; below 1 the change helps, in parentheses where it is within "
        f"{STEADY:g} standard deviation of 1.",
        "",
        f"All training rows learn handle tasks only (`{', '.join(report['handles_only'])}`)"
        + (f", and have `{', '.join(report['overrides'])}`." if report["overrides"] else "."),
    ]
    if plot is not None:
        lines += ["", f"![Draft error of every row over its control]({plot.name})"]
    if trained:
        lines += ["", "## Trained rows", "", _trained_table(report, trained), *_notes(trained)]
        lines += _by_source(report, trained)
    if sampled:
        lines += ["", "## Sampling the landed weights", "", _sampled_table(report, sampled), *_notes(sampled)]
    missing = [f"{row['title']}: not run, {row['not_run']}." for row in report["rows"] if row.get("not_run")]
    missing += [f"{what}: not in the table, because {why}." for what, why in report["not_built"].items()]
    lines += ["", "## Not in the tables", "", *(f"- {line[0].upper()}{line[1:]}" for line in missing)]
    return "\n".join(lines) + "\n"


def _trained_table(report: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    tasks = report["settings"]["tasks"]
    head = ["Row", "changes", *(f"{what} {task}" for what in ("check", "draft", "sample") for task in tasks),
            f"jitter of a sample {tasks[-1]}", "over control", "control"]  # fmt: skip
    table = []
    for row in rows:
        figures = report["summary"][row["name"]]
        checks, whole = figures["checks"].get(DENOISER, {}), figures["groups"]["all"]
        table.append([
            row["title"],
            " ".join(f"`{change}`" for change in row["changes"]) or "none",
            *(_cell(checks.get(f"{task}_ratio"), 3) for task in tasks),
            *(_cell(whole[task]["draft"]["error"], 1, 1000) for task in tasks),
            *(_cell(whole[task].get("single", {}).get("error"), 1, 1000) for task in tasks),
            _cell(whole[tasks[-1]].get("single", {}).get("jitter_over_truth"), 2),
            _over(figures),
            "/" if row["control"] == row["name"] else row["control"],
        ])  # fmt: skip
    return _text_columns(markdown_table(head, table), 2)


def _sampled_table(report: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    tasks = report["settings"]["tasks"]
    titles = ("sample", "mean of samples", "best of samples")
    head = [
        "Row",
        *(f"{what} {task}" for what in titles for task in tasks),
        f"jitter of a sample {tasks[-1]}",
        "seconds",
    ]
    table = []
    for row in rows:
        figures = report["summary"][row["name"]]
        whole = figures["groups"]["all"]
        cells = [_cell(whole[task][method]["error"], 1, 1000)
                 for method in ("single", "mean_of_seeds", "best_of_seeds") for task in tasks]  # fmt: skip
        jitter = _cell(whole[tasks[-1]]["single"]["jitter_over_truth"], 2)
        table.append([row["title"], *cells, jitter, f"{figures['seconds']['mean']:.2f}"])
    return markdown_table(head, table)


def _by_source(report: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Draft errors per source of clips, where there are several."""
    summary, tasks = report["summary"], report["settings"]["tasks"]
    sources = [name for name in summary[rows[0]["name"]]["groups"] if name != "all"]
    if not sources:
        return []
    head = ["Draft error by source", *(f"{source} {task}" for source in sources for task in tasks)]
    table = [
        [row["title"], *(_cell(summary[row["name"]]["groups"][source][task]["draft"]["error"], 1, 1000)
                         for source in sources for task in tasks)]
        for row in rows
    ]  # fmt: skip
    return ["", markdown_table(head, table)]


def _notes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    noted = [f"- {row['title']}: {row['note']}" for row in rows if row["note"]]
    return ["", *noted] if noted else []


def _over(figures: Mapping[str, Any]) -> str:
    value = figures.get("over_control", {}).get("draft")
    if value is None:
        return "/"
    steady = value["std"] is not None and abs(value["mean"] - 1) <= STEADY * value["std"]
    return f"({_cell(value, 3)})" if steady else _cell(value, 3)


def _cell(value: Mapping[str, Any] | None, digits: int, factor: float = 1.0) -> str:
    if value is None:
        return "/"
    spread = f" ± {factor * value['std']:.{digits}f}" if value["std"] is not None else ""
    return f"{factor * value['mean']:.{digits}f}{spread}"


def _text_columns(table: str, count: int) -> str:
    """The same table with that many columns of text on the left."""
    head, rule, *rest = table.splitlines()
    return "\n".join([head, rule.replace("---:", "---", count - 1), *rest])


def plot_ablations(report: Mapping[str, Any], path: Path) -> Path | None:
    """Draft error over the control's (samples' for sampling rows), one dot per row; None without matplotlib."""
    points = []
    for row in report["rows"]:
        over = report["summary"].get(row["name"], {}).get("over_control", {})
        value = over.get("draft" if row["stages"] else "single")
        if value is not None:
            points.append((row["title"], value["mean"], value["std"] or 0.0))
    return plot_ratios(path, points, "Ablations", "vertex error over the control's, ± std over seeds; below 1 helps")
