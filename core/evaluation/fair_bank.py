"""A fair bank: what a clip is judged with holds nothing that shares its rig or its motions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.evaluation.evaluation_clips import ClipName


@contextmanager
def without_own_pack(animator: Any, name: ClipName) -> Iterator[None]:
    """While the block runs, the animator's bank lacks the rig of this clip and all of its pack.

    Anything without a bank (a baseline, an untrained model) is left as it is.
    """
    library = getattr(animator, "library", None)
    if library is None or not name.path:
        yield
        return
    stem = Path(name.path).stem
    packs = {shape.name: shape.pack for shape in library.shapes}
    try:
        animator.library = library.without({stem, packs.get(stem, stem)})
        yield
    finally:
        animator.library = library
