"""Reads Wavefront OBJ files; `v` lines keep their number and order.

Lines are grouped by their first word and each group is parsed at once: a hundred thousand polygons take about a second.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import MeshError
from core.geometry.polygons import triangulate
from core.io.beside import utf8
from core.io.mesh.mtl_reader import read_libraries
from core.io.mesh.source_mesh import build_source_mesh
from core.sequence import Material, MeshPart, SourceMesh

MAX_LINES = 12_000_000
_NO_UV = -1


@dataclass
class _Lines:
    """The words of the relevant lines; `face_*` has one entry per face."""

    points: list[bytes] = field(default_factory=list)
    point_counts: list[int] = field(default_factory=list)  # how many words each `v` line has
    coordinates: list[bytes] = field(default_factory=list)
    coordinate_counts: list[int] = field(default_factory=list)
    corners: list[bytes] = field(default_factory=list)
    face_counts: list[int] = field(default_factory=list)
    face_points: list[int] = field(default_factory=list)  # how many `v` lines came before
    face_coordinates: list[int] = field(default_factory=list)
    face_groups: list[int] = field(default_factory=list)
    groups: dict[tuple[str, str], int] = field(default_factory=dict)  # object and material
    libraries: list[str] = field(default_factory=list)
    ignored: dict[str, int] = field(default_factory=dict)


def read_obj(path: Path) -> SourceMesh:
    """Read vertices, faces (polygons are triangulated), texture coordinates, vertex colours and materials.

    Negative indices, continued lines and byte-order marks are understood. Lines and curves, missing material files and
    missing images become notes; normals are ignored, since they are computed. Raises MeshError for damaged files.
    """
    text = _text(path)
    try:
        lines = _sort_lines(text)
        points, colors = _points(lines)
        coordinates = _coordinates(lines)
        corners, uvs = _indices(lines)
    except (ValueError, IndexError, OverflowError) as error:
        raise _damaged(path, text) from error
    if not len(points):
        raise MeshError(f"{path.name} has no vertices, so it is not an OBJ mesh; check the file or export it again.")
    if corners.size and corners.max() >= len(points):
        raise MeshError(
            f"{path.name}: a face refers to vertex {int(corners.max())}, which does not exist: the file has "
            f"{len(points):,}; it is damaged or cut short."
        )
    if uvs.size and uvs.max() >= len(coordinates):
        raise MeshError(f"{path.name}: a face refers to a texture coordinate that does not exist; export it again.")
    notes = [f"{', '.join(lines.ignored)} are not surfaces and were left out."] if lines.ignored else []
    counts = np.array(lines.face_counts, np.int64)
    cut = triangulate(points, corners, counts)
    owner = np.repeat(np.arange(len(counts)), counts)[cut[:, 0]]
    group_of = np.array(lines.face_groups, np.int64)[owner]
    materials = read_libraries(path, lines.libraries, notes)
    vertex_uv, corner_uv = _texture_coordinates(len(points), corners[cut], uvs[cut], coordinates, notes)
    parts = [
        _part(path, names, materials, corners[cut[rows]], None if corner_uv is None else corner_uv[rows], vertex_uv)
        for names, number in lines.groups.items()
        if len(rows := np.flatnonzero(group_of == number))
    ]
    return build_source_mesh(points, uv=vertex_uv, parts=parts, name=path.stem, path=path, notes=notes, colors=colors)


def _text(path: Path) -> bytes:
    try:
        data = utf8(path.read_bytes())
    except OSError as error:
        raise MeshError(f"{path} cannot be read ({error}); check its permissions.") from error
    if b"\0" in data:
        raise MeshError(f"{path.name} holds binary data, so it is not an OBJ file; export it again as OBJ.")
    if b"\n" not in data:
        data = data.replace(b"\r", b"\n")  # line ends of old Macs
    if b"\\" in data:
        data = data.replace(b"\\\r\n", b" ").replace(b"\\\n", b" ")
    if data.count(b"\n") > MAX_LINES:
        raise MeshError(f"{path.name} has over {MAX_LINES:,} lines, which is too many; reduce (decimate) it first.")
    return data


def _sort_lines(text: bytes) -> _Lines:
    lines = _Lines()
    current, group = ("", ""), -1
    corners, point_counts, coordinate_counts = lines.corners, lines.point_counts, lines.coordinate_counts
    for line in text.split(b"\n"):
        words = line.split()
        if not words:
            continue
        keyword = words[0]
        if keyword == b"v":
            lines.points += words[1:]
            point_counts.append(len(words) - 1)
        elif keyword == b"f":
            if len(words) < 4:
                raise ValueError("a face needs three corners")
            if group < 0:
                group = lines.groups.setdefault(current, len(lines.groups))
            corners += words[1:]
            lines.face_counts.append(len(words) - 1)
            lines.face_points.append(len(point_counts))
            lines.face_coordinates.append(len(coordinate_counts))
            lines.face_groups.append(group)
        elif keyword == b"vt":
            lines.coordinates += words[1:]
            coordinate_counts.append(len(words) - 1)
        elif keyword in (b"o", b"usemtl"):
            name = b" ".join(words[1:]).decode("utf-8", errors="replace")
            current = (name, current[1]) if keyword == b"o" else (current[0], name)
            group = -1
        elif keyword == b"mtllib":
            lines.libraries.append(b" ".join(words[1:]).decode("utf-8", errors="replace"))
        elif keyword in (b"l", b"p", b"curv", b"curv2", b"surf"):
            kind = {b"l": "Lines", b"p": "Points"}.get(keyword, "Curves")
            lines.ignored[kind] = 1
    return lines


def _points(lines: _Lines) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Positions [W, 3], and colours [W, 3] from 0 to 1 if some line has them (white for the others); else None."""
    counts = np.array(lines.point_counts, np.int64)
    if not len(counts):
        return np.zeros((0, 3)), None
    if counts.min() < 3:
        raise ValueError("a vertex needs three numbers")
    values = np.array(lines.points, dtype=np.float64)
    starts = np.cumsum(counts) - counts
    points = values[starts[:, None] + np.arange(3)]
    coloured = np.flatnonzero((counts == 6) | (counts == 7))
    if not len(coloured):
        return points, None
    colors = np.ones((len(points), 3))
    colors[coloured] = values[(starts + counts - 3)[coloured, None] + np.arange(3)]
    return points, colors / 255.0 if np.nanmax(colors[coloured]) > 1.5 else colors


def _coordinates(lines: _Lines) -> NDArray[np.float64]:
    """Texture coordinates [N, 2]; a line with one number has v = 0."""
    counts = np.array(lines.coordinate_counts, np.int64)
    if not len(counts):
        return np.zeros((0, 2))
    if counts.min() < 1:
        raise ValueError("a texture coordinate needs a number")
    values = np.append(np.array(lines.coordinates, dtype=np.float64), 0.0)
    starts = np.cumsum(counts) - counts
    return np.stack([values[starts], np.where(counts > 1, values[starts + 1], 0.0)], axis=-1)


def _indices(lines: _Lines) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Zero-based vertex and texture indices [C] of all corners. Raises ValueError for undefined elements."""
    slashes = {word.count(b"/") for word in lines.corners}
    joined = b" ".join(lines.corners)
    given: NDArray[np.bool_] | None = None  # which corners have a texture number
    if slashes <= {0}:
        vertices, uvs, given = np.array(lines.corners, dtype=np.int64), np.zeros(0, np.int64), np.zeros(0, bool)
    elif len(slashes) == 1 and not any(gap in b" " + joined + b" " for gap in (b"//", b"/ ", b" /")):
        width = slashes.pop() + 1
        table = np.array(joined.replace(b"/", b" ").split(), dtype=np.int64).reshape(-1, width)
        vertices, uvs = table[:, 0], table[:, 1]
    else:
        fields = [word.split(b"/") for word in lines.corners]
        given = np.array([len(f) > 1 and bool(f[1]) for f in fields], dtype=bool)
        vertices = np.array([f[0] for f in fields], dtype=np.int64)
        uvs = np.array([f[1] for f, some in zip(fields, given, strict=True) if some], dtype=np.int64)
    counts = np.array(lines.face_counts, np.int64)
    vertices = _resolved(vertices, np.repeat(np.array(lines.face_points, np.int64), counts))
    before = np.repeat(np.array(lines.face_coordinates, np.int64), counts)
    result = np.full(len(vertices), _NO_UV)
    if given is None:
        result = _resolved(uvs, before)
    elif given.any():
        result[given] = _resolved(uvs, before[given])
    return vertices, result


def _resolved(numbers: NDArray[np.int64], before: NDArray[np.int64]) -> NDArray[np.int64]:
    """Zero-based indices from one-based ones; negative ones count back from the latest element."""
    index = np.where(numbers > 0, numbers - 1, before + numbers)
    if (numbers == 0).any() or (index < 0).any() or (index >= 1 << 31).any():
        raise ValueError("an index is outside the file")
    return index


def _damaged(path: Path, text: bytes) -> MeshError:
    """An error that quotes the first malformed line."""
    points = coordinates = 0
    for number, line in enumerate(text.split(b"\n"), start=1):
        words = line.split()
        try:
            if words[:1] == [b"v"]:
                points += 1
                _points(_Lines(points=words[1:], point_counts=[len(words) - 1]))
            elif words[:1] == [b"vt"]:
                coordinates += 1
                _coordinates(_Lines(coordinates=words[1:], coordinate_counts=[len(words) - 1]))
            elif words[:1] == [b"f"]:
                single = _Lines(
                    corners=words[1:],
                    face_counts=[len(words) - 1],
                    face_points=[points],
                    face_coordinates=[coordinates],
                )
                if len(words) < 4:
                    raise ValueError
                _indices(single)
        except (ValueError, IndexError, OverflowError):
            shown = line.strip()[:60].decode("utf-8", errors="replace")
            return MeshError(
                f"{path.name}, line {number}: {shown!r} is not valid OBJ; "
                "the file is damaged or cut short, so export it again."
            )
    return MeshError(f"{path.name} is damaged or cut short; export it again.")


def _texture_coordinates(
    count: int, faces: NDArray[np.int64], table: NDArray[np.int64], coordinates: NDArray[np.float64], notes: list[str]
) -> tuple[NDArray[np.float32] | None, NDArray[np.float32] | None]:
    """The first texture coordinate of each vertex [W, 2], and those of all corners [F, 3, 2]; None without any."""
    known = table != _NO_UV
    if not known.any():
        return None, None
    if not np.isfinite(coordinates).all():
        notes.append("Some texture coordinates are not finite numbers; they are set to 0.")
        coordinates = np.where(np.isfinite(coordinates), coordinates, 0.0)
    with np.errstate(over="ignore"):
        values = coordinates.astype(np.float32)
    uv = np.zeros((count, 2), np.float32)
    uv[faces[known][::-1]] = values[table[known][::-1]]  # reversed, so that the first mention wins
    return uv, np.where(known[..., None], values[table], uv[faces])


def _part(
    path: Path,
    names: tuple[str, str],
    materials: dict[str, Material],
    faces: NDArray[np.int64],
    corner_uv: NDArray[np.float32] | None,
    uv: NDArray[np.float32] | None,
) -> MeshPart:
    """One object with one material; `corner_uv` is kept only where it adds to `uv`."""
    object_name, material_name = names
    material = materials.get(material_name) or (Material(name=material_name) if material_name else None)
    if corner_uv is not None and uv is not None and (corner_uv == uv[faces]).all():
        corner_uv = None
    return MeshPart(object_name or material_name or path.stem, faces.astype(np.int32), material, corner_uv)
