"""`m2v evaluate report --out FOLDER`: one page from all the JSON reports in a folder, RESULTS.md, with plots.

Every figure on it comes from a report that lies there; a protocol without one is listed as not run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.errors import DataError
from core.evaluation.handles_report import asked_table, task_title
from core.evaluation.reconstruction_report import SCORES, TITLES, group_title
from core.evaluation.reporting import markdown_table, write_text
from core.experiments.ablations_report import ablations_markdown, plot_ablations
from core.experiments.plots import plot_groups
from core.experiments.published import COLUMNS, RUNTIME, TABLES, WHY_NOT_COMPARABLE

PAGE = "RESULTS.md"
SCANS = (
    "sparse-points",
    "depth-scans",
    "half-body",
    "voxels",
    "images",
    "long-sequence",
    "noise-sweep",
    "density-sweep",
)
ALL = ("handles", "autoencoders", *SCANS, "ablations", "bench", "training-bench")
HEADINGS = {
    "handles": "Handle editing",
    "autoencoders": "The autoencoders alone",
    "ablations": "Ablations",
    "bench": "Speed and memory",
    "training-bench": "Speed of training",
}
_HANDLE_METHODS = {
    "arap": "ARAP",
    "biharmonic": "biharmonic",
    "arap_poses": "linear between ARAP poses",
    "draft": "draft",
    "single": "single seed",
    "mean_of_seeds": "mean of seeds",
    "best_of_seeds": "best of seeds",
}
Report = Mapping[str, Any]


def read_reports(folder: Path) -> dict[str, list[tuple[Path, Report]]]:
    """{protocol: its reports with their files, by name} of a folder; other JSON files are passed over.

    Raises DataError for a folder that is not there or a file that is damaged.
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
            raise DataError(f"{path} is not a whole JSON file; run its evaluation again or take it away.") from error
        if isinstance(tree, dict) and tree.get("protocol") in ALL:
            found.setdefault(tree["protocol"], []).append((path, tree))
    return found


def write_results(folder: Path) -> Path:
    """Write RESULTS.md and its plots into the folder of the reports; returns the page's path."""
    reports = read_reports(folder)
    if not reports:
        raise DataError(f"There is no report of m2v evaluate or m2v bench in {folder}; put their .json files there.")
    lines = [
        "# Results",
        "",
        "Made by `m2v evaluate report --out assets/results` from the JSON reports in this folder; nothing here is "
        f"typed by hand. {WHY_NOT_COMPARABLE}",
    ]
    for protocol in ALL:
        lines += ["", f"## {HEADINGS.get(protocol, protocol.replace('-', ' ').capitalize())}"]
        for path, report in reports.get(protocol, []):
            lines += ["", *_section(protocol, report, path)]
        if protocol not in reports:
            lines += ["", "Not run."]
        lines += _published(protocol)
    missing = [protocol for protocol in ALL if protocol not in reports]
    lines += ["", "## Not run", "", *(f"- {name}" for name in missing)] if missing else []
    page = folder / PAGE
    write_text(page, "\n".join(lines) + "\n")
    return page


def _section(protocol: str, report: Report, path: Path) -> list[str]:
    if protocol == "handles":
        return _handles(report, path)
    if protocol in SCANS:
        return _scans(report, path)
    if protocol == "autoencoders":
        return [_source(report, path), "", *_autoencoders(report)]
    if protocol == "ablations":
        return _ablations(report, path)
    if protocol == "bench":
        from core.experiments.pipeline_benchmark import benchmark_rows

        about = f"From `{path.name}`: preset `{report['preset']}`, {report['mesh']['vertices']:,} vertices, "
        about += f"{report['mesh']['frames']} frames, {_machine(report)}."
        return [about, "", markdown_table(["What", "Measured", "At most", "over ARAP"], benchmark_rows(report))]
    rows = [[title, f"{speed:.2f}", f"{report['cpu_seconds_per_clip'][title]:.3f}"]
            for title, speed in report["median"].items()]  # fmt: skip
    about = f"From `{path.name}`: {report['stage']} of preset `{report['preset']}`, {report['cores']} cores, load "
    about += f"average before it {report['load_average']}; ours over the faster plain loop {report['ratio']:.2f}. "
    about += str(report.get("note", ""))
    return [about, "", markdown_table(["Loop", "clips/s", "CPU s per clip"], rows)]


def _handles(report: Report, path: Path) -> list[str]:
    lines = [_source(report, path), ""]
    if report.get("pictures"):
        lines += [f"[The ten best and the ten worst clips in pictures]({report['pictures']})", ""]
    for group, tasks in report["summary"].items():
        title, clips = group_title(group), next(iter(tasks.values()))["clips"]
        lines += [f"**{title}, {clips} clips.** Vertex error in thousandths of the shape's longest side.", ""]
        methods = [name for name in _HANDLE_METHODS if any(name in task["errors"] for task in tasks.values())]
        rows = []
        for task, figures in tasks.items():
            errors = figures["errors"]
            rows.append([
                task_title(task),
                *(f"{1000 * errors[name]['mean']:.1f}" if name in errors else "/" for name in methods),
                f"{errors['mean_of_seeds']['over_better_peer']:.3f}",
                f"{errors['best_of_seeds']['over_arap_in_betweens']:.3f}",
                f"{errors['single']['over_jitter_of_truth']:.2f}",
                f"{figures['pairwise_distance_over_motion']:.2f}",
                *_surface(errors),
            ])  # fmt: skip
        head = ["Task", *(_HANDLE_METHODS[name] for name in methods), "mean over better peer",
                "best over ARAP in-betweens", "jitter", "seeds differ by", "volume change: ARAP, single",
                "faces newly crossing: ARAP, single"]  # fmt: skip
        lines += [markdown_table(head, rows), "", asked_table(tasks), ""]
        lines += _by_category(tasks)
        name = f"{path.stem}-{group.replace('/', '-')}.png"
        series: dict[str, list[float | None]] = {
            f"ours, {_HANDLE_METHODS[method]}": [task["errors"][method]["over_better_peer"] for task in tasks.values()]
            for method in ("mean_of_seeds", "single")
        }
        series["ARAP"] = [task["errors"]["arap"]["over_better_peer"] for task in tasks.values()]
        plot = plot_groups(
            path.with_name(name), list(tasks), series, f"{title}: vertex error over the better peer's", "ratio"
        )
        lines += [f"![Vertex error over the better peer's]({plot.name})", ""] if plot is not None else []
    return lines[:-1]


def _surface(errors: Report) -> list[str]:
    """Volume change and self-intersections gained, ARAP's and a single seed's; reports of old lack the second."""
    pairs = []
    for key, factor, unit in (("volume_change", 1.0, ""), ("crossings_gained", 100.0, "%")):
        both = [errors[name].get(key) for name in ("arap", "single")]
        pairs.append("/" if None in both else ", ".join(f"{factor * value:.3f}{unit}" for value in both))
    return pairs


def _by_category(tasks: Report) -> list[str]:
    """Mean of seeds over the better peer for each category, task by task."""
    categories = list(next(iter(tasks.values()))["by_category"])
    if len(categories) < 2:
        return []
    first, rows = next(iter(tasks.values()))["by_category"], []
    for name in categories:
        groups = [task["by_category"][name] for task in tasks.values()]
        ratios = [f"{group['errors']['mean_of_seeds']['over_better_peer']:.2f}" for group in groups]
        rows.append([f"{name} ({first[name]['clips']})", *ratios])
    head = ["Mean of seeds over better peer (clips)", *map(task_title, tasks)]
    return [markdown_table(head, rows), ""]


def _scans(report: Report, path: Path) -> list[str]:
    lines = [_source(report, path), ""]
    head = ["Clips, method", "number", "IoU", "CD", "Corr", "CD x10", "Corr x10", "s per sequence"]
    titles = {task["name"]: task["title"] for task in report["settings"]["tasks"]}
    for task, title in titles.items():
        groups = {name: tasks[task] for name, tasks in report["summary"].items() if task in tasks}
        rows = []
        for group, figures in groups.items():
            for method, scores in figures["methods"].items():
                iou, cd, corr = (scores[score] for score in SCORES)
                rows.append([
                    f"{group_title(group)}, {TITLES[method]}", str(figures["clips"]),
                    _pm(iou, 1, 100, "%"), _pm(cd, 4), _pm(corr, 4), _pm(cd, 3, 10), _pm(corr, 3, 10),
                    f"{scores['seconds']:.1f}",
                ])  # fmt: skip
        if rows:
            lines += [f"**{title}**", "", markdown_table(head, rows), ""]
            series = {
                TITLES[method]: [
                    figures["methods"].get(method, {}).get("cd", {}).get("mean") for figures in groups.values()
                ]
                for method in TITLES
                if any(method in figures["methods"] for figures in groups.values())
            }
            name = path.with_name(f"{path.stem}-{task}.png")
            plot = plot_groups(name, list(map(group_title, groups)), series, f"{title}: CD, less is better", "CD")
            lines += [f"![CD of every method]({plot.name})", ""] if plot is not None else []
    if report["one_latent"] is None:
        lines += ["The model with one global latent (M = 1): not run.", ""]
    return lines[:-1]


def _autoencoders(report: Report) -> list[str]:
    rows = [
        [group_title(group) if group.count("/") == 1 else group, str(row["clips"]), f"{row['motion']['mean']:.4f}",
         _pm(row["vertex_error"], 4), f"{row['jitter_over_truth']['mean']:.2f}", _pm(row["shape_iou"], 3)]
        for group, row in report["summary"].items()
    ]  # fmt: skip
    head = ["Clips", "number", "motion", "vertex error (asked: 0.006)", "jitter over truth", "shape IoU"]
    return [markdown_table(head, rows)]


def _ablations(report: Report, path: Path) -> list[str]:
    """What each row did to the error; the whole table goes to a page of its own beside the report."""
    plot = plot_ablations(report, path.with_suffix(".png"))
    write_text(path.with_suffix(".md"), ablations_markdown(report, plot))
    settings, rows = report["settings"], []
    for row in report["rows"]:
        over = report["summary"].get(row["name"], {}).get("over_control", {})
        value = over.get("draft" if row["stages"] else "single")
        if value is not None:
            rows.append([row["title"], row["control"], _pm(value, 3), "draft" if row["stages"] else "sample"])
        elif row.get("not_run"):
            rows.append([row["title"], row["control"], "not run", row["not_run"]])
    about = f"From `{path.name}`: {settings['train_clips']:,} clips a stage, {settings['seeds']} seeds, "
    about += f"{_machine(report)}. Vertex error over the control's, mean over tasks; below 1 the change helps. "
    about += f"[The whole table]({path.with_suffix('.md').name})."
    lines = [about, "", markdown_table(["Change", "control", "error over the control's", "of"], rows)]
    if plot is not None:
        lines += ["", f"![Error of every row over its control's]({plot.name})"]
    return lines


def _published(protocol: str) -> list[str]:
    """The paper's rows for a protocol, said to be the paper's."""
    if protocol not in TABLES:
        return []
    title, rows = TABLES[protocol]
    about = f"As published ({title}; other data, not comparable, see above):"
    if protocol == "bench":
        head = ["Method", "s", "GPU memory, GB", "parameters, millions"]
        table = markdown_table(
            head, [[name, f"{s:.3f}", f"{gb:.3f}", f"{millions:g}"] for name, s, gb, millions in RUNTIME]
        )
        return ["", about, "", table]
    head = ["Data, method", *(f"unseen {split}: {name}" for split in ("motion", "individual") for name in
                              ("IoU", *(f"{column} x10" for column in COLUMNS[1:])))]  # fmt: skip
    cells = [[f"{data}, {method}", *_scores(motion), *_scores(individual)] for data, method, motion, individual in rows]
    return ["", about, "", markdown_table(head, cells)]


def _scores(values: Sequence[float]) -> list[str]:
    return [f"{values[0]:.1f}%", *(f"{value:.3f}" for value in values[1:])] if values else ["/"] * len(COLUMNS)


def _source(report: Report, path: Path) -> str:
    """Which file, model, settings and machine the figures below come from."""
    settings, model = report["settings"], report["model"]
    sampled = f", {settings['seeds']} seeds, quality {settings['quality']}" if "seeds" in settings else ""
    weights = f", weights {model['weights']}" if model.get("weights") else ""
    untrained = ", **untrained**" if model.get("untrained") else ""
    return f"From `{path.name}`: preset `{model.get('preset', '?')}`{weights}{untrained}{sampled}; {_machine(report)}."


def _machine(report: Report) -> str:
    machine = report["machine"]
    return f"{machine.get('gpu') or machine['processor']}, {machine['cores']} cores, torch {machine['torch']}"


def _pm(value: Mapping[str, Any], digits: int, factor: float = 1.0, unit: str = "") -> str:
    """Mean and, where there is one, deviation."""
    spread = value.get("std")
    shown = f" ± {factor * spread:.{digits}f}" if spread else ""
    return f"{factor * value['mean']:.{digits}f}{shown}{unit}"
