"""Ways to damage a file: bytes, numbers and lines of text, values of JSON, arrays of archives."""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

Random = np.random.Generator
_NUMBERS = (
    b"nan",
    b"inf",
    b"-1",
    b"0",
    b"1e400",
    b"-1e38",
    b"99999999999999999999",
    b"2147483648",
    b"1e-45",
    b"x",
    b"",
)
_VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 7, 2**31, 2**63, 1e308, float("nan"), float("inf"), "", "../x", "x" * 400, [], {}, [None],
    [[[]]], {"a": {}}, [0, 0], "NaN", 5126, 0.5,
)  # fmt: skip


def mutate(data: bytes, random: Random) -> bytes:
    """The file with one to three changes of kinds that fit it."""
    for _ in range(int(random.integers(1, 4))):
        ways = [_flip, _cut, _repeat, _insert, _swap]
        if _is_text(data):
            ways += [_number] * 6 + [_line] * 3
        if data[:4] == b"glTF" or data[:1] == b"{":
            ways += [_json] * 12
        if data[:2] == b"PK":
            ways += [_archive] * 8
        if data[8:9] == b"{" and len(data) > 16:
            ways += [_header] * 6
        way: Callable[[bytes, Random], bytes] = ways[int(random.integers(len(ways)))]
        data = way(data, random)
    return data


def _is_text(data: bytes) -> bool:
    return b"\0" not in data[:2000]


def _place(data: bytes, random: Random) -> int:
    # Headings decide more than bodies do.
    most = len(data) if random.random() < 0.5 else min(len(data), 300)
    return int(random.integers(max(most, 1)))


def _flip(data: bytes, random: Random) -> bytes:
    if not data:
        return data
    changed = bytearray(data)
    for _ in range(int(random.integers(1, 6))):
        changed[_place(data, random)] = int(random.choice([0, 1, 127, 128, 255, int(random.integers(256))]))
    return bytes(changed)


def _cut(data: bytes, random: Random) -> bytes:
    return data[: int(random.integers(len(data) + 1))]


def _repeat(data: bytes, random: Random) -> bytes:
    start = _place(data, random)
    piece = data[start : start + int(random.integers(1, 200))]
    return data[:start] + piece * int(random.integers(2, 20)) + data[start:]


def _insert(data: bytes, random: Random) -> bytes:
    at = _place(data, random)
    return data[:at] + random.bytes(int(random.integers(1, 16))) + data[at:]


def _swap(data: bytes, random: Random) -> bytes:
    a, b = sorted((_place(data, random), _place(data, random)))
    return data[:a] + data[b : b + 8] + data[a:b] + data[b + 8 :]


def _number(data: bytes, random: Random) -> bytes:
    found = list(re.finditer(rb"-?\d+(\.\d+)?([eE][-+]?\d+)?", data[:20_000]))
    if not found:
        return data
    chosen = found[int(random.integers(len(found)))]
    return data[: chosen.start()] + _NUMBERS[int(random.integers(len(_NUMBERS)))] + data[chosen.end() :]


def _line(data: bytes, random: Random) -> bytes:
    lines = data.split(b"\n")
    at = int(random.integers(len(lines)))
    other = lines[int(random.integers(len(lines)))]
    change = int(random.integers(3))
    lines[at : at + 1] = ([], [lines[at], other], [other])[change]
    return b"\n".join(lines)


def _json(data: bytes, random: Random) -> bytes:
    """Change a value, or drop a key, somewhere in the JSON of a .glb or .gltf (or any JSON text)."""
    try:
        if data[:4] != b"glTF":
            tree = json.loads(data)
            _change(tree, random)
            return json.dumps(tree).encode()
        size = struct.unpack_from("<I", data, 12)[0]
        tree = json.loads(data[20 : 20 + size])
        _change(tree, random)
        text = json.dumps(tree).encode()
        text += b" " * (-len(text) % 4)
        body = struct.pack("<II", len(text), 0x4E4F534A) + text + data[20 + size :]
        return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body
    except (ValueError, struct.error, RecursionError):
        return _flip(data, random)


def _change(tree: Any, random: Random) -> None:
    node = tree
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            return
        key = keys[int(random.integers(len(keys)))]
        if isinstance(node[key], (dict, list)) and node[key] and random.random() < 0.85:
            node = node[key]
            continue
        if random.random() < 0.2 and isinstance(node, dict):
            del node[key]
        elif isinstance(node[key], (int, float)) and not isinstance(node[key], bool) and random.random() < 0.5:
            node[key] = node[key] + int(random.integers(-3, 4))
        else:
            node[key] = _VALUES[int(random.integers(len(_VALUES)))]
        return


def _archive(data: bytes, random: Random) -> bytes:
    """Replace, drop or rename a member of a zip archive; arrays get another shape or type, JSON another value."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {info.filename: archive.read(info) for info in archive.infolist()}
    except Exception:
        return _flip(data, random)
    if not members:
        return data
    names = list(members)
    name = names[int(random.integers(len(names)))]
    if name.endswith(".npz"):
        members[name] = _archive(members[name], random)
    elif name.endswith(".json"):
        members[name] = _json(members[name], random)
    elif random.random() < 0.2:
        del members[name]
    else:
        members[name] = _array(members[name], random)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return out.getvalue()


def _array(data: bytes, random: Random) -> bytes:
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
    except Exception:
        return _flip(data, random)
    change = int(random.integers(6))
    if change == 0:
        array = array.reshape(-1)
    elif change == 1:
        array = array[..., None]
    elif change == 2 and array.size and array.dtype.kind in "biuf":
        array = array.astype(np.float64).copy()
        array.reshape(-1)[int(random.integers(array.size))] = [np.nan, np.inf, -1, 1e30, 2**40][int(random.integers(5))]
    elif change == 3 and array.dtype.kind in "biuf":
        array = array.astype(["U8", "?", "i8", "c8", "M8[s]", "u1"][int(random.integers(6))], casting="unsafe")
    elif change == 4:
        array = array[:0] if array.ndim else np.zeros(3)
    else:
        return _flip(data, random)
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def _header(data: bytes, random: Random) -> bytes:
    """Change the JSON header of a safetensors file, the JSON texts inside it too."""
    try:
        size = struct.unpack_from("<Q", data)[0]
        tree = json.loads(data[8 : 8 + size])
        inner = tree.get("__metadata__", {})
        name = next((key for key in ("config", "record") if key in inner and random.random() < 0.5), None)
        if name is None:
            _change(tree, random)
        else:
            value = json.loads(inner[name])
            _change(value, random)
            inner[name] = "[" * 5000 if random.random() < 0.1 else json.dumps(value)
        text = json.dumps(tree).encode()
        return struct.pack("<Q", len(text)) + text + data[8 + size :]
    except (ValueError, struct.error, AttributeError, TypeError, RecursionError):
        return _flip(data, random)
