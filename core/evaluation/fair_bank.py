"""A fair bank: what a clip is judged with holds nothing that shares its rig or its motions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.data.rig_files import clip_author
from core.evaluation.evaluation_clips import ClipName


@contextmanager
def without_own_pack(model: Any, name: ClipName) -> Iterator[None]:
    """While the block runs, the model's bank of motions or of bodies lacks the rig of this clip and all of its pack.

    Of an author left out, it lacks all that this author made.

    Anything without a bank (a baseline, an untrained model) is left as it is.
    """
    banks = {kind: getattr(model, kind, None) for kind in ("library", "bodies")}
    stem = Path(name.path).stem
    author = {clip_author(stem)} if name.split == "unseen_author" else set()
    try:
        for kind, bank in banks.items():
            if bank is not None and name.path:
                setattr(model, kind, bank.without({stem, bank.packs.get(stem, stem), *author}))
        yield
    finally:
        for kind, bank in banks.items():
            if bank is not None:
                setattr(model, kind, bank)
