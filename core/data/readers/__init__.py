"""Readers of published data layouts: each lists the clips of a source and reads one as tracked points or a mesh.

Needs numpy and scipy only; layouts that need h5py or usd-core import them when used.
"""

from __future__ import annotations

from core.data.data_sets import DATA_SETS
from core.data.readers import anime, cadex, dfaust, mesh_folder, npz, oflow, rigs, shape2motion, usd_cache
from core.data.readers.common import ClipEntry, GivenQueries, Listing, Reader, TrackedClip
from core.errors import DataError

__all__ = ["ClipEntry", "GivenQueries", "Listing", "Reader", "TrackedClip", "reader"]

_READERS = {
    "rigs": rigs,
    "anime": anime,
    "dfaust": dfaust,
    "shape2motion": shape2motion,
    "oflow": oflow,
    "cadex": cadex,
    "meshes": mesh_folder,
    "usd": usd_cache,
    "npz": npz,
}


def reader(name: str) -> Reader:
    """The reader of a layout by name. Raises DataError that lists the names."""
    if name not in _READERS:
        raise DataError(f"Unknown format {name!r}; choose one of {', '.join(DATA_SETS)}.")
    module = _READERS[name]
    licence = getattr(module, "LICENCE", "not stated")
    return Reader(name, licence, module.list_clips, module.read_clip)
