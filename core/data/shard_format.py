"""The shard file: what `prepare` writes and `ShardSource` maps into memory (numpy and safetensors only).

A shard is one safetensors file with the tensors of a few clips. Its header has, under `m2v`, JSON: the recipe it was
made by, its clips (name, identity, motion, split, fps, provenance, licence, ...), what was skipped and why, and a hash
of everything. Tensors of clip number c, with P points, T frames and R reference frames:

    c.tracks   uint16 [T, P, 3]   positions in each frame's own box, so travel costs no precision
    c.boxes    float32 [T, 2, 3]  that box's low corner and step (size / 65535)
    c.normals  uint8 [T, P, 2]    outward unit normals, octahedral
    c.queries  uint16 [R, U+S, 3] occupancy queries in the box of `query_box`: U uniform, then S near the surface
    c.inside   uint8 [R, (U+S)/8] their labels, packed
    c.vertices float32 [V, 3], c.faces int32 [F, 3]   the rest mesh of frame 0 (no rows where the layout has none)

Positions are in the clip's normalised space (frame 0's box centred at 0, longest side 1, Y up). The error of a position
is at most side / 131070 of its frame's box: 8e-6 of the shape's size for a shape that keeps its size. The error of a
normal is at most 0.95 degrees, 0.34 in the mean (measured on a million directions).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.atomic import write_atomically
from core.errors import DataError

FORMAT, VERSION = "m2v-shard", 1
SUFFIX = ".safetensors"
ARRAYS = ("tracks", "boxes", "normals", "queries", "inside", "vertices", "faces")
_TYPES = {"U8": "<u1", "U16": "<u2", "F32": "<f4", "I32": "<i4"}
_MAX_HEADER = 1 << 28


@dataclass(frozen=True, eq=False)
class Shard:
    """An opened shard: `meta` is its header, `arrays` are read-only views of the mapped file."""

    path: Path
    meta: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]] = field(repr=False)

    @property
    def clips(self) -> list[dict[str, Any]]:
        return list(self.meta["clips"])

    def of_clip(self, number: int) -> dict[str, NDArray[Any]]:
        """The arrays of clip `number` by their names in ARRAYS."""
        return {name: self.arrays[f"{number}.{name}"] for name in ARRAYS}


def pack_tracks(points: NDArray) -> tuple[NDArray[np.uint16], NDArray[np.float32]]:
    """Positions [T, P, 3] as 16 bits in each frame's own box, with the boxes [T, 2, 3] (low corner, step)."""
    low = points.min(1).astype("<f4")
    step = np.maximum((points.max(1) - low) / 65535.0, 1e-12).astype("<f4")
    packed = np.clip(np.rint((points - low[:, None]) / step[:, None]), 0, 65535).astype("<u2")
    return packed, np.stack([low, step], axis=1)


def unpack_tracks(packed: NDArray[np.uint16], boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """The inverse of `pack_tracks` for frames [..., P, 3] with their boxes [..., 2, 3]."""
    return packed.astype(np.float32) * boxes[..., 1, None, :] + boxes[..., 0, None, :]


def pack_normals(normals: NDArray) -> NDArray[np.uint8]:
    """Unit vectors [..., 3] as octahedral coordinates [..., 2] of 8 bits."""
    flat = normals.astype(np.float32)
    flat /= np.abs(flat).sum(-1, keepdims=True).clip(1e-30)
    folded = (1.0 - np.abs(flat[..., 1::-1])) * np.where(flat[..., :2] >= 0, 1.0, -1.0)
    square = np.where(flat[..., 2:] < 0, folded, flat[..., :2])
    return np.rint((square + 1.0) * 127.5).astype(np.uint8)


def unpack_normals(packed: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Unit vectors [..., 3] of octahedral coordinates [..., 2]."""
    square = packed.astype(np.float32) / np.float32(127.5) - 1
    height = 1 - np.abs(square).sum(-1, keepdims=True)
    below = np.maximum(-height, 0)
    vectors = np.concatenate([square - np.where(square >= 0, below, -below), height], -1)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def write_shard(path: Path, clips: list[tuple[dict[str, Any], dict[str, NDArray]]], meta: Mapping[str, Any]) -> int:
    """Write whole or not at all; returns the size in bytes. Raises DataError where that is impossible."""
    from safetensors import SafetensorError
    from safetensors.numpy import save

    tensors = {
        f"{number}.{name}": np.ascontiguousarray(arrays[name])
        for number, (_, arrays) in enumerate(clips)
        for name in ARRAYS
    }
    body = {"format": FORMAT, "version": VERSION, **meta, "clips": [header for header, _ in clips]}
    body["hash"] = content_hash(body, tensors)
    header = {"m2v": json.dumps(body)}
    try:
        write_atomically(path, lambda temporary: temporary.write_bytes(save(tensors, header)), DataError)
    except SafetensorError as error:
        raise DataError(f"{path} cannot be written ({error}); free some space or choose another folder.") from None
    return path.stat().st_size


def open_shard(path: Path, verify: bool = False) -> Shard:
    """Map a shard; `verify` also checks its content hash. Raises DataError for a damaged file or another one."""
    damaged = f"{path} is damaged or not a shard; run the same `m2v prepare` again, only this shard is made again."
    try:
        mapped = np.memmap(path, dtype=np.uint8, mode="r")
        length = int(np.frombuffer(mapped[:8], "<u8")[0]) if len(mapped) > 8 else 0
        if not 2 <= length <= min(len(mapped) - 8, _MAX_HEADER):
            raise ValueError("no header")
        header = json.loads(bytes(mapped[8 : 8 + length]))
        meta = json.loads(header.pop("__metadata__")["m2v"])
        arrays = {name: _view(mapped, 8 + length, entry) for name, entry in header.items()}
        if meta["format"] != FORMAT:
            raise ValueError("another format")
        shard = Shard(path, meta, arrays)
        if meta["version"] == VERSION:
            _check_clips(shard)
            if verify and content_hash(meta, arrays) != meta["hash"]:
                raise ValueError("its content does not fit its hash")
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; prepare the set first.") from None
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        raise DataError(damaged) from None
    if meta["version"] != VERSION:
        raise DataError(f"{path} is a shard of version {meta['version']}; prepare the set again.")
    return shard


def content_hash(meta: Mapping[str, Any], arrays: Mapping[str, NDArray]) -> str:
    """SHA-256 of everything but the hash itself."""
    digest = hashlib.sha256()
    digest.update(json.dumps({key: meta[key] for key in sorted(meta) if key != "hash"}, sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _view(mapped: NDArray[np.uint8], start: int, entry: Mapping[str, Any]) -> NDArray[Any]:
    kind, shape = np.dtype(_TYPES[entry["dtype"]]), [int(side) for side in entry["shape"]]
    first, last = (int(place) for place in entry["data_offsets"])
    wanted = math.prod(shape) * kind.itemsize
    if min(shape, default=0) < 0 or not 0 <= first <= last <= len(mapped) - start or last - first != wanted:
        raise ValueError("a tensor lies outside the file")
    return mapped[start + first : start + last].view(np.ndarray).view(kind).reshape(shape)


def _check_clips(shard: Shard) -> None:
    """The shapes that ShardSource relies on; raises ValueError or KeyError."""
    for number, clip in enumerate(shard.meta["clips"]):
        arrays = shard.of_clip(number)
        frames, points = arrays["tracks"].shape[:2]
        references = len(clip["references"])
        count = arrays["queries"].shape[1]
        fitting = (
            arrays["tracks"].shape == (frames, points, 3)
            and arrays["boxes"].shape == (frames, 2, 3)
            and arrays["normals"].shape == (frames, points, 2)
            and arrays["queries"].shape == (references, count, 3)
            and arrays["inside"].shape == (references, (count + 7) // 8)
            and 2 <= frames == clip["frames"]
            and points > 0
            and all(0 <= int(reference["frame"]) < frames for reference in clip["references"])
        )
        if not fitting:
            raise ValueError(f"clip {number} does not fit its header")
