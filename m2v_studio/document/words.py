"""Numbers with their nouns, as people write them."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """`1 mesh`, `4 meshes`, `17 scans`."""
    ending = "" if count == 1 else "es" if noun.endswith(("s", "sh", "ch", "x")) else "s"
    return f"{count:,} {noun}{ending}"
