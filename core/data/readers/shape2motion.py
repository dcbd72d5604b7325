"""Shape2Motion in CaDeX's layout: `<category>/<id>art/{meta.json, pc/, corr/, implicit/, obs/}`.

One folder is one moving object; each of its folders has one NumPy file per frame, ordered by the numbers in their
names. corr holds tracked points [n, 3], implicit queries with a value that is negative inside (`occ < 0`).
`<category>/{train,val,test}.json` list the folders (or ids); the objects in the test list are not trained on.

The names of the arrays are not documented, so arrays are recognised by shape: a single [n, 3] array holds points and a
[q, 4] array queries with their value; else `*xyz*` or `*points*` goes with `*occ*` or `*sdf*` of the same length. Names
with `nss` or `near` are near-surface queries, others uniform. In packed bits, set bits are inside.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.data.readers.common import (
    ClipEntry,
    GivenQueries,
    Listing,
    TrackedClip,
    chosen_tracks,
    in_clip_order,
    load_npz,
    make_clip,
    points_of,
    query_frames,
    relative_name,
    source_folder,
    unpack_bits,
)
from core.data.splits import IDENTITY_LIST_SPLITS, published_splits
from core.errors import DataError

LICENCE = "Shape2Motion terms: research only"
FPS = 24.0  # assumed: the set gives no frame rate
SUFFIXES = (".npz", ".npy")
_PLACES, _LABELS, _NEAR = ("xyz", "point", "pts"), ("occ", "sdf"), ("nss", "near")


def list_clips(source: Path) -> Listing:
    """One clip per folder `*art` with a `corr` folder; the split is read from its category's lists."""
    root = source_folder(source, "the categories of Shape2Motion")
    folders = sorted(path.parent for path in root.rglob("corr") if path.is_dir() and path.parent.name.endswith("art"))
    if not folders:
        raise DataError(f"{source} holds no folders <id>art with corr; give the folder that holds the categories.")
    lists = {parent: published_splits(parent, IDENTITY_LIST_SPLITS) for parent in {f.parent for f in folders}}
    entries = []
    for folder in folders:
        identity, said = folder.name.removesuffix("art"), lists[folder.parent]
        split = said.get(folder.name) or said.get(identity)
        name = relative_name(folder, root)
        entry = ClipEntry("shape2motion", str(folder), "", name, f"{folder.parent.name}/{identity}", "articulation",
                          folder.parent.name, split)  # fmt: skip
        entries.append(entry)
    return Listing(tuple(entries))


def read_clip(entry: ClipEntry, points: int) -> TrackedClip:
    """`points` of the tracked points, with the stored queries of some frames. Raises DataError."""
    folder = Path(entry.path)
    frames = _frame_files(folder / "corr")
    if not frames:
        raise DataError(f"{folder / 'corr'} holds no NumPy files; copy the object again.")
    tracks = chosen_tracks(((path, _tracked(load_npz(path), path)) for path in frames), points, entry.name)
    labelled = _frame_files(folder / "implicit")
    if labelled and len(labelled) != len(frames):
        raise DataError(f"{folder} has {len(frames)} frames in corr, but {len(labelled)} in implicit; copy it again.")
    chosen = query_frames(len(frames)) if labelled else []
    queries = [_queries(n, load_npz(labelled[n]), labelled[n]) for n in chosen]
    return make_clip(tracks, None, FPS, str(folder), "y", queries)


def _frame_files(folder: Path) -> list[Path]:
    return in_clip_order(p for p in folder.glob("*") if p.suffix.lower() in SUFFIXES) if folder.is_dir() else []


def _tracked(arrays: dict[str, NDArray[Any]], path: Path) -> NDArray[np.float32]:
    fitting = [name for name, array in arrays.items() if array.ndim == 2 and array.shape[1] == 3]
    preferred = [name for name in fitting if name in ("arr_0", "points", "corr", "pc")] or fitting
    if len(preferred) != 1:
        raise DataError(f"{path} holds {len(fitting)} arrays of points (n x 3), but one is needed; copy it again.")
    return points_of(arrays[preferred[0]], path, preferred[0])


def _queries(number: int, arrays: dict[str, NDArray[Any]], path: Path) -> GivenQueries:
    kinds: dict[bool, list[tuple[NDArray[np.float32], NDArray[np.bool_]]]] = {False: [], True: []}
    for name, array in arrays.items():
        near = any(word in name.lower() for word in _NEAR)
        if array.ndim == 2 and array.shape[1] == 4:
            kinds[near].append((points_of(array[:, :3], path, name), array[:, 3] < 0))
        elif array.ndim == 2 and array.shape[1] == 3 and any(word in name.lower() for word in _PLACES):
            places = points_of(array, path, name)
            kinds[near].append((places, _labels(arrays, near, len(places), path)))
    if not (kinds[False] or kinds[True]):
        raise DataError(f"{path} holds no queries with their occupancy ({', '.join(list(arrays)[:6])}); copy it again.")
    empty = (np.zeros((0, 3), np.float32), np.zeros(0, bool))
    joined = [np.concatenate([pair[i] for pair in (kinds[near] or [empty])]) for near in (False, True) for i in (0, 1)]
    return GivenQueries(number, *joined)


def _labels(arrays: dict[str, NDArray[Any]], near: bool, count: int, path: Path) -> NDArray[np.bool_]:
    """Labels of the queries of one kind. Signed values are inside below zero, packed or unsigned ones where set."""
    for name, array in arrays.items():
        if any(word in name.lower() for word in _LABELS) and any(word in name.lower() for word in _NEAR) == near:
            flat = np.asarray(array).reshape(-1)
            if len(flat) == count and flat.dtype.kind in "fi":
                return np.asarray(flat < 0)
            return unpack_bits(flat, count, path)
    raise DataError(f"{path} has query points but no occupancy; copy it again.")
