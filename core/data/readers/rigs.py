"""Folders of rigged GLB files: one clip per animation, skinned, with its fixed split.

The rig bank (`m2v prepare rigs SRC DST.safetensors`) is smaller and keeps exact skinning; shards of rigs serve to mix
them with other sets.
"""

from __future__ import annotations

from pathlib import Path

from core.data.readers.common import ClipEntry, Listing, TrackedClip, make_clip, relative_name
from core.data.rig_files import CATEGORIES, clip_split, rig_files
from core.errors import DataError, MeshError
from core.io.gltf.clip_reader import FPS
from core.io.gltf.clip_reader import read_clip as read_rig_clip
from core.io.gltf.scene import GltfScene

LICENCE = "per file, see the set's README"


def list_clips(source: Path) -> Listing:
    """One clip per animation; files without any, or unreadable ones, are skipped and reported."""
    files = [source] if source.is_file() else rig_files(source)
    root = source if source.is_dir() else source.parent
    entries, skipped = [], []
    for path in files:
        try:
            names = GltfScene(path).clip_names
        except (MeshError, DataError) as error:
            skipped.append((path.name, str(error)))
            continue
        if not names:
            skipped.append((path.name, f"{path.name} has no animation, so there is no motion to learn."))
        category = path.parent.name if path.parent.name in CATEGORIES else "objects"
        for number, motion in enumerate(names):
            name = f"{relative_name(path, root)}/{number:02d}-{motion}"
            split = clip_split(path.stem, number, len(names))
            entries.append(ClipEntry("rigs", str(path), str(number), name, path.stem, motion, category, split))
    return Listing(tuple(entries), tuple(skipped))


def read_clip(entry: ClipEntry, points: int) -> TrackedClip:
    """All welded vertices of one animation at 24 frames per second; raises MeshError or DataError."""
    sequence = read_rig_clip(entry.path, int(entry.key), FPS)
    return make_clip(sequence.vertices, sequence.faces, sequence.fps, entry.name)
