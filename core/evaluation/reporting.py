"""What every protocol's report shares: atomic files, the cache of a resumable run, and the machine it ran on."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from core.atomic import write_atomically
from core.errors import DataError

OnProgress = Callable[[int, int, str], None]  # steps done, steps in all, what was done; raising stops cleanly


def write_text(path: Path, text: str) -> None:
    """Write whole or not at all; raises DataError with a sentence when the folder cannot be written."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"), DataError)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    write_text(path, json.dumps(value, indent=1) + "\n")


class PartialResults:
    """Figures of finished clips, kept beside the report so that an interrupted run goes on where it stopped.

    `sections` maps a section's name to the settings its entries depend on; entries made under other settings
    are forgotten, so that the peers' figures outlive a change of the model but never a change of the data.
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
        """The stored value of a key, or the computed one, which is on disk before this returns."""
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
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
    }
    if torch.cuda.is_available():
        info["gpu"] = torch.cuda.get_device_name(0)
    return info


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column is text and whose others are figures."""
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"
