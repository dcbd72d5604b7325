"""Makes valid, unique USD prim names: letters, digits and underscores, no leading digit."""

from __future__ import annotations

from collections.abc import Iterable

from core.io.export_clip import numbered


def prim_names(names: Iterable[str]) -> list[str]:
    """A prim name for each name; equal ones get numbers."""
    from pxr import Tf

    return numbered(Tf.MakeValidIdentifier(f"_{name}" if name[:1].isdigit() else name) for name in names)
