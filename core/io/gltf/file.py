"""Reads the glTF 2.0 container: JSON, buffers and accessors of a .glb or .gltf file.

JSON is kept as plain dictionaries: schema objects for a file of 9,000 animation channels take seconds to build. Every
size is checked against the bytes present, so damaged and hostile files end in a MeshError, not in a large allocation.
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from core.errors import MeshError
from core.io.beside import MAX_FILE_BYTES, FilesBeside, OutsideError, utf8
from core.io.gltf.extensions import MAX_UNPACKED, check_required, packed_view, unpacked_view

Json = dict[str, Any]

_GLB_MAGIC = b"glTF"
_CHUNK_JSON, _CHUNK_BIN = 0x4E4F534A, 0x004E4942
_DTYPES = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_COMPONENTS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
MAX_JSON_VALUES = 4_000_000  # even 3 MB of JSON can take a minute to read
MAX_UNSTORED = 20_000_000  # numbers in all accessors without stored data (zeros, or sparse)
# Errors that a damaged file can raise in the parser; `damaged` turns them into a sentence.
DAMAGE = (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, RecursionError, struct.error)


class GltfFile:
    """An opened glTF file: its `json`, and typed access to its buffers. Raises MeshError for an unusable file."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._beside = FilesBeside(self.path.parent)
        try:
            if self.path.exists() and not self.path.is_file():
                raise OSError("it is not a file")
            if self.path.stat().st_size > MAX_FILE_BYTES:
                raise MeshError(f"{self.path.name} is larger than {MAX_FILE_BYTES >> 20} MB; reduce it first.")
            data = self.path.read_bytes()
        except OSError as error:
            raise MeshError(f"{self.path} cannot be read ({error.strerror or error}); check the path.") from None
        if not data:
            raise MeshError(f"{self.path.name} is empty; export it again.")
        try:
            text, self._binary = self._split_glb(data) if data[:4] == _GLB_MAGIC else (data, None)
            self.json: Json = self._parse(text)
        except DAMAGE as error:
            raise self.damaged(error) from None
        self._unstored = self._bytes_unpacked = 0
        self._views: dict[int, bytes] = {}  # of compressed views
        self._lists: dict[str, list[Json]] = {}
        self._buffers: dict[int, bytes] = {}
        self._cache: dict[int, NDArray] = {}

    def damaged(self, why: object) -> MeshError:
        """The MeshError for a file whose content contradicts itself."""
        detail = f"{type(why).__name__}: {why}" if isinstance(why, Exception) else str(why)
        return MeshError(f"{self.path.name} is damaged ({detail}); export it again.")

    def _split_glb(self, data: bytes) -> tuple[bytes, bytes | None]:
        if len(data) < 20:
            raise MeshError(f"{self.path.name} is cut short ({len(data)} bytes); export or copy it again.")
        version, length = struct.unpack_from("<II", data, 4)
        if version != 2:
            raise MeshError(f"{self.path.name} is glTF version {version}, but only version 2 is supported; convert it.")
        if length > len(data):
            raise MeshError(
                f"{self.path.name} is cut short: it has {len(data)} of {length} bytes; export or copy it again."
            )
        text, binary, offset = b"", None, 12
        while offset + 8 <= length:
            size, kind = struct.unpack_from("<II", data, offset)
            offset += 8
            if size > length - offset:
                raise MeshError(f"{self.path.name} is cut short inside a chunk; export or copy it again.")
            if kind == _CHUNK_JSON and not text:
                text = data[offset : offset + size]
            elif kind == _CHUNK_BIN and binary is None:
                binary = data[offset : offset + size]
            offset += size
        return text, binary

    def _parse(self, text: bytes) -> Json:
        text = utf8(text)
        if text.count(b",") + text.count(b"[") + text.count(b"{") > MAX_JSON_VALUES:
            raise MeshError(f"{self.path.name} has more than {MAX_JSON_VALUES:,} JSON values; simplify it.")
        try:
            document = json.loads(text.decode("utf-8"))
        except (ValueError, RecursionError):
            raise MeshError(f"{self.path.name} is not a glTF file: its JSON cannot be read; export it again.") from None
        if not isinstance(document, dict) or not isinstance(document.get("asset"), dict):
            raise MeshError(f"{self.path.name} is not a glTF file: it has no asset description; open another file.")
        if not str(document["asset"].get("version", "2.0")).startswith("2"):
            raise MeshError(f"{self.path.name} is not glTF version 2; convert it to glTF 2.0.")
        check_required(document.get("extensionsRequired"), self.path.name)
        return document

    def items(self, key: str) -> list[Json]:
        """The top-level list `key` of the JSON; empty if absent. Raises MeshError if it is no list of objects."""
        if key not in self._lists:  # checked once: accessors may be referenced ten thousand times
            found = self.json.get(key) or []
            if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
                raise self.damaged(f"'{key}' is not a list of objects")
            self._lists[key] = found
        return self._lists[key]

    def item(self, key: str, index: Any) -> Json:
        """One element of a top-level list. Raises MeshError if there is none of this index."""
        found = self.items(key)
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(found):
            raise self.damaged(f"there is no {key}[{index}]")
        return found[index]

    def buffer(self, index: int) -> bytes:
        """The bytes of one buffer: the GLB chunk, a data URI, or a file beside this one."""
        if index not in self._buffers:
            info = self.item("buffers", index)
            size = int(info["byteLength"])
            uri = info.get("uri")
            if uri is None:
                if index != 0 or self._binary is None:
                    raise self.damaged(f"buffer {index} has no data")
                content: bytes = self._binary
            else:
                content = self.uri_bytes(uri, size)
            if len(content) < size:
                raise MeshError(
                    f"{self.path.name} is cut short: buffer {index} declares {size} bytes but has {len(content)}; "
                    "export or copy it again."
                )
            self._buffers[index] = content
        return self._buffers[index]

    def uri_bytes(self, uri: str, limit: int | None = None) -> bytes:
        """The content of a data URI or of a file in this one's folder, at most `limit` bytes."""
        if not isinstance(uri, str):
            raise self.damaged("a URI is not text")
        if uri.startswith("data:"):
            head, _, payload = uri.partition(",")
            try:
                return (
                    base64.b64decode(payload, validate=True) if head.endswith("base64") else unquote(payload).encode()
                )
            except binascii.Error as error:
                raise self.damaged(error) from None
        try:
            content = self._beside.read(unquote(uri))
        except OutsideError as error:
            raise MeshError(f"{self.path.name} needs the file {uri[:80]!r}, which {error}.") from None
        return content if limit is None else content[:limit]

    def view(self, index: Any) -> tuple[memoryview, int]:
        """The bytes of one buffer view and its stride (0: tightly packed)."""
        info = self.item("bufferViews", index)
        if (packed := packed_view(info)) is not None:
            return self._unpacked(index, packed), int(info.get("byteStride") or 0)
        content = self.buffer(info["buffer"])
        start, size = int(info.get("byteOffset") or 0), int(info["byteLength"])
        if start < 0 or size < 0 or start + size > len(content):
            raise self.damaged(f"bufferViews[{index}] reaches beyond its buffer")
        return memoryview(content)[start : start + size], int(info.get("byteStride") or 0)

    def _unpacked(self, index: int, packed: Json) -> memoryview:
        """The plain bytes of a compressed buffer view."""
        if index not in self._views:
            content = self.buffer(packed["buffer"])
            start, size = int(packed.get("byteOffset") or 0), int(packed["byteLength"])
            if start < 0 or size < 0 or start + size > len(content):
                raise self.damaged(f"the compressed bufferViews[{index}] reaches beyond its buffer")
            plain = unpacked_view(bytes(content[start : start + size]), packed, self.path.name)
            self._bytes_unpacked += len(plain)
            if self._bytes_unpacked > MAX_UNPACKED:
                raise MeshError(f"{self.path.name} unpacks to over {MAX_UNPACKED >> 20} MB; reduce it first.")
            self._views[index] = plain
        return memoryview(self._views[index])

    def accessor(self, index: Any) -> NDArray:
        """One accessor as an array [count, components]: float64 for floats and normalised integers, else int64.

        Sparse values are filled in. The result is cached and read-only.
        """
        if index in self._cache:
            return self._cache[index]
        info = self.item("accessors", index)
        count, width = int(info["count"]), _COMPONENTS[info["type"]]
        dtype = np.dtype(_DTYPES[info["componentType"]])
        if count < 0:
            raise self.damaged(f"accessors[{index}] has a negative count")
        if info.get("bufferView") is not None:
            values = self._strided(info["bufferView"], int(info.get("byteOffset") or 0), count, width, dtype)
        else:
            self._unstored += count * width
            if self._unstored > MAX_UNSTORED:
                raise self.damaged(f"accessors[{index}] claims {count} elements without data")
            values = np.zeros((count, width), dtype)
        sparse = info.get("sparse")
        if sparse:
            values = self._with_sparse(values, sparse, width, dtype)
        if dtype.kind == "f":
            result = values.astype(np.float64)
        elif info.get("normalized"):
            result = np.maximum(values / float(np.iinfo(dtype).max), -1.0)
        else:
            result = values.astype(np.int64)
        result.setflags(write=False)
        self._cache[index] = result
        return result

    def _with_sparse(self, values: NDArray, sparse: Json, width: int, dtype: np.dtype) -> NDArray:
        count, at, new = int(sparse["count"]), sparse["indices"], sparse["values"]
        index_dtype = np.dtype(_DTYPES[at["componentType"]])
        rows = self._strided(at["bufferView"], int(at.get("byteOffset") or 0), count, 1, index_dtype)[:, 0]
        if len(rows) and rows.max() >= len(values):
            raise self.damaged("a sparse accessor names an element that does not exist")
        values = values.copy()
        values[rows] = self._strided(new["bufferView"], int(new.get("byteOffset") or 0), count, width, dtype)
        return values

    def _strided(self, view: Any, offset: int, count: int, width: int, dtype: np.dtype) -> NDArray:
        content, stride = self.view(view)
        element = width * dtype.itemsize
        stride = stride or element
        if stride < element or offset < 0 or count < 0:
            raise self.damaged(f"bufferViews[{view}] has an impossible stride or offset")
        if count and offset + stride * (count - 1) + element > len(content):
            raise self.damaged(f"an accessor reaches beyond bufferViews[{view}]")
        if not count:
            return np.zeros((0, width), dtype)
        return np.ndarray((count, width), dtype, content, offset, (stride, dtype.itemsize))
