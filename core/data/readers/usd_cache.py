"""USD caches (`.usd .usda .usdc .usdz`): meshes with time samples for points or transforms; one clip per file.

All visible mesh prims of a file form one surface in world space. Faces must not change in time. Up axis and frame rate
are the stage's own. Skeletons (UsdSkel) are not baked: export the animation as a point cache.
"""

from __future__ import annotations

from pathlib import Path

from core.data.readers.common import ClipEntry, Listing, TrackedClip, clips_of_files, make_clip
from core.io.usd.usd_reader import read_point_cache

SUFFIXES = (".usd", ".usda", ".usdc", ".usdz")


def list_clips(source: Path) -> Listing:
    """One clip per file; `<identity>/<motion>.usdc` belongs to that identity."""
    return clips_of_files("usd", source, SUFFIXES, "the USD caches")


def read_clip(entry: ClipEntry, points: int) -> TrackedClip:
    """All points of all mesh prims in world space, one frame per time sample. Raises DataError."""
    cache = read_point_cache(Path(entry.path))
    return make_clip(cache.positions, cache.triangles, cache.fps, entry.path, cache.up_axis)
