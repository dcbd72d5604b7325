"""The common result of all data-set readers, and safe reading of the files that layouts are made of."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import DataError
from core.sequence import MIN_FRAMES

MAX_CLIP_BYTES = 8 << 30  # of one clip in memory; a header that claims more is damaged
MAX_CLIP_VERTICES = 2_000_000
QUERY_FRAMES = 6  # frames of a clip whose stored occupancy queries are kept
_SIZE_LIMIT = 1e15  # beyond it, sizes overflow in single precision


@dataclass(frozen=True)
class ClipEntry:
    """The location of one clip; small and picklable, so that workers read clips themselves.

    `name` is unique in the set. `identity` and `motion` decide the split where no list names the clip; `split` is set
    when the layout itself says it.
    """

    format: str
    path: str
    key: str  # the clip inside `path`, "" when it is the whole file or folder
    name: str
    identity: str
    motion: str
    category: str
    split: str | None = None


@dataclass(frozen=True)
class Listing:
    """The clips of a source in a fixed order, and what could not be listed, with reasons."""

    entries: tuple[ClipEntry, ...]
    skipped: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, eq=False)
class GivenQueries:
    """Labelled occupancy queries of one frame, as stored by a layout, in the clip's units."""

    frame: int
    uniform: NDArray[np.float32]  # [Q, 3], uniform in a box that holds the shape
    uniform_inside: NDArray[np.bool_]
    near: NDArray[np.float32]  # [Q', 3] near the surface; may be empty
    near_inside: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class TrackedClip:
    """One clip in the units and axes of its source.

    With faces [F, 3] int32, the tracks [T, V, 3] float32 are mesh vertices. Without, they are surface points, and
    `queries` say what is inside.
    """

    tracks: NDArray[np.float32]
    faces: NDArray[np.int32] | None
    fps: float
    up_axis: str = "y"
    queries: tuple[GivenQueries, ...] = ()


@dataclass(frozen=True)
class Reader:
    """One layout. `list_clips(source)` is quick and reads no geometry; `read_clip(entry, points)` reads one clip.

    `points` is the number of tracked points wanted; mesh layouts return all vertices. Both raise DataError or
    MeshError.
    """

    format: str  # as in `core.data.data_sets`
    licence: str  # the set's own terms, where the layout states them
    list_clips: Callable[[Path], Listing]
    read_clip: Callable[[ClipEntry, int], TrackedClip]


def make_clip(
    tracks: ArrayLike,
    faces: ArrayLike | None,
    fps: float,
    label: str,
    up_axis: str = "y",
    queries: Sequence[GivenQueries] = (),
) -> TrackedClip:
    """A TrackedClip of checked arrays. Raises DataError that names `label`."""
    moved = np.ascontiguousarray(tracks, dtype=np.float32)
    if moved.ndim != 3 or moved.shape[2] != 3 or moved.shape[1] < 4:
        raise DataError(f"{label}: its tracks have the shape {moved.shape}, expected frames x points x 3.")
    if len(moved) < MIN_FRAMES:
        raise DataError(f"{label} has {len(moved)} frame, but a motion needs {MIN_FRAMES}; leave it out.")
    if not np.isfinite(moved).all() or np.abs(moved).max() > _SIZE_LIMIT:
        raise DataError(f"{label} has positions that are not finite numbers of a possible size; export it again.")
    low, high = moved[0].min(0), moved[0].max(0)
    if (high - low).max() <= 1e-6 * np.abs(moved[0]).max():
        raise DataError(f"{label}: all points of frame 0 coincide, so the shape has no size; export it again.")
    if not (np.isfinite(fps) and fps > 0):
        raise DataError(f"{label} has {fps} frames per second, which is out of range; correct it.")
    return TrackedClip(moved, None if faces is None else _checked_faces(faces, moved.shape[1], label), float(fps),
                       up_axis, tuple(queries))  # fmt: skip


def _checked_faces(faces: ArrayLike, vertices: int, label: str) -> NDArray[np.int32]:
    corners = np.asarray(faces)
    if corners.ndim != 2 or corners.shape[1] != 3 or corners.dtype.kind not in "iu" or len(corners) == 0:
        raise DataError(f"{label}: its faces have the shape {corners.shape}, expected faces x 3.")
    if int(corners.min()) < 0 or int(corners.max()) >= vertices:
        raise DataError(f"{label}: a face refers to a vertex outside 0 to {vertices - 1}; the file is damaged.")
    return np.ascontiguousarray(corners, dtype=np.int32)


def source_folder(source: Path, what: str) -> Path:
    """`source` as a folder; raises DataError when it is none."""
    if not source.is_dir():
        raise DataError(f"{source} is not a folder; give the folder that holds {what}.")
    return source


def files_below(source: Path, suffixes: Iterable[str], what: str) -> list[Path]:
    """The file itself, or all files with one of the suffixes under a folder, sorted; raises DataError for none."""
    wanted = tuple(suffixes)
    if source.is_file() and source.suffix.lower() in wanted:
        return [source]
    folder = source_folder(source, what)
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in wanted and path.is_file())
    if not found:
        raise DataError(f"{source} holds no {' or '.join(wanted)} files; give the folder that holds {what}.")
    return found


def clips_of_files(format_name: str, source: Path, suffixes: Iterable[str], what: str) -> Listing:
    """One clip per file: `<identity>/<motion>.npz` belongs to that identity, a file directly in `source` to its own.

    A seed suffix (`walk-seed3.npz`, as the command line writes) does not make another motion.
    """
    root = source if source.is_dir() else source.parent
    entries = []
    for path in files_below(source, suffixes, what):
        below = path.relative_to(root).parts
        stem = re.sub(r"-seed\d+$", "", path.stem)
        identity, motion = ("/".join(below[:-1]), stem) if len(below) > 1 else (stem, "motion")
        category = below[0] if len(below) > 2 else root.name
        entries.append(ClipEntry(format_name, str(path), "", relative_name(path, root), identity, motion, category))
    return Listing(tuple(entries))


def relative_name(path: Path, root: Path) -> str:
    """The path below `root` without its suffix, with `/` between folders: a name that is unique in the set."""
    below = path.relative_to(root) if path != root else Path(path.name)
    return below.with_suffix("").as_posix() if path.is_file() else below.as_posix()


def number_of(name: str) -> tuple[list[int], str]:
    """A sort key that puts `frame_2` before `frame_10`: the numbers in a name, then the name."""
    return [int(digits) for digits in re.findall(r"\d{1,18}", name)], name


def in_clip_order(paths: Iterable[Path]) -> list[Path]:
    """Frame files by the numbers in their names."""
    return sorted(paths, key=lambda path: number_of(path.stem))


def load_npz(path: Path, wanted: Sequence[str] = ()) -> dict[str, NDArray[Any]]:
    """The arrays of an `.npz` (that of an `.npy` as "arr_0"); nothing is unpickled, and the size is limited.

    `wanted` names the arrays to read. Raises DataError for a missing array and a damaged or too large file.
    """
    try:
        if path.suffix.lower() == ".npy":
            return {"arr_0": np.load(path, allow_pickle=False, mmap_mode="r")}
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > MAX_CLIP_BYTES:
                raise DataError(f"{path} unpacks to more than {MAX_CLIP_BYTES >> 30} GB; it is damaged or not a clip.")
        with np.load(path, allow_pickle=False) as arrays:
            names = list(arrays.files)
            missing = [name for name in wanted if name not in names]
            if missing:
                raise DataError(f"{path} has no array {missing[0]!r} (it has {', '.join(names[:8]) or 'none'}).")
            return {name: arrays[name] for name in (wanted or names)}
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; the clip is incomplete, copy it again.") from None
    except Exception as error:  # damaged archives raise whatever zipfile, zlib, struct or numpy's header parser meets
        raise DataError(
            f"{path} is damaged, cut short or not a NumPy file ({type(error).__name__}); copy it again."
        ) from None


def points_of(array: NDArray[Any], path: Path, what: str = "points") -> NDArray[np.float32]:
    """`array` as float32 [N, 3]. Raises DataError for other shapes and values that are not finite."""
    if array.ndim != 2 or array.shape[1] != 3 or array.dtype.kind not in "fiu" or len(array) == 0:
        raise DataError(f"{path}: its {what} have the shape {array.shape} ({array.dtype}), expected N x 3 numbers.")
    with np.errstate(over="ignore"):
        points = np.asarray(array, dtype=np.float32)
    if not np.isfinite(points).all():
        raise DataError(f"{path}: its {what} hold values that are not finite numbers; copy it again.")
    return points


def unpack_bits(packed: NDArray[Any], count: int, path: Path) -> NDArray[np.bool_]:
    """`count` labels from packed bits (uint8, most significant first) or one number per label. Raises DataError."""
    flat = np.asarray(packed).reshape(-1)
    if flat.dtype == np.uint8 and len(flat) == (count + 7) // 8 and len(flat) != count:
        return np.unpackbits(flat, count=count).astype(bool)
    if len(flat) == count and flat.dtype.kind in "bfiu":
        return np.asarray(flat > 0.5 if flat.dtype.kind == "f" else flat != 0)
    raise DataError(f"{path}: {len(flat)} packed labels do not fit {count} points; the file is damaged.")


def query_frames(frames: int) -> list[int]:
    """Frames whose stored queries are read: up to QUERY_FRAMES, evenly over the first three quarters."""
    last = max(0, (3 * frames) // 4 - 1)
    return sorted({round(frame) for frame in np.linspace(0, last, min(QUERY_FRAMES, last + 1))})


def chosen_tracks(clouds: Iterable[tuple[Path, NDArray[np.float32]]], points: int, name: str) -> NDArray[np.float32]:
    """`points` of the tracked points of all frames [T, points, 3]; raises DataError where a frame has more or fewer."""
    kept: NDArray[np.int64] | None = None
    tracks, count = [], 0
    for path, cloud in clouds:
        if kept is None:
            count, kept = len(cloud), choose(len(cloud), points, name)
        if len(cloud) != count:
            raise DataError(f"{path} has {len(cloud)} tracked points, but frame 0 has {count}; copy it again.")
        tracks.append(cloud[kept])
    return np.stack(tracks)


def choose(count: int, wanted: int, name: str) -> NDArray[np.int64]:
    """Indices of `wanted` of `count` tracked points, sorted; always the same for the same name."""
    import zlib

    random = np.random.default_rng(zlib.crc32(name.encode()))
    return np.sort(random.permutation(count)[:wanted])
