"""DeformingThings4D `.anime` files: `<object>_<action>/<object>_<action>.anime`, in `animals/` and `humanoids/`.

Little-endian: int32 nf, nv, nt; float32 [nv, 3] vertices of frame 0; int32 [nt, 3] faces; float32 [nf - 1, nv, 3]
offsets of the later frames from frame 0 (not from the frame before). The files say neither frame rate nor up axis;
they were exported from Blender, so Z up and 24 frames per second are assumed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from core.data.readers.common import (
    MAX_CLIP_VERTICES,
    ClipEntry,
    Listing,
    TrackedClip,
    files_below,
    make_clip,
    relative_name,
)
from core.errors import DataError

LICENCE = "DeformingThings4D terms of use: research only, no redistribution"
FPS = 24.0
UP_AXIS = "z"
HEADER_BYTES = 12


def list_clips(source: Path) -> Listing:
    """One clip per file; the category is `animals` or `humanoids` when such a folder holds it."""
    root = source if source.is_dir() else source.parent
    entries = []
    for path in files_below(source, (".anime",), "the .anime files"):
        identity, _, motion = path.stem.partition("_")
        parts = path.relative_to(root).parts[:-1]
        category = next((part for part in parts if part in ("animals", "humanoids")), root.name)
        name = relative_name(path, root)
        entries.append(ClipEntry("anime", str(path), "", name, identity, motion or "motion", category))
    return Listing(tuple(entries))


def read_clip(entry: ClipEntry, points: int) -> TrackedClip:
    """All vertices of one file. Raises DataError where its size does not fit its header."""
    path = Path(entry.path)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(HEADER_BYTES)
            if len(head) < HEADER_BYTES:
                raise DataError(f"{path} has {size} bytes, so it is not an .anime file; copy it again.")
            frames, vertices, faces = (int(number) for number in np.frombuffer(head, dtype="<i4"))
            if frames < 1 or not 1 <= vertices <= MAX_CLIP_VERTICES or faces < 1:
                raise DataError(
                    f"{path} says it has {frames} frames, {vertices} vertices and {faces} faces, which is "
                    "impossible; copy the file again."
                )
            expected = HEADER_BYTES + 12 * (frames * vertices + faces)
            if size != expected:  # checked before anything of that size is read
                raise DataError(
                    f"{path} has {size:,} bytes, but its header implies {expected:,}; it is cut short or damaged, "
                    "copy it again."
                )
            first = np.frombuffer(file.read(12 * vertices), dtype="<f4").reshape(vertices, 3)
            corners = np.frombuffer(file.read(12 * faces), dtype="<i4").reshape(faces, 3)
            offsets = np.frombuffer(file.read(), dtype="<f4").reshape(frames - 1, vertices, 3)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); check its permissions.") from None
    with np.errstate(over="ignore", invalid="ignore"):  # make_clip says so in a sentence
        tracks = np.concatenate([first[None], first[None] + offsets])
    return make_clip(tracks, corners, FPS, str(path), UP_AXIS)
