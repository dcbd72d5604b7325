"""Helpers for files of scans: their order, and sentences about them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from core.errors import DataError

Skipped = list[tuple[str, str]]  # a frame's name, and why it cannot be used
_NAMED = 4  # how many file names a sentence lists


def natural_key(path: Path) -> tuple[list[tuple[int, int, str]], str]:
    """A sort key that puts frame2 before frame10."""
    pieces = re.split(r"([0-9]+)", path.name.casefold())
    return [(1, int(piece), "") if piece.isdecimal() else (0, 0, piece) for piece in pieces], path.name


def some_names(names: Iterable[str]) -> str:
    """Up to four names and how many more there are, for a sentence."""
    listed = list(names)
    more = len(listed) - _NAMED
    return ", ".join(listed[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def check_path(path: Path) -> None:
    """Raise DataError if `path` does not exist or cannot be read."""
    try:
        if not path.exists():
            raise DataError(f"{path} does not exist; check the path.")
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); check the path and its permissions.") from error


def skipped_notes(total: int, skipped: Skipped) -> list[str]:
    """One sentence for each reason why frames were skipped, with their names."""
    by_reason: dict[str, list[str]] = {}
    for name, why in skipped:
        by_reason.setdefault(why, []).append(name)
    return [
        f"{len(names):,} of {total:,} frames skipped: {some_names(names)} {why}." for why, names in by_reason.items()
    ]


def none_usable(path: Path, total: int, skipped: Skipped) -> str:
    """The message for scans without a usable frame, with the first frame's reason."""
    name, why = skipped[0] if skipped else (path.name, "holds no frames")
    if total <= 1:
        where = path.name if name.startswith("frame ") or name == path.name else f"{name} in {path}"
        return f"{where} {why}, so there is nothing to reconstruct from; save the scan again."
    return f"None of the {total:,} frames in {path} can be used: {name} {why}; save the scans again."
