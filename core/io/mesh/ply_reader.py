"""PLY files, text and binary, with faces of any and mixed numbers of corners, in the file's own vertex order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import MeshError
from core.geometry.polygons import polygon_triangles
from core.io.mesh.source_mesh import build_source_mesh
from core.sequence import MeshPart, SourceMesh, frozen_array

_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2",
    "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4",
    "double": "f8", "float64": "f8",
}  # fmt: skip
_UV_NAMES = (("s", "t"), ("u", "v"), ("texture_u", "texture_v"))
_CORNER_NAMES = ("vertex_indices", "vertex_index")
_Table = dict[str, "NDArray | list[NDArray]"]  # a column per property; lists of unequal length as a list of arrays


@dataclass
class _Property:
    name: str
    kind: str  # numpy type of a value
    count_kind: str = ""  # numpy type of a list's length; empty for a single value


@dataclass
class _Element:
    name: str
    count: int
    properties: list[_Property]


class _DamagedError(ValueError):
    """What is wrong with the file, as a part of a sentence."""


def read_ply(path: Path) -> SourceMesh:
    """Read vertices, faces (polygons are cut into triangles) and texture coordinates; raises MeshError."""
    try:
        points, tables = _points(path)
        vertex, face = tables["vertex"], tables.get("face", {})
        faces, corner_uv = _triangles(points, face)
    except _DamagedError as error:
        raise MeshError(f"{path.name} is not a PLY file that can be read: {error}; copy or export it again.") from error
    uv = None
    for first, second in _UV_NAMES:
        if first in vertex and second in vertex:
            uv = np.stack([vertex[first], vertex[second]], axis=1).astype(np.float32)
            break
    if uv is None and corner_uv is not None:
        uv = np.zeros((len(points), 2), np.float32)
        uv[faces.reshape(-1)[::-1]] = corner_uv.reshape(-1, 2)[::-1]  # reversed, so that the first mention wins
        corner_uv = None if (uv[faces] == corner_uv).all() else corner_uv
    else:
        corner_uv = None
    notes = []
    if uv is not None and not np.isfinite(uv).all():
        uv, corner_uv = None, None
        notes.append("The texture coordinates are not finite numbers, so they are left out.")
    part = MeshPart(path.stem, faces.astype(np.int32), corner_uv=corner_uv)
    return build_source_mesh(points, uv=uv, parts=(part,), name=path.stem, path=path, notes=notes)


def read_ply_points(path: Path) -> NDArray[np.float64]:
    """The positions [N, 3] of a file's vertices, as stored, with or without faces; raises MeshError."""
    try:
        return _points(path)[0]
    except _DamagedError as error:
        raise MeshError(f"{path.name} is not a PLY file that can be read: {error}; copy or export it again.") from error


def _points(path: Path) -> tuple[NDArray[np.float64], dict[str, _Table]]:
    """Positions [N, 3] and all tables; raises MeshError when the file cannot be opened."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MeshError(f"{path} cannot be read ({error}); check its permissions.") from error
    form, elements, start = _header(data)
    tables = _read_text(elements, data[start:]) if form == "ascii" else _read_binary(form, elements, data, start)
    if any(element.name == "vertex" and element.count == 0 for element in elements):
        return np.zeros((0, 3)), {**tables, "vertex": {}}
    vertex = tables.get("vertex", {})
    if not all(isinstance(vertex.get(axis), np.ndarray) for axis in "xyz"):
        raise _DamagedError("it has no vertices with x, y and z")
    return np.stack([np.asarray(vertex[axis], dtype=np.float64) for axis in "xyz"], axis=1), tables


def _header(data: bytes) -> tuple[str, list[_Element], int]:
    """The format, the declared elements and where the body starts."""
    end = data.find(b"end_header")
    if not data.startswith(b"ply") or end < 0:
        raise _DamagedError("its heading is missing or cut short")
    line_end = data.find(b"\n", end)
    if line_end < 0:
        line_end = len(data)
    form = ""
    elements: list[_Element] = []
    for line in data[:end].decode("ascii", errors="replace").splitlines():
        words = line.split()
        try:
            if words[:1] == ["format"]:
                form = words[1]
            elif words[:1] == ["element"]:
                elements.append(_Element(words[1], int(words[2]), []))
                if not 0 <= elements[-1].count <= len(data):
                    raise _DamagedError(
                        f"it declares {words[2]} of {words[1]}, more than it can hold, so it is cut short"
                    )
            elif words[:2] == ["property", "list"]:
                elements[-1].properties.append(_Property(words[4], _TYPES[words[3]], _TYPES[words[2]]))
            elif words[:1] == ["property"]:
                elements[-1].properties.append(_Property(words[2], _TYPES[words[1]]))
        except (IndexError, KeyError, ValueError) as error:
            if isinstance(error, _DamagedError):
                raise
            raise _DamagedError(f"its heading has the line {line.strip()[:60]!r}") from error
    if form not in ("ascii", "binary_little_endian", "binary_big_endian"):
        raise _DamagedError(f"its format {form!r} is unknown")
    return form, elements, line_end + 1


def _read_text(elements: list[_Element], body: bytes) -> dict[str, _Table]:
    try:
        numbers = np.array(body.split(), dtype=np.float64)
    except ValueError as error:
        raise _DamagedError("its body holds something that is not a number") from error
    tables: dict[str, _Table] = {}
    at = 0
    for element in elements:
        rows: dict[str, list] = {prop.name: [] for prop in element.properties}
        if all(not prop.count_kind for prop in element.properties):
            width = len(element.properties)
            block = numbers[at : at + element.count * width]
            if len(block) < element.count * width:
                raise _DamagedError(f"it ends within its {element.count} of {element.name}")
            at += len(block)
            columns = block.reshape(element.count, width).T
            tables[element.name] = {p.name: columns[row] for row, p in enumerate(element.properties)}
            continue
        for _ in range(element.count):
            for prop in element.properties:
                if at >= len(numbers):
                    raise _DamagedError(f"it ends within its {element.count} of {element.name}")
                if not prop.count_kind:
                    rows[prop.name].append(numbers[at])
                    at += 1
                    continue
                length = _list_length(numbers[at], len(numbers) - at - 1, element)
                rows[prop.name].append(numbers[at + 1 : at + 1 + length])
                at += 1 + length
        tables[element.name] = dict(rows)
    return tables


def _read_binary(form: str, elements: list[_Element], data: bytes, at: int) -> dict[str, _Table]:
    order = "<" if form == "binary_little_endian" else ">"
    tables: dict[str, _Table] = {}
    for element in elements:
        table, at = _read_records(order, element, data, at)
        tables[element.name] = table
    return tables


def _read_records(order: str, element: _Element, data: bytes, at: int) -> tuple[_Table, int]:
    """One element's records; those with lists first as if all lists had the first record's lengths, else one by one."""
    cut = _DamagedError(f"it ends within its {element.count} of {element.name}")
    if element.count == 0 or not element.properties:
        return {}, at
    fields: list[tuple] = []
    lists = []
    place = at
    for prop in element.properties:
        kind = np.dtype(order + prop.kind)
        if not prop.count_kind:
            fields.append((f"{len(fields)}", kind))
            place += kind.itemsize
            continue
        count_kind = np.dtype(order + prop.count_kind)
        if place + count_kind.itemsize > len(data):
            raise cut
        length = _list_length(np.frombuffer(data, count_kind, 1, place)[0], len(data) - place, element)
        lists.append((f"{len(fields)}", length))
        fields += [(f"{len(fields)}", count_kind), (f"{len(fields) + 1}", kind, (length,))]
        place += count_kind.itemsize + length * kind.itemsize
    record = np.dtype(fields)
    if at + element.count * record.itemsize <= len(data):
        table = np.frombuffer(data, record, element.count, at)
        if all((table[name] == length).all() for name, length in lists):
            values = [field[0] for field in fields if field[0] not in {name for name, _ in lists}]
            columns = {prop.name: table[name] for prop, name in zip(element.properties, values, strict=True)}
            return columns, at + element.count * record.itemsize
    elif not lists:
        raise cut
    rows: dict[str, list] = {prop.name: [] for prop in element.properties}
    for _ in range(element.count):
        for prop in element.properties:
            kind = np.dtype(order + prop.kind)
            length = 1
            if prop.count_kind:
                count_kind = np.dtype(order + prop.count_kind)
                if at + count_kind.itemsize > len(data):
                    raise cut
                length = _list_length(np.frombuffer(data, count_kind, 1, at)[0], len(data) - at, element)
                at += count_kind.itemsize
            if at + length * kind.itemsize > len(data):
                raise cut
            found = np.frombuffer(data, kind, length, at)
            rows[prop.name].append(found if prop.count_kind else found[0])
            at += length * kind.itemsize
    return dict(rows), at


def _list_length(value: float, most: int, element: _Element) -> int:
    if not (np.isfinite(value) and 0 <= value <= most and int(value) == value):
        raise _DamagedError(f"it ends within its {element.count} of {element.name}")
    return int(value)


def _triangles(points: NDArray[np.float64], face: _Table) -> tuple[NDArray[np.int64], NDArray[np.float32] | None]:
    """Faces [F, 3], and texture coordinates per corner [F, 3, 2] where the file's faces carry them."""
    corners = next((face[name] for name in _CORNER_NAMES if name in face), None)
    if corners is None or len(corners) == 0:
        return np.zeros((0, 3), np.int64), None
    texture = face.get("texcoord")
    if isinstance(corners, np.ndarray) and corners.ndim == 2 and corners.shape[1] == 3:
        faces = _indices(corners, len(points))
        fits = isinstance(texture, np.ndarray) and texture.shape == (len(faces), 6)
        return faces, np.asarray(texture, np.float32).reshape(-1, 3, 2) if fits else None
    triangles: list[NDArray] = []
    coordinates: list[NDArray] = []
    for row, polygon in enumerate(corners):
        ring = _indices(np.asarray(polygon).reshape(-1), len(points))
        if len(ring) < 3:
            continue
        cut = [(0, 1, 2)] if len(ring) == 3 else polygon_triangles(points[ring])
        triangles.extend(ring[list(triple)] for triple in cut)
        if texture is not None and np.size(texture[row]) == 2 * len(ring):
            pairs = np.asarray(texture[row], np.float32).reshape(-1, 2)
            coordinates.extend(pairs[list(triple)] for triple in cut)
    faces = np.array(triangles, np.int64).reshape(-1, 3)
    complete = len(coordinates) == len(faces) > 0
    corner_uv = frozen_array(np.stack(coordinates), np.float32, (None, 3, 2), "texcoord") if complete else None
    return faces, corner_uv


def _indices(values: NDArray, count: int) -> NDArray[np.int64]:
    if values.size and not (np.isfinite(values).all() and values.min() >= 0 and values.max() < count):
        raise _DamagedError("a face names a vertex that does not exist, so it is damaged")
    return values.astype(np.int64)
