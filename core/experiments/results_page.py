"""`m2v evaluate report --out FOLDER`: makes one page, RESULTS.md with plots, of all JSON reports in a folder.

Every figure comes from a report. Protocols without one are listed, and reports of earlier weights are marked.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from core.errors import DataError
from core.evaluation import autoencoder, handles_report, part_matching, prior, reconstruction_report
from core.evaluation.models import weight_hashes
from core.evaluation.reporting import Report, group_title, origin, page, rows_table, write_text
from core.experiments import rigid_trials, training_benchmark
from core.experiments.ablations_report import ablations_markdown, plot_ablations
from core.experiments.pipeline_benchmark import benchmark_table
from core.experiments.plots import plot_groups
from core.experiments.published import COLUMNS, RUNTIME, TABLES, WHY_NOT_COMPARABLE
from core.observation_kinds import SCAN_PROTOCOLS

PAGE = "RESULTS.md"
SCANS = tuple(SCAN_PROTOCOLS)
ALL = ("handles", "prior", "rigid-trials", "parts", "autoencoders", *SCANS, "ablations", "bench", "training-bench")
EARLIER = "**Of earlier weights than the preset has today.**"
HEADINGS = {
    "handles": "Handle editing",
    "prior": "One drag, several motions",
    "rigid-trials": "Other ways to the rigid surface",
    "parts": "Which part is which",
    "autoencoders": "The autoencoders alone",
    "bench": "Speed and memory",
    "training-bench": "Speed of training",
}
ABOUT = {
    "handles": handles_report.ABOUT,
    "prior": prior.ABOUT,
    "rigid-trials": rigid_trials.ABOUT,
    "parts": part_matching.ABOUT,
    "autoencoders": autoencoder.ABOUT,
    SCANS[0]: reconstruction_report.ABOUT,
    "ablations": "One setting of the preset is changed at a time, and trained on as many clips as its control. Shown: "
    "vertex error over the control's, mean over tasks; below 1 the change helps.",
    "bench": "Times are medians of warm calls; memory is the peak of a fresh process. *Over ARAP* is the time divided "
    "by that of one ARAP solve with the same handles in the same run.",
}


def read_reports(folder: Path) -> dict[str, list[tuple[Path, Report]]]:
    """{protocol: its reports and their files, by name} of a folder; other JSON files are skipped.

    Raises DataError for a missing folder and a damaged file.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; give the one with the JSON reports of m2v evaluate.")
    found: dict[str, list[tuple[Path, Report]]] = {}
    for path in sorted(folder.glob("*.json")):
        if path.name.endswith(".partial.json"):
            continue
        try:
            tree = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"{path} is not a complete JSON file; run its evaluation again or delete it.") from error
        if isinstance(tree, dict) and tree.get("protocol") in ALL:
            found.setdefault(tree["protocol"], []).append((path, tree))
    return found


def write_results(folder: Path) -> Path:
    """Write RESULTS.md and its plots into the folder of the reports; returns the page's path."""
    reports = read_reports(folder)
    if not reports:
        raise DataError(f"There is no report of m2v evaluate or m2v bench in {folder}; put their .json files there.")
    blocks = [
        "Made by `m2v evaluate report --out assets/results` from the JSON reports in this folder. In headings of "
        "tables, ↑ means that more is better and ↓ that less is; *over* means divided by. *Unseen individual*: "
        "neither the shape nor its motions were trained on. *Author left out*: neither the training nor the bank of "
        f"motions and bodies has anything by that author. {WHY_NOT_COMPARABLE}"
    ]
    models = [report.get("model", {}) for of_protocol in reports.values() for _, report in of_protocol]
    current = {preset: weight_hashes(preset) for preset in {model["preset"] for model in models if "weights" in model}}
    for protocol in ALL:
        blocks.append(f"## {HEADINGS.get(protocol, protocol.replace('-', ' ').capitalize())}")
        blocks.append(ABOUT.get(protocol, "") if protocol in reports else "No report in this folder.")
        for path, report in reports.get(protocol, []):
            blocks += _section(protocol, report, path, current)
        blocks += _published(protocol)
    missing = [protocol for protocol in ALL if protocol not in reports]
    blocks += ["## Protocols without a report", "\n".join(f"- {name}" for name in missing)] if missing else []
    results = folder / PAGE
    write_text(results, page("Results", *blocks))
    return results


def _section(protocol: str, report: Report, path: Path, current: Mapping[str, frozenset[str]]) -> list[str]:
    """The blocks of one report: where its figures come from, its tables, its plots. `current`: hashes by preset."""
    about = f"From `{path.name}`: "
    if protocol == "training-bench":
        return [about.rstrip(": ") + ".", *training_benchmark.benchmark_tables(report)]
    about += origin(report)
    model = report.get("model", {})
    if model.get("weights") and current[model["preset"]] and model["weights"] not in current[model["preset"]]:
        about += f" {EARLIER}"
    if protocol == "bench":
        mesh = report["mesh"]
        return [f"{about} {mesh['vertices']:,} vertices, {mesh['frames']} frames.", benchmark_table(report)]
    if protocol == "ablations":
        plot = plot_ablations(report, path.with_suffix(".png"))
        write_text(path.with_suffix(".md"), ablations_markdown(report, plot))
        about += f" [The tables]({path.with_suffix('.md').name})."
        return [about, *_shown(plot, "Error of every row over its control's")]
    tables: dict[str, Callable[[Report], list[str]]] = {
        "handles": handles_report.handles_tables,
        "prior": prior.prior_tables,
        "rigid-trials": rigid_trials.trial_tables,
        "parts": part_matching.parts_tables,
        "autoencoders": autoencoder.autoencoder_tables,
    }
    blocks = [about, *tables.get(protocol, reconstruction_report.reconstruction_tables)(report)]
    if protocol == "handles":
        blocks += _handle_plots(report, path)
    if protocol in SCANS:
        blocks += _scan_plots(report, path)
    return blocks


def _handle_plots(report: Report, path: Path) -> list[str]:
    """For each group of clips, a plot of the vertex error over the better baseline's."""
    blocks = []
    for group, tasks in report["summary"].items():
        series: dict[str, list[float | None]] = {
            name: [task["errors"][method]["over_better_baseline"] for task in tasks.values()]
            for method, name in (
                ("mean_of_seeds", "ours, mean of seeds"),
                ("single", "ours, single seed"),
                ("arap", "ARAP"),
            )
        }
        title = f"{group_title(group)}: vertex error over the better baseline's"
        file = path.with_name(f"{path.stem}-{group.replace('/', '-')}.png")
        names = [" ".join(reversed(task.rsplit("_", 1))) for task in tasks]  # "10 full"
        blocks += _shown(plot_groups(file, names, series, title, "ratio, less is better"), title)
    return blocks


def _scan_plots(report: Report, path: Path) -> list[str]:
    """For each task, a plot of every method's CD."""
    blocks = []
    for task in report["settings"]["tasks"]:
        groups = {name: tasks[task["name"]] for name, tasks in report["summary"].items() if task["name"] in tasks}
        series = {
            title: [figures["methods"].get(method, {}).get("cd", {}).get("mean") for figures in groups.values()]
            for method, title in reconstruction_report.TITLES.items()
            if any(method in figures["methods"] for figures in groups.values())
        }
        title = f"{task['title']}: CD, less is better"
        file = path.with_name(f"{path.stem}-{task['name']}.png")
        blocks += _shown(plot_groups(file, list(map(group_title, groups)), series, title, "CD"), title)
    return blocks


def _shown(plot: Path | None, title: str) -> list[str]:
    return [f"![{title}]({plot.name})"] if plot is not None else []


def _published(protocol: str) -> list[str]:
    """The paper's figures for a protocol, labelled as published."""
    if protocol not in TABLES:
        return []
    title, rows = TABLES[protocol]
    about = f"As published ({title}; other data, not comparable, see above):"
    if protocol == "bench":
        head = ["Method", "s", "GPU memory, GB", "parameters, millions"]
        rows_of = [[name, f"{s:.3f}", f"{gb:.3f}", f"{millions:g}"] for name, s, gb, millions in RUNTIME]
        return [about, rows_table(head, rows_of)]
    head = ["Data, method", *(f"unseen {split}: {name}" for split in ("motion", "individual") for name in
                              ("IoU", *(f"{column} x10" for column in COLUMNS[1:])))]  # fmt: skip
    cells = [[f"{data}, {method}", *_scores(motion), *_scores(individual)] for data, method, motion, individual in rows]
    return [about, rows_table(head, cells)]


def _scores(values: Sequence[float]) -> list[str]:
    return [f"{values[0]:.1f}%", *(f"{value:.3f}" for value in values[1:])] if values else ["/"] * len(COLUMNS)
