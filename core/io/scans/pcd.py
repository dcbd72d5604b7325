"""Reads PCD files (Point Cloud Library): text, binary, and binary compressed by LZF."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from core.io.arrays import SkippedError

_TYPES = {
    ("F", 4): "<f4", ("F", 8): "<f8", ("I", 1): "<i1", ("I", 2): "<i2", ("I", 4): "<i4", ("I", 8): "<i8",
    ("U", 1): "<u1", ("U", 2): "<u2", ("U", 4): "<u4", ("U", 8): "<u8",
}  # fmt: skip
_MOST_EXPANSION = 88  # three bytes of LZF stand for 264 at most
_MAX_HEADING = 1 << 16
_Columns = list[tuple[str, np.dtype, int]]  # name, type and number of values of each field


def parse_pcd(data: bytes) -> NDArray[np.float64]:
    """Points [N, 3] of a file's bytes, NaN where the scanner saw nothing. Raises SkippedError."""
    heading, kind, start = _heading(data)
    columns = _columns(heading)
    names = [name for name, _, _ in columns]
    if not {"x", "y", "z"} <= set(names):
        raise SkippedError("has no fields x, y and z")
    if any(count != 1 for name, _, count in columns if name in ("x", "y", "z")):
        raise SkippedError("has more than one x, y or z per point")
    points = _count(heading)
    width = sum(kind_of.itemsize * count for _, kind_of, count in columns)
    if kind == "ascii":
        return _from_text(data[start:], columns, points)
    if kind == "binary":
        if points * width > len(data) - start:
            raise SkippedError(f"declares {points:,} points, more than it holds, so it is cut short")
        record = np.dtype([(f"{row}", kind_of, (count,)) for row, (_, kind_of, count) in enumerate(columns)])
        table = np.frombuffer(data, record, points, start)
        return np.stack([table[f"{names.index(axis)}"][:, 0].astype(np.float64) for axis in "xyz"], axis=1)
    if kind == "binary_compressed":
        return _from_compressed(data, start, columns, points, width)
    raise SkippedError(f"is stored as {kind[:30]!r}, but only ascii, binary and binary_compressed are supported")


def decompress_lzf(data: bytes, size: int) -> bytes:
    """LZF data, decompressed to exactly `size` bytes. Raises SkippedError if it is damaged."""
    if size > _MOST_EXPANSION * len(data):
        raise SkippedError(f"declares {size:,} bytes, more than it can hold, so it is damaged")
    out = bytearray()
    at, end = 0, len(data)
    try:
        while at < end:
            control = data[at]
            at += 1
            if control < 32:  # a run of control + 1 literal bytes
                if at + control + 1 > end:
                    raise SkippedError("ends within its points, so it is cut short")
                out += data[at : at + control + 1]
                at += control + 1
            else:  # a repetition of earlier output
                length = control >> 5
                if length == 7:
                    length += data[at]
                    at += 1
                place = len(out) - ((control & 31) << 8) - data[at] - 1
                at += 1
                length += 2
                if place < 0:
                    raise SkippedError("is damaged (its compressed points are invalid)")
                piece = out[place : place + length]
                # A repetition longer than its distance repeats its own output.
                out += piece if len(piece) == length else (piece * (length // len(piece) + 1))[:length]
            if len(out) > size:
                raise SkippedError("is damaged (it holds more points than it declares)")
    except IndexError as error:
        raise SkippedError("ends within its points, so it is cut short") from error
    if len(out) < size:
        raise SkippedError("ends within its points, so it is cut short")
    return bytes(out)


def _heading(data: bytes) -> tuple[dict[str, list[str]], str, int]:
    """{keyword: words} of the header, how the points are stored, and where they start. Raises SkippedError."""
    heading: dict[str, list[str]] = {}
    at = 0
    while at < min(len(data), _MAX_HEADING):
        end = data.find(b"\n", at)
        end = len(data) if end < 0 else end
        words = data[at:end].decode("ascii", errors="replace").split()
        at = end + 1
        if not words or words[0].startswith("#"):
            continue
        heading[words[0].upper()] = words[1:]
        if words[0].upper() == "DATA":
            return heading, (words[1].lower() if len(words) > 1 else ""), at
    raise SkippedError("is not a PCD file, or its header is cut short")


def _columns(heading: dict[str, list[str]]) -> _Columns:
    names = [name.lower() for name in heading.get("FIELDS", heading.get("COLUMNS", []))]
    try:
        sizes = [int(word) for word in heading["SIZE"]]
        counts = [int(word) for word in heading.get("COUNT", ["1"] * len(names))]
        kinds = [np.dtype(_TYPES[kind.upper(), size]) for kind, size in zip(heading["TYPE"], sizes, strict=True)]
        columns = list(zip(names, kinds, counts, strict=True))
    except (KeyError, ValueError) as error:
        raise SkippedError("has a header whose fields, sizes and types do not agree") from error
    if not columns or any(not 0 <= count <= 100_000 for count in counts):
        raise SkippedError("has a header whose fields, sizes and types do not agree")
    return columns


def _count(heading: dict[str, list[str]]) -> int:
    try:
        if "POINTS" in heading:
            points = int(heading["POINTS"][0])
        else:
            points = math.prod(int(heading[side][0]) for side in ("WIDTH", "HEIGHT"))
    except (KeyError, IndexError, ValueError) as error:
        raise SkippedError("does not say how many points it has") from error
    if points < 0:
        raise SkippedError("declares a negative number of points")
    return points


def _from_text(body: bytes, columns: _Columns, points: int) -> NDArray[np.float64]:
    width = sum(count for _, _, count in columns)
    words = body.split()
    if points * width > len(words):
        raise SkippedError(f"declares {points:,} points, more than it holds, so it is cut short")
    starts = np.cumsum([0, *(count for _, _, count in columns)])
    names = [name for name, _, _ in columns]
    try:
        chosen = [words[starts[names.index(axis)] : points * width : width] for axis in "xyz"]
        return np.array(chosen, dtype=np.float64).reshape(3, points).T
    except ValueError as error:
        raise SkippedError("holds something that is not a number") from error


def _from_compressed(data: bytes, start: int, columns: _Columns, points: int, width: int) -> NDArray[np.float64]:
    if len(data) < start + 8:
        raise SkippedError("ends within its points, so it is cut short")
    packed, size = (int(number) for number in np.frombuffer(data, "<u4", 2, start))
    if packed > len(data) - start - 8 or size < points * width:
        raise SkippedError(f"declares {points:,} points, more than it holds, so it is cut short")
    raw = decompress_lzf(data[start + 8 : start + 8 + packed], size)
    # Compressed files store all values of a field together.
    result = np.empty((points, 3))
    at = 0
    for name, kind, count in columns:
        if name in ("x", "y", "z"):
            result[:, "xyz".index(name)] = np.frombuffer(raw, kind, points, at)
        at += points * kind.itemsize * count
    return result
