"""Fair evaluation: hides everything in the bank that shares a clip's rig or motions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.data.rig_files import clip_author
from core.evaluation.evaluation_clips import ClipName


@contextmanager
def without_own_pack(model: Any, name: ClipName) -> Iterator[None]:
    """Within the block, hide this clip's rig and its pack from the model's banks; for left-out authors, all their work.

    A model without a bank is left as it is.
    """
    banks = {kind: getattr(model, kind, None) for kind in ("library", "bodies", "motions")}
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
