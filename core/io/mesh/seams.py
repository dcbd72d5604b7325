"""Splits texture seams, for formats with one texture coordinate per vertex."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from core.sequence import MeshPart, frozen_array


def split_by_uv(
    uv: NDArray[np.float32], parts: Sequence[MeshPart]
) -> tuple[NDArray[np.float32], tuple[MeshPart, ...], NDArray[np.int64]]:
    """Add a copy of each vertex for every further texture coordinate at its corners (`MeshPart.corner_uv`).

    Returns uv [W', 2], the parts on the new vertices, and the original vertex [W'] of each. The W vertices come first,
    then the copies, sorted by vertex and coordinate; parts share them.
    """
    whole = [part for part in parts if part.corner_uv is not None]
    if not whole:
        return uv, tuple(parts), np.arange(len(uv))
    keys = []
    for part in whole:
        other = _differs(part, uv)
        keys.append(np.column_stack([part.faces[other].astype(np.float64), part.corner_uv[other].astype(np.float64)]))  # type: ignore[index]
    copies, places = np.unique(np.concatenate(keys), axis=0, return_inverse=True)
    numbers = iter(np.split(len(uv) + places.reshape(-1), np.cumsum([len(rows) for rows in keys])[:-1]))
    result = []
    for part in parts:
        if part.corner_uv is not None:
            faces = part.faces.copy()
            faces[_differs(part, uv)] = next(numbers)
            part = replace(part, faces=frozen_array(faces, np.int32, (None, 3), "faces"), corner_uv=None)
        result.append(part)
    origin = np.concatenate([np.arange(len(uv)), copies[:, 0].astype(np.int64)])
    return np.concatenate([uv, copies[:, 1:].astype(np.float32)]), tuple(result), origin


def _differs(part: MeshPart, uv: NDArray[np.float32]) -> NDArray[np.bool_]:
    """[F_part, 3] bool: corners whose texture coordinate differs from their vertex's."""
    assert part.corner_uv is not None
    return np.asarray(np.not_equal(part.corner_uv, uv[part.faces]).any(axis=2))
