"""Loads untrusted YAML within budgets: bounded in size and depth, without aliases, which can expand without end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

MAX_YAML_BYTES = 3 << 19  # 1.5 MB: 64 handles with keys in each of 200 frames take 1 MB
MAX_DEPTH = 32
FastLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class BudgetError(ValueError):
    """Why a YAML text is not read, as a part of a sentence that begins with its name."""


def read_within(path: Path, most: int) -> bytes:
    """A file's bytes; BudgetError for more than `most`, also of a pipe or a device that never ends."""
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise BudgetError(f"is larger than {MAX_YAML_BYTES / (1 << 20):g} MB")
    return data


def number_in(value: Any) -> Any:
    """The number that a text is, as YAML 1.1 reads 1e-4 as text; anything else as it is."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def parse_yaml(text: str, loader: Any = FastLoader) -> Any:
    """The values of a YAML text; raises BudgetError beyond the budgets, and what PyYAML raises for damaged text."""
    if len(text) > MAX_YAML_BYTES:
        raise BudgetError(f"is larger than {MAX_YAML_BYTES / (1 << 20):g} MB")
    depth = 0
    # Events are read one by one, so that deep nesting is found before any recursion.
    for event in yaml.parse(text, Loader=FastLoader):
        if isinstance(event, yaml.AliasEvent):
            raise BudgetError("uses YAML aliases (*name), which are not read; write the values out")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise BudgetError(f"is nested more than {MAX_DEPTH} deep")
    return yaml.load(text, Loader=loader)
