"""Files of scans: their order, and their names in sentences."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from core.errors import DataError

_NAMED = 4  # how many file names a sentence lists


def natural_key(path: Path) -> tuple[list[tuple[int, int, str]], str]:
    """Sorting key that puts frame2 before frame10."""
    pieces = re.split(r"([0-9]+)", path.name.casefold())
    return [(1, int(piece), "") if piece.isdecimal() else (0, 0, piece) for piece in pieces], path.name


def some_names(names: Iterable[str]) -> str:
    """Up to four names and how many more there are, for a sentence."""
    listed = list(names)
    more = len(listed) - _NAMED
    return ", ".join(listed[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def check_path(path: Path) -> None:
    """Raises DataError when there is nothing at `path`."""
    try:
        if not path.exists():
            raise DataError(f"{path} does not exist; check the path.")
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); check the path and its permissions.") from error
