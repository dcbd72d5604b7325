"""The opened mesh's own appearance, computed once per mesh, and the initial colouring of results."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from core.io.appearance import Appearance, appearance
from core.sequence import SourceMesh
from m2v_studio.document.state import ColorBy, Document


@lru_cache(maxsize=3)
def own_looks(source: SourceMesh) -> Appearance | None:
    """The mesh's colours and textures; None if its file has none. Cached: reading a mesh calls it off the main thread,
    because images take a moment to decode.
    """
    return appearance(source)


@lru_cache(maxsize=3)
def is_plain(source: SourceMesh) -> bool:
    """True when the whole mesh has one colour or none; then each result is better shown in a colour of its own."""
    looks = own_looks(source)
    if looks is None:
        return True
    return looks.face_colors is not None and float(np.ptp(looks.face_colors, axis=0).max()) < 1e-3


def first_color(document: Document, chosen: str) -> ColorBy:
    """The initial colouring of this document's results: the last `chosen` one if it applies, else the usual one."""
    if document.source is None:
        return "none"
    usual: ColorBy = "none" if is_plain(document.source) else "own"
    known: tuple[ColorBy, ...] = ("none", "own", "stretch", "handle_error")
    wanted = next((color for color in known if color == chosen), usual)
    return "none" if wanted == "own" and own_looks(document.source) is None else wanted
