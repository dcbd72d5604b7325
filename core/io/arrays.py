"""Reads arrays from untrusted .npy and .npz files: nothing is unpickled, and memory is limited."""

from __future__ import annotations

import io
import math
import stat
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

MAX_FILE_BYTES = 1 << 29
# An archive may unpack to ALWAYS_UNPACKED bytes, or to MAX_RATIO times its size up to MAX_UNPACKED.
ALWAYS_UNPACKED, MAX_RATIO, MAX_UNPACKED = 1 << 27, 100, 3 << 28


class SkippedError(Exception):
    """Why a frame cannot be used: the rest of a sentence that begins with its name."""


def read_bytes(path: Path) -> bytes:
    """The whole file. Raises SkippedError where it is empty, too large or cannot be read."""
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            raise SkippedError("is not a file")
        size = about.st_size
        if size > MAX_FILE_BYTES:
            raise SkippedError(f"is larger than {MAX_FILE_BYTES >> 20} MB")
        data = path.read_bytes()
    except OSError as error:
        raise SkippedError(f"cannot be read ({error.strerror or error})") from error
    if not data:
        raise SkippedError("is empty")
    return data


def array_shapes(path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """{name: (shape, type)} of the arrays in a .npy or .npz, from their headers alone. Raises SkippedError."""
    return {name: (shape, kind) for name, shape, kind, _ in _arrays(path, wanted=(), text=False)}


def read_arrays(path: Path, wanted: Sequence[str] | None = None, text: bool = False) -> dict[str, NDArray]:
    """{name: array of numbers} of a .npz (all, or those `wanted`); that of a .npy is "array". With `text`, also text.

    Nothing is unpickled, and memory is only allocated for what the file really holds. Raises SkippedError for damaged
    and too large files.
    """
    return {name: array for name, _, _, array in _arrays(path, wanted, text) if array is not None}


def _arrays(
    path: Path, wanted: Sequence[str] | None, text: bool
) -> list[tuple[str, tuple[int, ...], np.dtype, NDArray | None]]:
    data = read_bytes(path)
    kinds = "biufU" if text else "biuf"
    try:
        if not data.startswith(b"PK"):
            return [("array", *_array(io.BytesIO(data), len(data), wanted is None or "array" in wanted, kinds))]
        result = []
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(info.file_size for info in archive.infolist())
            if unpacked > min(MAX_UNPACKED, max(ALWAYS_UNPACKED, MAX_RATIO * len(data))) and wanted != ():
                raise SkippedError(f"unpacks to {unpacked >> 20:,} MB, which is too much")
            for info in archive.infolist():
                if not info.filename.endswith(".npy"):
                    continue
                name = info.filename.removesuffix(".npy")
                with archive.open(info) as stream:
                    result.append((name, *_array(stream, info.file_size, wanted is None or name in wanted, kinds)))
        return result
    except SkippedError:
        raise
    except Exception as error:  # zipfile, zlib and numpy's header parser fail in many ways on damaged files
        reason = " ".join(str(error).split())[:80] or type(error).__name__
        raise SkippedError(f"is damaged or cut short ({reason})") from error


def _array(stream: IO[bytes], size: int, wanted: bool, kinds: str) -> tuple[tuple[int, ...], np.dtype, NDArray | None]:
    """One array from a stream, which never gives more than the `size` bytes that the archive declares."""
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
    if kind.kind not in kinds:
        return shape, kind, None  # neither numbers nor text, such as dates
    count = math.prod(shape)
    if count * kind.itemsize > min(size, MAX_UNPACKED):
        raise SkippedError(
            f"declares an array of {' x '.join(map(str, shape))}, more than it holds, so it is cut short"
        )
    data = stream.read(count * kind.itemsize)
    if len(data) < count * kind.itemsize:
        raise SkippedError("ends within an array, so it is cut short")
    flat: NDArray = np.frombuffer(data, kind, count)
    return shape, kind, flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)
