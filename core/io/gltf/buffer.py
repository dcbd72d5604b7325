"""Writes a GLB's binary chunk with its views and accessors, and the container around JSON and chunk."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import ExportError

FLOAT, UNSIGNED_INT, UNSIGNED_SHORT, UNSIGNED_BYTE = 5126, 5125, 5123, 5121
VERTEX_DATA, INDEX_DATA = 34962, 34963
MAX_BYTES = 2**32 - 1
SMALL, PART = 64 << 20, 1 << 20  # bytes kept in memory; bytes copied at a time
TOO_LONG = "The sequence is too long for a GLB file, which ends at 4 GB; use .usdc or .pc2."


class Buffer:
    """The growing binary chunk with its views and accessors; spills to disk when large."""

    def __init__(self, folder: Path) -> None:
        """Large buffers live in an unnamed file in `folder`."""
        self.file: SpooledTemporaryFile[bytes] = SpooledTemporaryFile(SMALL, dir=str(folder))  # noqa: SIM115
        self.size = 0
        self.views: list[dict[str, int]] = []
        self.accessors: list[dict[str, Any]] = []

    def view(self, data: bytes, target: int | None = None) -> int:
        """Append bytes, padded to four; returns the view's number."""
        view = {"buffer": 0, "byteOffset": self.size, "byteLength": len(data)}
        if target is not None:
            view["target"] = target
        padded = data + b"\0" * (-len(data) % 4)
        self.file.write(padded)
        self.size += len(padded)
        self.views.append(view)
        return len(self.views) - 1

    def vertices(self, values: NDArray[Any], limits: bool = False) -> int:
        """One value (or row) per vertex, as float32."""
        return self._floats(values, VERTEX_DATA, limits)

    def numbers(self, values: NDArray[np.float32], limits: bool = False) -> int:
        """Floats that belong to no vertex: times, weights, rotations, matrices [n, 16] by columns."""
        return self._floats(values, None, limits)

    def influences(self, bones: NDArray[np.integer], weights: NDArray[np.floating]) -> tuple[int, int]:
        """Bones [n, 4] (fewer than 256 in all) and their weights [n, 4], which sum to 1 exactly in 16 bits."""
        shares = np.floor(weights.astype(np.float64) * 65535).astype(np.int64)
        shares[:, 0] += 65535 - shares.sum(axis=1)
        joints = np.where(shares > 0, bones, 0).astype("<u1")
        views = [self.view(rows.tobytes(), VERTEX_DATA) for rows in (joints, shares.astype("<u2"))]
        shared: dict[str, Any] = {"count": len(bones), "type": "VEC4"}
        self.accessors.append({"bufferView": views[0], "componentType": UNSIGNED_BYTE, **shared})
        normalized = {"componentType": UNSIGNED_SHORT, "normalized": True}
        self.accessors.append({"bufferView": views[1], **normalized, **shared})
        return len(self.accessors) - 2, len(self.accessors) - 1

    def indices(self, faces: NDArray[np.int64]) -> int:
        """Triangle corners, in 16 bits if they fit."""
        small = int(faces.max()) < 65535
        data = np.ascontiguousarray(faces, dtype="<u2" if small else "<u4").tobytes()
        kind = UNSIGNED_SHORT if small else UNSIGNED_INT
        accessor = {"bufferView": self.view(data, INDEX_DATA), "componentType": kind, "count": faces.size}
        self.accessors.append({**accessor, "type": "SCALAR"})
        return len(self.accessors) - 1

    def _floats(self, values: NDArray[Any], target: int | None, limits: bool) -> int:
        rows = np.ascontiguousarray(values, dtype="<f4").reshape(len(values), -1)
        kind = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}[rows.shape[1]]
        accessor: dict[str, Any] = {"bufferView": self.view(rows.tobytes(), target), "componentType": FLOAT}
        accessor |= {"count": len(rows), "type": kind}
        if limits:
            accessor |= {"min": rows.min(0).tolist(), "max": rows.max(0).tolist()}
        self.accessors.append(accessor)
        return len(self.accessors) - 1


def write_container(path: Path, document: dict[str, Any], buffer: Buffer) -> None:
    """Write the document with the buffer as its binary chunk. Raises ExportError for files above 4 GB."""
    document |= {"accessors": buffer.accessors, "bufferViews": buffer.views, "buffers": [{"byteLength": buffer.size}]}
    text = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    total = 12 + 8 + len(text) + 8 + buffer.size
    if total > MAX_BYTES:
        raise ExportError(TOO_LONG)
    with path.open("wb") as file:
        file.write(struct.pack("<4sII", b"glTF", 2, total))
        file.write(struct.pack("<I4s", len(text), b"JSON") + text)
        file.write(struct.pack("<I4s", buffer.size, b"BIN\0"))
        buffer.file.seek(0)
        shutil.copyfileobj(buffer.file, file, PART)
