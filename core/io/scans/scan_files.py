"""Files of scans: their order, their names in sentences, and arrays out of .npy and .npz whose headings may lie."""

from __future__ import annotations

import io
import math
import re
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError

MAX_FILE_BYTES = 1 << 29
MAX_ARRAY_BYTES = 1 << 31  # of one array after decompression
_NAMED = 4  # how many file names a sentence lists


class SkippedError(Exception):
    """Why one frame cannot be used, as a part of a sentence that begins with its name."""


def natural_key(path: Path) -> tuple[list[tuple[int, int, str]], str]:
    """Sorting key that puts frame2 before frame10."""
    pieces = re.split(r"([0-9]+)", path.name.casefold())
    return [(1, int(piece), "") if piece.isdecimal() else (0, 0, piece) for piece in pieces], path.name


def some_names(names: Iterable[str]) -> str:
    """Up to four names and how many more there are, for a sentence."""
    listed = list(names)
    more = len(listed) - _NAMED
    return ", ".join(listed[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def read_bytes(path: Path) -> bytes:
    """The whole file; raises SkippedError when it is empty, too large or cannot be read."""
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise SkippedError(f"is larger than {MAX_FILE_BYTES >> 20} MB")
        data = path.read_bytes()
    except OSError as error:
        raise SkippedError(f"cannot be read ({error.strerror or error})") from error
    if not data:
        raise SkippedError("is empty")
    return data


def array_shapes(path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Shape and type of every array in a .npy or .npz, from the headings alone; raises SkippedError."""
    return {name: (shape, kind) for name, shape, kind, _ in _arrays(path, wanted=())}


def read_arrays(path: Path, wanted: Sequence[str] | None = None) -> dict[str, NDArray]:
    """The arrays of a .npz by name (all, or those wanted), of a .npy as "array".

    Nothing is unpickled, and no memory is taken for what a heading promises and the file does not hold.
    Raises SkippedError for damaged files.
    """
    return {name: array for name, _, _, array in _arrays(path, wanted) if array is not None}


def _arrays(path: Path, wanted: Sequence[str] | None) -> list[tuple[str, tuple[int, ...], np.dtype, NDArray | None]]:
    data = read_bytes(path)
    try:
        if not data.startswith(b"PK"):
            return [("array", *_array(io.BytesIO(data), len(data), wanted is None or "array" in wanted))]
        result = []
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for info in archive.infolist():
                if not info.filename.endswith(".npy"):
                    continue
                name = info.filename.removesuffix(".npy")
                with archive.open(info) as stream:
                    result.append((name, *_array(stream, info.file_size, wanted is None or name in wanted)))
        return result
    except SkippedError:
        raise
    except Exception as error:  # zipfile, zlib and numpy's heading parser fail in many ways on damaged files
        reason = " ".join(str(error).split())[:80] or type(error).__name__
        raise SkippedError(f"is damaged or cut short ({reason})") from error


def _array(stream: IO[bytes], size: int, wanted: bool) -> tuple[tuple[int, ...], np.dtype, NDArray | None]:
    """One array from a stream of `size` bytes; `size` is what the archive says, and the stream never gives more."""
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, fortran, kind = np.lib.format.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, fortran, kind = np.lib.format.read_array_header_2_0(stream)
    else:
        raise SkippedError(f"is of an unknown version {version[0]}.{version[1]}")
    if kind.hasobject:
        raise SkippedError("holds pickled objects, which are never opened; save plain numbers")
    if any(side < 0 for side in shape):
        raise SkippedError("is damaged (an array of negative size)")
    if not wanted:
        return shape, kind, None
    if kind.kind not in "biuf":
        return shape, kind, None  # text and dates are of no use here
    count = math.prod(shape)
    if count * kind.itemsize > min(size, MAX_ARRAY_BYTES):
        raise SkippedError(
            f"declares an array of {' x '.join(map(str, shape))}, more than it holds, so it is cut short"
        )
    data = stream.read(count * kind.itemsize)
    if len(data) < count * kind.itemsize:
        raise SkippedError("ends within an array, so it is cut short")
    flat: NDArray = np.frombuffer(data, kind, count)
    return shape, kind, flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)


def check_path(path: Path) -> None:
    """Raises DataError when there is nothing at `path`."""
    try:
        if not path.exists():
            raise DataError(f"{path} does not exist; check the path.")
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); check the path and its permissions.") from error
