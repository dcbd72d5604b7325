"""Summarises the ablation runs (means and deviations over seeds), and makes their tables and plot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core.evaluation.reporting import Cell, page, spread, table
from core.experiments.ablation_rows import ROWS
from core.experiments.plots import plot_ratios

Run = Mapping[str, Any]
Row = Mapping[str, Any]
Spread = dict[str, float | None]  # mean and std over seeds; no std of a single one
DENOISER = "motion-diffusion"
HISTORIC = "†"  # marks rows that `ablation_rows` no longer has
STEADY = 1.0  # standard deviations; a smaller difference is insignificant


def summarise(report: Mapping[str, Any]) -> dict[str, Any]:
    """{row: `row_summary`} of the rows that were run."""
    runs = {name: found for name, found in report["runs"].items() if found}
    rows = [row for row in report["rows"] if row["name"] in runs]
    controls = {row["name"]: runs.get(row["control"], []) if row["control"] != row["name"] else [] for row in rows}
    return {name: row_summary(report, runs[name], control) for name, control in controls.items()}


def row_summary(report: Mapping[str, Any], runs: Sequence[Run], control: Sequence[Run]) -> dict[str, Any]:
    """One row's checks on held-out clips, errors and jitter by group of clips and task, and ratio to its control."""
    groups = {"all": report["clips"]}
    for clip in report["clips"]:
        groups.setdefault(clip["source"], [])
        groups[clip["source"]].append(clip)
    if len(groups) == 2:  # one source: it is all
        groups = {"all": report["clips"]}
    tasks = report["settings"]["tasks"]
    result: dict[str, Any] = {"seeds": len(runs), "checks": _checks(runs), "groups": {}}
    for group, clips in groups.items():
        result["groups"][group] = {task: _task_figures(runs, clips, task) for task in tasks}
    names = [clip["clip"] for clip in report["clips"]]
    result["seconds"] = _over_seeds(runs, lambda run: _mean([run["clips"][n][tasks[0]]["seconds"] for n in names]))
    if runs[0]["training"]:
        last = runs[0]["training"][DENOISER]
        result |= {key: last[key] for key in ("parameters", "clips")}
    if control:
        pairs = list(zip(runs, control, strict=False))
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
    """Vertex error over that of the control with the same seed, mean over tasks."""
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
    """The report as Markdown: the protocol, a table of trained rows, one of sampled rows, and notes."""
    settings, machine, summary = report["settings"], report["machine"], report["summary"]
    rows = [row for row in report["rows"] if row["name"] in summary]
    trained, sampled = [row for row in rows if row["stages"]], [row for row in rows if not row["stages"]]
    counted = " and ".join(f"{count} {name}" for name, count in report["sources"].items())
    blocks = [
        f"One setting of the preset `{report['preset']}` is changed at a time. **The budget is small**: every stage of "
        f"a row is trained from fresh weights on {settings['train_clips']:,} clips (the shipped weights have seen many "
        f"more), with {settings['seeds']} seeds and batches of {report['batch']}. It shows what helps early; what "
        f"helps only after long training can look useless here. Evaluated on {counted} clips of unseen identities and "
        f"motions. {machine['processor']}, {machine['cores']} cores, torch {machine['torch']}.",
        "Less is better in all columns but jitter, where 1 is right. Vertex errors are mean distances from the true "
        "motion in thousandths of the shape's longest side, through the whole pipeline with exact handles; mean ± "
        "standard deviation over seeds. `draft` is the posterior mean (one call), `sample` a single sampled motion. "
        "Check: error of the posterior mean over that of the warm start at the anchors, on 64 held-out clips of the "
        "training's own sources; rows with other anchors or sources, or without a warm start, can only be compared by "
        "vertex errors. Over control: draft error over that of the row's control, seed by seed, mean over tasks; below "
        f"1 the change helps. It is in parentheses where it is within {STEADY:g} standard deviation of 1.",
        f"All training rows learn handle tasks only (`{', '.join(report['handles_only'])}`)"
        + (f", and have `{', '.join(report['overrides'])}`." if report["overrides"] else "."),
    ]
    if any(row["name"] not in ROWS for row in rows):
        blocks.append(
            f"Rows marked {HISTORIC} change settings that have been removed since"
            + (f"; they can be run again at commit {report['commit']} only." if report.get("commit") else ".")
        )
    if plot is not None:
        blocks.append(f"![Draft error of every row over its control]({plot.name})")
    if trained:
        blocks += ["## Trained rows", _trained_table(report, trained), _notes(trained), _by_source(report, trained)]
    if sampled:
        blocks += ["## Sampling the shipped weights", _sampled_table(report, sampled), _notes(sampled)]
    missing = [f"{row['title']}: not run, {row['not_run']}." for row in report["rows"] if row.get("not_run")]
    missing += [f"{what}: not in the table, because {why}." for what, why in report["not_built"].items()]
    blocks += ["## Not in the tables", "\n".join(f"- {line[0].upper()}{line[1:]}" for line in missing)]
    return page("Ablations", *blocks)


def _trained_table(report: Mapping[str, Any], rows: Sequence[Row]) -> str:
    tasks, summary = report["settings"]["tasks"], report["summary"]

    def figures(row: Row) -> Mapping[str, Any]:
        return summary[row["name"]]["groups"]["all"]

    columns: dict[str, Cell] = {
        "Row": _title,
        "changes": lambda row: " ".join(f"`{change}`" for change in row["changes"]) or "none",
    }
    for task in tasks:
        columns[f"check {task}"] = lambda row, t=task: spread(
            summary[row["name"]]["checks"].get(DENOISER, {}).get(f"{t}_ratio"), 3
        )
    for what, method in (("draft", "draft"), ("sample", "single")):
        for task in tasks:
            columns[f"{what} {task}"] = lambda row, t=task, m=method: spread(
                figures(row)[t].get(m, {}).get("error"), 1, 1000
            )
    last = tasks[-1]
    columns[f"jitter of a sample {last}"] = lambda row: spread(
        figures(row)[last].get("single", {}).get("jitter_over_truth"), 2
    )
    columns["over control"] = lambda row: _over(summary[row["name"]])
    columns["control"] = lambda row: "/" if row["control"] == row["name"] else row["control"]
    return table(rows, columns, text_columns=2)


def _sampled_table(report: Mapping[str, Any], rows: Sequence[Row]) -> str:
    tasks, summary = report["settings"]["tasks"], report["summary"]

    def figures(row: Row, task: str, method: str, key: str) -> Spread:
        return summary[row["name"]]["groups"]["all"][task][method][key]

    columns: dict[str, Cell] = {"Row": _title}
    titles = {"single": "sample", "mean_of_seeds": "mean of samples", "best_of_seeds": "best of samples"}
    for method, what in titles.items():
        for task in tasks:
            columns[f"{what} {task}"] = lambda row, t=task, m=method: spread(figures(row, t, m, "error"), 1, 1000)
    columns[f"jitter of a sample {tasks[-1]}"] = lambda row: spread(
        figures(row, tasks[-1], "single", "jitter_over_truth"), 2
    )
    columns["seconds"] = lambda row: f"{summary[row['name']]['seconds']['mean']:.2f}"
    return table(rows, columns)


def _by_source(report: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """Draft errors by source of clips, if there are several."""
    summary = report["summary"]
    columns: dict[str, Cell] = {"Draft error by source": _title}
    for source in [name for name in summary[rows[0]["name"]]["groups"] if name != "all"]:
        for task in report["settings"]["tasks"]:
            columns[f"{source} {task}"] = lambda row, s=source, t=task: spread(
                summary[row["name"]]["groups"][s][t]["draft"]["error"], 1, 1000
            )
    return table(rows, columns) if len(columns) > 1 else ""


def _title(row: Row) -> str:
    return row["title"] if row["name"] in ROWS else f"{row['title']} {HISTORIC}"


def _notes(rows: Sequence[Row]) -> str:
    return "\n".join(f"- {_title(row)}: {row['note']}" for row in rows if row["note"])


def _over(figures: Mapping[str, Any]) -> str:
    value = figures.get("over_control", {}).get("draft")
    if value is None:
        return "/"
    steady = value["std"] is not None and abs(value["mean"] - 1) <= STEADY * value["std"]
    return f"({spread(value, 3)})" if steady else spread(value, 3)


def plot_ablations(report: Mapping[str, Any], path: Path) -> Path | None:
    """A dot per row: draft error over the control's (the samples' for sampling rows). None without matplotlib."""
    points = []
    for row in report["rows"]:
        over = report["summary"].get(row["name"], {}).get("over_control", {})
        value = over.get("draft" if row["stages"] else "single")
        if value is not None:
            points.append((_title(row), value["mean"], value["std"] or 0.0))
    return plot_ratios(path, points, "Ablations", "vertex error over the control's, ± std over seeds; below 1 helps")
