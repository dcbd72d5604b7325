"""What all reports share: files, tables, the cache of a resumable run, and the description of model and machine."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

from core.atomic import write_atomically
from core.errors import DataError
from core.usable_cores import usable_cores

OnProgress = Callable[[int, int, str], None]  # steps done, steps in all, what was done; raising stops cleanly
Report = Mapping[str, Any]
Cell = Callable[..., str]  # makes a record's cell of a column
RAW_ROWS = ("clips", "runs")  # per-clip rows, not in the summary
DIGITS = 6  # significant digits of a stored figure
SPLITS = {"unseen_motion": "unseen motion", "unseen_identity": "unseen individual", "unseen_author": "author left out"}


def write_text(path: Path, text: str) -> None:
    """Write the whole file or nothing. Raises DataError where the folder cannot be written."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"), DataError)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    write_text(path, json.dumps(value, indent=1) + "\n")


def write_report(path: Path, report: Report, text: str, raw: Path | None = None) -> None:
    """Write a report's summary to `path`, `text` to the .md beside it, and the rows of every clip to `raw`."""
    if raw is not None:
        write_json(raw, {key: report[key] for key in RAW_ROWS if key in report})
    write_json(path, _rounded({key: value for key, value in report.items() if key not in RAW_ROWS}))
    write_text(path.with_suffix(".md"), text)


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _rounded(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(entry) for entry in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


class PartialResults:
    """Figures of finished clips, kept beside the report so that an interrupted run continues where it stopped.

    `sections` maps a section's name to the settings its entries depend on. Entries of other settings are dropped: a
    change of the model keeps the baselines, a change of the data does not.
    """

    def __init__(self, path: Path, sections: Mapping[str, Mapping[str, Any]]) -> None:
        self.path = path
        self._tree: dict[str, Any] = {}
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            stored = {}
        for name, settings in sections.items():
            plain = json.loads(json.dumps(settings))
            old = stored.get(name, {}) if isinstance(stored, dict) else {}
            same = isinstance(old, dict) and old.get("settings") == plain and isinstance(old.get("entries"), dict)
            self._tree[name] = {"settings": plain, "entries": old["entries"] if same else {}}

    def recall(self, section: str, key: str, compute: Callable[[], Any]) -> Any:
        """The stored value of a key; else compute it and write it to disk first."""
        entries = self._tree[section]["entries"]
        if key not in entries:
            entries[key] = compute()
            write_json(self.path, self._tree)
        return entries[key]


def machine() -> dict[str, Any]:
    """The machine and the versions that a figure depends on."""
    import numpy
    import torch

    info: dict[str, Any] = {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": usable_cores(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
    }
    if torch.cuda.is_available():
        info["gpu"] = torch.cuda.get_device_name(0)
    return info


def group_title(group: str) -> str:
    """The title of a group of clips, `source/split` or `source/split/category`."""
    source, split, *category = group.split("/")
    return ", ".join([source.capitalize(), SPLITS[split], *(name.replace("_", " ") for name in category)])


def page(title: str, *blocks: str) -> str:
    """A page of Markdown: a title, then paragraphs or tables; empty ones are left out."""
    return "\n\n".join(block for block in (f"# {title}", *blocks) if block) + "\n"


def table(records: Iterable[Any], columns: Mapping[str, Cell], text_columns: int = 1) -> str:
    """A Markdown table with a line per record; `columns` maps headings to the functions of their cells."""
    rows = [columns, *([cell(record) for cell in columns.values()] for record in records)]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    rule = "|" + "---|" * text_columns + "---:|" * (len(columns) - text_columns)
    return "\n".join([lines[0], rule, *lines[1:]])


def rows_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table of rows whose cells are text."""
    return table(rows, {name: itemgetter(place) for place, name in enumerate(head)})


def spread(value: Mapping[str, Any] | None, digits: int, factor: float = 1.0, unit: str = "") -> str:
    """Mean and, where there is one, deviation of a figure; `/` where it was not measured."""
    if value is None:
        return "/"
    deviation = value.get("std")
    shown = f" ± {factor * deviation:.{digits}f}" if deviation else ""
    return f"{factor * value['mean']:.{digits}f}{shown}{unit}"


def origin(report: Report) -> str:
    """Which model, settings and machine the figures of a report come from."""
    settings, model = report.get("settings", {}), report.get("model", {})
    facts = [f"preset `{model.get('preset', report.get('preset', '?'))}`"]
    if model.get("weights"):
        facts.append(f"weights {model['weights']}")
    if model.get("untrained"):
        facts.append("**untrained**")
    if "quality" in settings:
        facts.append(f"{settings['seeds']} seeds, quality {settings['quality']}")
    about = report["machine"]
    machine = f"{about.get('gpu') or about['processor']}, {about['cores']} cores, torch {about['torch']}"
    return f"{', '.join(facts)}; {machine}."


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:  # not Linux
        pass
    return platform.processor() or "unknown"
