"""Occupancy Flow / LPDC point sequences: `<sequence>/pcl_seq/%08d.npz` and `<sequence>/points_seq/%08d.npz`.

pcl_seq: `points` [N, 3] tracked over frames, `loc` [3], `scale`. points_seq: `points` float16 [Q, 3], `occupancies`
(packed bits), `loc`, `scale`. A position is loc + scale * point, with each file's own loc and scale, which differ
between the two folders (the mesh fills 1 of the unit box in pcl_seq, 0.9 of it in points_seq). CaDeX distributes the
same data cut into `%08d_<k>.npz`. `{train,val,test,test_new_individual}.lst` lie beside the sequences.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.data.readers.common import (
    ClipEntry,
    GivenQueries,
    Listing,
    TrackedClip,
    chosen_tracks,
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

LICENCE = "made from D-FAUST, whose licence holds: non-commercial research, no redistribution"
FPS = 60.0  # of D-FAUST, the one set in this layout
TRACKS, QUERIES = "pcl_seq", "points_seq"


def list_clips(source: Path) -> Listing:
    """One clip per folder below `source` that has a `pcl_seq`; its parent folder is the category."""
    root = source_folder(source, "the sequences with pcl_seq and points_seq")
    folders = sorted(path.parent for path in root.rglob(TRACKS) if path.is_dir())
    if not folders:
        raise DataError(f"{source} holds no folder {TRACKS}; give the folder that holds the sequences.")
    entries = []
    for folder in folders:
        identity, _, motion = folder.name.partition("_")
        category = folder.parent.name if folder != root else folder.name
        name = relative_name(folder, root)
        entries.append(ClipEntry("oflow", str(folder), "", name, identity, motion or "motion", category))
    return Listing(tuple(entries))


def read_clip(entry: ClipEntry, points: int) -> TrackedClip:
    """`points` of the tracked points, with the stored queries of some frames. Raises DataError."""
    folder = Path(entry.path)
    frames = frame_files(folder / TRACKS)
    if not frames:
        raise DataError(f"{folder / TRACKS} holds no .npz files; copy the sequence again.")
    labelled = dict(frame_files(folder / QUERIES)) if (folder / QUERIES).is_dir() else {}
    clouds = ((chunks[0], np.concatenate([_placed(path) for path in chunks])) for _, chunks in frames)
    tracks = chosen_tracks(clouds, points, entry.name)
    keys = [(number, frames[number][0]) for number in query_frames(len(frames))]
    queries = [_queries(number, labelled[key]) for number, key in keys if key in labelled]
    return make_clip(tracks, None, FPS, str(folder), "y", queries)


def frame_files(folder: Path) -> list[tuple[str, list[Path]]]:
    """(frame name, its chunks) in order: `%08d.npz`, or `%08d_<k>.npz` where frames are cut into chunks."""
    groups: dict[str, list[Path]] = {}
    for path in folder.glob("*.npz"):
        frame, _, chunk = path.stem.partition("_")
        if frame.isdigit() and (chunk == "" or chunk.isdigit()):
            groups.setdefault(frame, []).append(path)
    ordered = sorted(groups, key=number_of)
    return [(frame, sorted(groups[frame], key=lambda path: number_of(path.stem))) for frame in ordered]


def _placed(path: Path) -> NDArray[np.float32]:
    arrays = load_npz(path, ("points", "loc", "scale"))
    return _in_world(points_of(arrays["points"], path), arrays["loc"], arrays["scale"], path)


def _in_world(cloud: NDArray[np.float32], loc: NDArray, scale: NDArray, path: Path) -> NDArray[np.float32]:
    if loc.size != 3 or scale.size != 1 or loc.dtype.kind not in "fiu" or scale.dtype.kind not in "fiu":
        raise DataError(
            f"{path}: its loc and scale have the shapes {loc.shape} and {scale.shape}; expected three numbers and one."
        )
    if not float(scale.reshape(-1)[0]) > 0:
        raise DataError(f"{path}: its scale is {scale.reshape(-1)[0]}, but it must be positive; copy it again.")
    return (loc.reshape(3).astype(np.float64) + float(scale.reshape(-1)[0]) * cloud.astype(np.float64)).astype(
        np.float32
    )


def _queries(number: int, chunks: list[Path]) -> GivenQueries:
    places, labels = [], []
    for path in chunks:
        arrays = load_npz(path, ("points", "occupancies", "loc", "scale"))
        cloud = points_of(arrays["points"], path)
        places.append(_in_world(cloud, arrays["loc"], arrays["scale"], path))
        labels.append(unpack_bits(arrays["occupancies"], len(cloud), path))
    empty = np.zeros((0, 3), np.float32)
    return GivenQueries(number, np.concatenate(places), np.concatenate(labels), empty, np.zeros(0, bool))
