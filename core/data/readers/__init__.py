"""Readers of the field's data layouts: each lists the clips of a source and reads one as tracked points or a mesh.

Importing this needs numpy and scipy only; h5py and usd-core are asked for by the layouts that need them.
"""

from __future__ import annotations

from core.data.data_sets import DATA_SETS
from core.data.readers import anime, cadex, dfaust, mesh_folder, npz, oflow, rigs, shape2motion, usd_cache
from core.data.readers.common import ClipEntry, GivenQueries, Listing, Reader, TrackedClip
from core.errors import DataError

__all__ = ["ClipEntry", "GivenQueries", "Listing", "Reader", "TrackedClip", "reader"]

_READERS = (
    rigs.READER,
    anime.READER,
    dfaust.READER,
    shape2motion.READER,
    oflow.READER,
    cadex.READER,
    mesh_folder.READER,
    usd_cache.READER,
    npz.READER,
)


def reader(name: str) -> Reader:
    """The reader of a layout by name; raises DataError and names the layouts there are."""
    for each in _READERS:
        if each.format == name:
            return each
    raise DataError(f"The format {name!r} is not known; choose one of {', '.join(DATA_SETS)}.")
