"""Makes valid, unique USD prim names: letters, digits and underscores, no leading digit."""

from __future__ import annotations

from collections.abc import Iterable


def prim_names(names: Iterable[str]) -> list[str]:
    """A prim name for each name; equal ones get numbers."""
    from pxr import Tf

    result: list[str] = []
    for name in names:
        stem = Tf.MakeValidIdentifier(f"_{name}" if name[:1].isdigit() else name)
        unique, number = stem, 1
        while unique in result:
            unique, number = f"{stem}_{number}", number + 1
        result.append(unique)
    return result
