"""The log of a stage: one JSON object per line, for plotting the loss."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from core.atomic import write_atomically
from core.errors import CheckpointError


class Log:
    """Appends JSON lines and flushes each, so that a killed run keeps its curve.

    Lines after `step`, which a killed run wrote after its last saved state, are dropped. Raises CheckpointError.
    """

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        if not path.exists():
            return
        try:
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        except (OSError, UnicodeDecodeError) as error:
            raise CheckpointError(f"{path} cannot be read; delete it or choose another folder.") from error
        kept = [line for line in lines if _step_of(line) <= step]
        if len(kept) < len(lines):
            write_atomically(path, lambda temporary: temporary.write_text("".join(kept), encoding="utf-8"))

    def write(self, values: dict[str, Any]) -> None:
        try:
            with self.path.open("a", encoding="utf-8") as handle:
                handle.write(json.dumps(values) + "\n")
        except OSError as error:
            raise CheckpointError(
                f"{self.path} could not be written ({error.strerror}); free some space or choose another folder."
            ) from error


def _step_of(line: str) -> float:
    """The step of a log line; infinite if the line is cut off."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf
