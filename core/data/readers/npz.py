"""The project's own `.npz` sequences: `vertices` [T, V, 3], `faces` [F, 3], `fps`; one clip a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from core.data.readers.common import ClipEntry, Listing, TrackedClip, clips_of_files, load_npz, make_clip
from core.errors import DataError


def list_clips(source: Path) -> Listing:
    """One clip per file."""
    return clips_of_files("npz", source, (".npz",), "the .npz sequences")


def read_clip(entry: ClipEntry, points: int) -> TrackedClip:
    """All vertices. Raises DataError."""
    path = Path(entry.path)
    arrays = load_npz(path, ("vertices", "faces", "fps"))
    fps = np.asarray(arrays["fps"]).reshape(-1)
    if len(fps) != 1 or fps.dtype.kind not in "fiu" or arrays["vertices"].dtype.kind not in "fiu":
        raise DataError(f"{path}: its 'fps' must be one number and its 'vertices' numbers; export it again.")
    with np.errstate(over="ignore"):
        return make_clip(arrays["vertices"], arrays["faces"], float(fps[0]), str(path))
