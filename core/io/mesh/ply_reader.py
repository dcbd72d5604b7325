"""Reads PLY meshes: vertices in file order, polygons of any size, colours and the named image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import MeshError
from core.geometry.polygons import triangulate
from core.io.beside import OutsideError, image_mime, read_beside, utf8
from core.io.mesh.ply_tables import DamagedError, Table, read_tables
from core.io.mesh.source_mesh import build_source_mesh
from core.sequence import Material, MeshPart, SourceMesh, Texture, frozen_array

_UV_NAMES = (("s", "t"), ("u", "v"), ("texture_u", "texture_v"))
_CORNER_NAMES = ("vertex_indices", "vertex_index")
_COLOR_NAMES = (("red", "green", "blue"), ("diffuse_red", "diffuse_green", "diffuse_blue"), ("r", "g", "b"))
_NORMALS, _ALPHAS = ("nx", "ny", "nz"), ("alpha", "a", "diffuse_alpha")  # normals are computed
_COMMON = {*_NORMALS, *_ALPHAS, *(name for names in _COLOR_NAMES for name in names)}
_READ = {
    "vertex": {*"xyz", *_COMMON, *(name for names in _UV_NAMES for name in names)},
    "face": {*_CORNER_NAMES, *_COMMON, "texcoord", "texnumber"},
    "tristrips": {*_CORNER_NAMES},
}


def read_ply(path: Path) -> SourceMesh:
    """Read vertices, triangulated faces, texture coordinates, colours and the image of a `comment TextureFile`.

    Raises MeshError for damaged files.
    """
    notes: list[str] = []
    try:
        points, tables, kinds, comments = _points(path, notes)
        vertex, face = tables["vertex"], tables.get("face", {})
        faces, corner_uv = _triangles(points, face)
        if not len(faces) and "tristrips" in tables:
            faces = _strips(tables["tristrips"], len(points))
        colors = _colors(vertex, kinds)
    except DamagedError as error:
        raise MeshError(f"{path.name} is not a PLY file that can be read: {error}; copy or export it again.") from error
    uv = None
    for first, second in _UV_NAMES:
        if first in vertex and second in vertex:
            with np.errstate(over="ignore"):
                uv = np.stack([vertex[first], vertex[second]], axis=1).astype(np.float32)
            break
    if corner_uv is not None:
        if uv is None:
            uv = np.zeros((len(points), 2), np.float32)
            uv[faces.reshape(-1)[::-1]] = corner_uv.reshape(-1, 2)[::-1]  # reversed, so that the first mention wins
        corner_uv = None if (uv[faces] == corner_uv).all() else corner_uv
    if uv is not None and not (np.isfinite(uv).all() and (corner_uv is None or np.isfinite(corner_uv).all())):
        uv, corner_uv = None, None
        notes.append("The texture coordinates are not finite numbers, so they are left out.")
    if colors is None and any(name in face for names in _COLOR_NAMES for name in names[:1]):
        notes.append("Colours of faces are left out; only those of vertices are kept.")
    notes += _left_out(tables)
    part = MeshPart(path.stem, faces.astype(np.int32), _material(path, comments, notes), corner_uv)
    return build_source_mesh(points, uv=uv, parts=(part,), name=path.stem, path=path, notes=notes, colors=colors)


def _left_out(tables: dict[str, Table]) -> list[str]:
    """A note naming the elements, and the properties of vertices and faces, that are not kept."""
    left = [f"'{name[:24]}'" for name, table in tables.items() if name not in _READ and len(table)]
    for name, read in _READ.items():
        left += [f"'{value[:24]}' of {name}" for value in tables.get(name, {}) if value not in read]
    more = f" and {len(left) - 5} more" if len(left) > 5 else ""
    return (
        [f"Properties other than position, colour and texture are left out: {', '.join(left[:5])}{more}."]
        if left
        else []
    )


def read_ply_points(path: Path) -> NDArray[np.float64]:
    """The positions [N, 3] of a file's vertices as stored, with or without faces. Raises MeshError."""
    try:
        return _points(path, [])[0]
    except DamagedError as error:
        raise MeshError(f"{path.name} is not a PLY file that can be read: {error}; copy or export it again.") from error


def _points(path: Path, notes: list[str]) -> tuple[NDArray[np.float64], dict[str, Table], dict[str, str], list[str]]:
    """Positions [N, 3], all tables, {vertex property: type}, and the comments. Raises MeshError without a file."""
    try:
        data = utf8(path.read_bytes())
    except OSError as error:
        raise MeshError(f"{path} cannot be read ({error}); check its permissions.") from error
    tables, elements, comments = read_tables(data, notes)
    if any(element.name == "vertex" and element.count == 0 for element in elements):
        return np.zeros((0, 3)), {**tables, "vertex": {}}, {}, comments
    vertex = tables.get("vertex", {})
    if not all(isinstance(vertex.get(axis), np.ndarray) for axis in "xyz"):
        raise DamagedError("it has no vertices with x, y and z")
    kinds = {prop.name: prop.kind for element in elements if element.name == "vertex" for prop in element.properties}
    points = np.stack([np.asarray(vertex[axis], dtype=np.float64) for axis in "xyz"], axis=1)
    return points, tables, kinds, comments


def _colors(vertex: Table, kinds: dict[str, str]) -> NDArray[np.float64] | None:
    """Colours [W, 4] from 0 to 1: integers over their type's maximum, floats as they are or over 255; or None."""
    for names in _COLOR_NAMES:
        if not all(isinstance(vertex.get(name), np.ndarray) for name in names):
            continue
        alpha = next((name for name in _ALPHAS if name in vertex), None)
        columns: list[NDArray[np.float64]] = []
        for name in (*names, alpha):
            if name is None:
                columns.append(np.ones(len(columns[0])))
                continue
            values, kind = np.asarray(vertex[name], dtype=np.float64), np.dtype(kinds[name])
            most = (
                float(np.iinfo(kind).max) if kind.kind in "iu" else 255.0 if np.nanmax(values, initial=0) > 1 else 1.0
            )
            columns.append(values / (255.0 if kind.kind in "iu" and kind.itemsize > 2 else most))
        return np.column_stack(columns)
    return None


def _material(path: Path, comments: list[str], notes: list[str]) -> Material | None:
    """A white material with the first image that the comments name, as MeshLab and photogrammetry programs do."""
    names = [comment[len("TextureFile") :].strip() for comment in comments if comment.startswith("TextureFile")]
    if not names or not names[0]:
        return None
    if len(names) > 1:
        notes.append(f"It names {len(names)} images; only the first is kept.")
    try:
        data = read_beside(path.parent, names[0].replace("\\", "/"))
    except OutsideError as error:
        notes.append(f"The image {names[0][:80]} {error}, so the mesh is plain.")
        return None
    mime = image_mime(data)
    if mime is None:
        notes.append(f"The image {names[0][:80]} is neither PNG nor JPEG, so it is left out.")
        return None
    return Material(path.stem, (1.0, 1.0, 1.0, 1.0), base_color_texture=Texture(data, mime))


def _triangles(points: NDArray[np.float64], face: Table) -> tuple[NDArray[np.int64], NDArray[np.float32] | None]:
    """Faces [F, 3], and texture coordinates per corner [F, 3, 2] if the file's faces have them."""
    corners = next((face[name] for name in _CORNER_NAMES if name in face), None)
    if corners is None or len(corners) == 0:
        return np.zeros((0, 3), np.int64), None
    texture = face.get("texcoord")
    if isinstance(corners, np.ndarray):
        if corners.ndim != 2:
            raise DamagedError("its faces are not lists of vertices")
        counts, flat = np.full(len(corners), corners.shape[1], np.int64), corners.reshape(-1)
    else:
        counts = np.array([np.size(polygon) for polygon in corners], np.int64)
        flat = np.concatenate([np.asarray(polygon).reshape(-1) for polygon in corners])
    ring = _indices(flat, len(points))
    cut = triangulate(points, ring, counts)
    faces = ring[cut]
    if texture is None or not len(faces):
        return faces, None
    sizes = np.array([np.size(row) for row in texture], np.int64)
    if not (sizes == 2 * counts).all():
        return faces, None
    pairs = np.concatenate([np.asarray(row, np.float64).reshape(-1) for row in texture]).reshape(-1, 2)
    return faces, frozen_array(pairs[cut], np.float32, (None, 3, 2), "texcoord")


def _strips(table: Table, count: int) -> NDArray[np.int64]:
    """Faces [F, 3] of triangle strips, separated by -1."""
    faces = [np.zeros((0, 3), np.int64)]
    for row in next((table[name] for name in _CORNER_NAMES if name in table), []):
        numbers = np.asarray(row, dtype=np.float64).reshape(-1)
        for strip in np.split(numbers, np.flatnonzero(numbers == -1)):
            ring = _indices(strip[strip != -1], count)
            if len(ring) >= 3:
                a, b, c = ring[:-2], ring[1:-1], ring[2:]
                odd = np.arange(len(a)) % 2 == 1
                faces.append(np.stack([a, np.where(odd, c, b), np.where(odd, b, c)], axis=-1))
    return np.concatenate(faces)


def _indices(values: NDArray, count: int) -> NDArray[np.int64]:
    if values.size and not (np.isfinite(values).all() and values.min() >= 0 and values.max() < count):
        raise DamagedError("a face refers to a vertex that does not exist, so it is damaged")
    return values.astype(np.int64)
