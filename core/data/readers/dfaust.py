"""D-FAUST registrations: `registrations_m.hdf5` and `registrations_f.hdf5` as downloaded.

One dataset `<subject>_<sequence>` per clip, stored [6890, 3, T] (so frames are the last axis) in metres, Y up, 60
frames per second, and one `faces` [13776, 3] per file. The published split reads `train.lst`, `val.lst`, `test.lst` and
`test_new_individual.lst` beside the files; without them subject 50021 is the unseen identity.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from core.data.readers.common import MAX_CLIP_BYTES, ClipEntry, Listing, TrackedClip, files_below, make_clip
from core.errors import DataError

LICENCE = "Dynamic FAUST licence: non-commercial research, no redistribution"
FPS = 60.0
UNSEEN_IDENTITIES = ("50021",)
SUFFIXES = (".hdf5", ".h5")


def list_clips(source: Path) -> Listing:
    """One clip per sequence of every file; files that cannot be opened are skipped and reported."""
    entries, skipped = [], []
    for path in files_below(source, SUFFIXES, "registrations_m.hdf5 and registrations_f.hdf5"):
        try:
            with _open(path) as file:
                _member(file, "faces", path)
                names = sorted(name for name in file if name != "faces")
        except DataError as error:
            skipped.append((path.name, str(error)))
            continue
        category = {"registrations_m": "men", "registrations_f": "women"}.get(path.stem, path.stem)
        for name in names:
            subject, _, motion = name.partition("_")
            entries.append(ClipEntry("dfaust", str(path), name, name, subject, motion or "motion", category))
    return Listing(tuple(entries), tuple(skipped))


def read_clip(entry: ClipEntry, points: int) -> TrackedClip:
    """All vertices of one sequence. Raises DataError."""
    path = Path(entry.path)
    with _open(path) as file:
        faces, stored = _member(file, "faces", path), _member(file, entry.key, path)
        label = f"{path.name}: {entry.key}"
        if len(stored.shape) != 3 or stored.shape[1] != 3 or stored.dtype.kind not in "fiu":
            raise DataError(f"{label} has the shape {stored.shape}, expected vertices x 3 x frames.")
        for dataset in (stored, faces):
            if dataset.size * max(dataset.dtype.itemsize, 8) > MAX_CLIP_BYTES:
                raise DataError(f"{label} claims {dataset.size:,} numbers, which no clip has; the file is damaged.")
        try:
            corners, tracks = faces[()], np.moveaxis(stored[()], 2, 0)
        except (OSError, ValueError, RuntimeError, TypeError, MemoryError) as error:
            raise DataError(f"{label} cannot be read ({type(error).__name__}); download the file again.") from None
    if np.asarray(corners).dtype.kind not in "iu":
        raise DataError(f"{path.name}: its faces are {corners.dtype}, expected vertex numbers.")
    with np.errstate(over="ignore"):
        return make_clip(tracks, np.asarray(corners).astype(np.int64), FPS, label)


def _open(path: Path) -> Any:
    try:
        import h5py
    except ImportError:
        raise DataError(
            "Reading D-FAUST needs the package h5py; install it with: pip install 'm2v-studio[data]'"
        ) from None
    try:
        return h5py.File(path, "r")
    except OSError:
        raise DataError(f"{path} is damaged, cut short or not an HDF5 file; download it again.") from None


def _member(file: Any, name: str, path: Path) -> Any:
    """A dataset stored in the file itself; links to other files are not followed."""
    import h5py

    try:
        if not isinstance(file.get(name, getlink=True), h5py.HardLink):
            raise DataError(f"{path} has no {name!r} of its own; download it again.")
        found = file[name]
        if not isinstance(found, h5py.Dataset) or found.external or found.is_virtual:
            raise DataError(f"{path}: {name!r} is not a plain array; download it again.")
        found.shape, found.dtype  # noqa: B018 (raises where the file is damaged)
    except (KeyError, OSError, ValueError, RuntimeError, TypeError) as error:
        raise DataError(f"{path}: {name!r} cannot be read ({type(error).__name__}); download it again.") from None
    return found
