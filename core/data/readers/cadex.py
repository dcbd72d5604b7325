"""CaDeX's DeformingThings4D points: `<sequence>/corr/{t}_{k}.npz` and `<sequence>/c_occ/{t}_{k}.npz`.

corr: `arr_0` [n, 3] tracked points; c_occ: `uni_xyz`, `nss_xyz` [q, 3] with packed labels `uni_occ`, `nss_occ`; frame
t, chunk k, no zero padding. All frames share one canonical coordinate frame.
`index/{train,val,test_us,test_ui}.json` list the sequences (us: unseen sequence, ui: unseen individual). A real set
also has folders of partial scans (`static_0`, `scan_0`, ...: `canonical_view_pc` and `object_T` per frame), which are
observations and not read here.
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
    choose,
    load_npz,
    make_clip,
    number_of,
    points_of,
    query_frames,
    relative_name,
    source_folder,
    unpack_bits,
)
from core.errors import DataError

LICENCE = "DeformingThings4D terms of use: research only, no redistribution"
FPS = 24.0  # assumed, as for .anime: the layout gives no frame rate
UP_AXIS = "z"
TRACKS, QUERIES = "corr", "c_occ"


def list_clips(source: Path) -> Listing:
    """One clip per folder below `source` that has `corr` and `c_occ`."""
    root = source_folder(source, "the sequences with corr and c_occ")
    folders = sorted(path.parent for path in root.rglob(TRACKS) if path.is_dir() and (path.parent / QUERIES).is_dir())
    if not folders:
        raise DataError(f"{source} holds no folders with {TRACKS} and {QUERIES}; give the folder of the sequences.")
    entries = []
    for folder in folders:
        identity, _, motion = folder.name.partition("_")
        name = relative_name(folder, root)
        entries.append(ClipEntry("cadex", str(folder), "", name, identity, motion or "motion", "animals"))
    return Listing(tuple(entries))


def read_clip(entry: ClipEntry, points: int) -> TrackedClip:
    """`points` of the tracked points of all chunks, with the stored queries of some frames. Raises DataError."""
    folder = Path(entry.path)
    frames = chunked_frames(folder / TRACKS)
    labelled = chunked_frames(folder / QUERIES)
    numbers = sorted(frames)
    if numbers != list(range(len(numbers))):
        missing = next((n for n in range(len(numbers)) if n not in frames), 0)
        raise DataError(f"{folder / TRACKS} lacks frame {missing}; copy the sequence again.")
    kept: NDArray[np.int64] | None = None
    tracks, sizes = [], [0]
    for number in numbers:
        parts = [points_of(load_npz(path, ("arr_0",))["arr_0"], path, "arr_0") for path in frames[number]]
        if kept is None:
            sizes = [len(part) for part in parts]
            kept = choose(sum(sizes), points, entry.name)
        if [len(part) for part in parts] != sizes:
            raise DataError(
                f"{folder / TRACKS}: frame {number} has different chunks from frame 0; copy the sequence again."
            )
        tracks.append(np.concatenate(parts)[kept])
    if not tracks:
        raise DataError(f"{folder / TRACKS} holds no frames {{t}}_{{k}}.npz; copy the sequence again.")
    queries = [_queries(n, labelled[n]) for n in query_frames(len(numbers)) if n in labelled]
    return make_clip(np.stack(tracks), None, FPS, str(folder), UP_AXIS, queries)


def chunked_frames(folder: Path) -> dict[int, list[Path]]:
    """The chunks of every frame in order, by frame number."""
    frames: dict[int, list[Path]] = {}
    for path in sorted(folder.glob("*.npz"), key=lambda path: number_of(path.stem)):
        frame, separator, chunk = path.stem.partition("_")
        if separator and frame.isdigit() and chunk.isdigit() and len(frame) < 9:
            frames.setdefault(int(frame), []).append(path)
    return frames


def labelled_points(arrays: dict[str, NDArray[Any]], kind: str, path: Path) -> tuple[NDArray[np.float32], NDArray]:
    """Queries [Q, 3] and labels [Q] of one kind, "uni" or "nss"."""
    places = points_of(arrays[f"{kind}_xyz"], path, f"{kind}_xyz")
    return places, unpack_bits(arrays[f"{kind}_occ"], len(places), path)


def _queries(number: int, chunks: list[Path]) -> GivenQueries:
    loaded = [(load_npz(path, ("uni_xyz", "nss_xyz", "uni_occ", "nss_occ")), path) for path in chunks]
    uniform = [labelled_points(arrays, "uni", path) for arrays, path in loaded]
    near = [labelled_points(arrays, "nss", path) for arrays, path in loaded]
    joined = [np.concatenate([pair[i] for pair in pairs]) for pairs in (uniform, near) for i in (0, 1)]
    return GivenQueries(number, *joined)
