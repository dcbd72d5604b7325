"""The project's own `.npz` sequences: `vertices` [T, V, 3], `faces` [F, 3], `fps`; one clip a file.

A file `<identity>/<motion>.npz` belongs to that identity; a file directly in `SRC` is an identity of its own. A seed
suffix (`walk-seed3.npz`, as the command line writes several samples) does not make another motion.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from core.data.readers.common import (
    ClipEntry,
    Listing,
    Reader,
    TrackedClip,
    files_below,
    load_npz,
    make_clip,
    relative_name,
)
from core.errors import DataError


def list_clips(source: Path) -> Listing:
    """One clip per file."""
    root = source if source.is_dir() else source.parent
    entries = []
    for path in files_below(source, (".npz",), "the .npz sequences"):
        below = path.relative_to(root).parts
        stem = re.sub(r"-seed\d+$", "", path.stem)
        identity, motion = ("/".join(below[:-1]), stem) if len(below) > 1 else (stem, "motion")
        category = below[0] if len(below) > 2 else root.name
        entries.append(ClipEntry("npz", str(path), "", relative_name(path, root), identity, motion, category))
    return Listing(tuple(entries))


def read_clip(entry: ClipEntry, points: int) -> TrackedClip:
    """All vertices; raises DataError."""
    path = Path(entry.path)
    arrays = load_npz(path, ("vertices", "faces", "fps"))
    fps = np.asarray(arrays["fps"]).reshape(-1)
    if len(fps) != 1 or fps.dtype.kind not in "fiu" or arrays["vertices"].dtype.kind not in "fiu":
        raise DataError(f"{path}: its 'fps' has to be one number and its 'vertices' numbers; export it again.")
    with np.errstate(over="ignore"):
        return make_clip(arrays["vertices"], arrays["faces"], float(fps[0]), str(path))


READER = Reader("npz", "not stated", list_clips, read_clip)
