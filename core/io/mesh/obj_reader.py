"""Wavefront OBJ and MTL, read so that the file's own `v` lines keep their number and order."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import MeshError
from core.geometry.polygons import polygon_triangles
from core.io.mesh.source_mesh import build_source_mesh
from core.sequence import Material, MeshPart, SourceMesh

_IMAGE_SIGNATURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}
_NO_UV = -1


@dataclass
class _Faces:
    """Triangles of one object and material: corners as vertex and texture-coordinate numbers."""

    vertices: list[tuple[int, int, int]] = field(default_factory=list)
    coordinates: list[tuple[int, int, int]] = field(default_factory=list)


def read_obj(path: Path) -> SourceMesh:
    """Read vertices, faces (polygons are cut into triangles), texture coordinates and materials.

    Understands negative indices, continued lines and vertex colours (left out); ignores lines, curves and
    normals. A missing material file or picture is a note, not an error. Raises MeshError for damaged files.
    """
    text = _read_text(path)
    positions: list[list[float]] = []
    coordinates: list[list[float]] = []
    groups: dict[tuple[str, str], _Faces] = {}
    libraries: list[str] = []
    polygons: list[tuple[_Faces, list[int], list[int]]] = []
    current = ("", "")
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        keyword = words[0]
        try:
            if keyword == "v":
                positions.append([float(words[1]), float(words[2]), float(words[3])])
            elif keyword == "vt":
                coordinates.append([float(words[1]), float(words[2]) if len(words) > 2 else 0.0])
            elif keyword == "f":
                faces = groups.setdefault(current, _Faces())
                corners, uvs = _corners(words[1:], len(positions), len(coordinates))
                if len(corners) == 3:
                    faces.vertices.append((corners[0], corners[1], corners[2]))
                    faces.coordinates.append((uvs[0], uvs[1], uvs[2]))
                else:
                    polygons.append((faces, corners, uvs))
            elif keyword == "o":
                current = (" ".join(words[1:]), current[1])
            elif keyword == "usemtl":
                current = (current[0], " ".join(words[1:]))
            elif keyword == "mtllib":
                libraries.append(" ".join(words[1:]))
        except (IndexError, ValueError) as error:
            raise MeshError(
                f"{path.name}, line {number}: {line.strip()[:60]!r} is not valid OBJ; "
                "the file is damaged or cut short, so export it again."
            ) from error
    if not positions:
        raise MeshError(f"{path.name} has no vertices, so it is not an OBJ mesh; check the file or export it again.")
    points = np.array(positions, dtype=np.float64)
    for faces, corners, uvs in polygons:
        if max(corners) >= len(points):
            raise MeshError(
                f"{path.name}: a face names a vertex that does not exist; the file is damaged or cut short."
            )
        for a, b, c in polygon_triangles(points[corners]):
            faces.vertices.append((corners[a], corners[b], corners[c]))
            faces.coordinates.append((uvs[a], uvs[b], uvs[c]))

    notes: list[str] = []
    materials = _read_libraries(path, libraries, notes)
    parts, uv = _parts(path, groups, materials, len(points), np.array(coordinates, np.float32).reshape(-1, 2), notes)
    return build_source_mesh(points, uv=uv, parts=parts, name=path.stem, path=path, notes=notes)


def _read_text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MeshError(f"{path} cannot be read ({error}); check its permissions.") from error
    if b"\0" in data:
        raise MeshError(f"{path.name} holds binary data, so it is not an OBJ file; export it again as OBJ.")
    return data.decode("utf-8", errors="replace").replace("\\\r\n", " ").replace("\\\n", " ")


def _corners(words: list[str], vertices: int, coordinates: int) -> tuple[list[int], list[int]]:
    """Vertex and texture numbers from 0 of one face; ValueError for numbers that the file has not given yet."""
    if len(words) < 3:
        raise ValueError("a face needs three corners")
    corners, uvs = [], []
    for word in words:
        fields = word.split("/")
        corners.append(_resolve(fields[0], vertices))
        uvs.append(_resolve(fields[1], coordinates) if len(fields) > 1 and fields[1] else _NO_UV)
    return corners, uvs


def _resolve(word: str, count: int) -> int:
    # Numbers start at 1; negative ones count back from the latest element.
    number = int(word)
    index = number - 1 if number > 0 else count + number
    if number == 0 or index < 0 or index >= 1 << 31:
        raise ValueError("an index is outside the file")
    return index


def _parts(
    path: Path,
    groups: dict[tuple[str, str], _Faces],
    materials: dict[str, Material],
    vertex_count: int,
    coordinates: NDArray[np.float32],
    notes: list[str],
) -> tuple[list[MeshPart], NDArray[np.float32] | None]:
    """One part per object and material, and uv [W, 2]: each vertex's first texture coordinate."""
    parts = []
    corner_tables = []
    for (object_name, material_name), faces in groups.items():
        if not faces.vertices:
            continue
        material = materials.get(material_name)
        if material is None and material_name:
            material = Material(name=material_name)
        corner_tables.append(np.array(faces.coordinates, np.int64))
        parts.append(
            MeshPart(
                name=object_name or material_name or path.stem,
                faces=np.array(faces.vertices, np.int64).astype(np.int32, casting="same_kind"),
                material=material,
            )
        )
    if not parts or not len(coordinates) or all((table == _NO_UV).all() for table in corner_tables):
        return parts, None
    if max(int(table.max()) for table in corner_tables) >= len(coordinates):
        raise MeshError(f"{path.name}: a face names a texture coordinate that does not exist; export it again.")
    if max(int(part.faces.max()) for part in parts) >= vertex_count:
        raise MeshError(f"{path.name}: a face names a vertex that does not exist; the file is damaged or cut short.")
    if not np.isfinite(coordinates).all():
        notes.append("Some texture coordinates are not finite numbers; they are set to 0.")
        coordinates = np.nan_to_num(coordinates, posinf=0.0, neginf=0.0)
    uv = np.zeros((vertex_count, 2), np.float32)
    all_faces = np.concatenate([part.faces for part in parts]).reshape(-1)
    all_corners = np.concatenate(corner_tables).reshape(-1)
    known = np.flatnonzero(all_corners != _NO_UV)[::-1]  # reversed, so that the first mention wins
    uv[all_faces[known]] = coordinates[all_corners[known]]
    for row, (part, table) in enumerate(zip(parts, corner_tables, strict=True)):
        corner_uv = np.where((table == _NO_UV)[..., None], uv[part.faces], coordinates[table])
        if (corner_uv != uv[part.faces]).any():
            corner_uv = corner_uv.astype(np.float32)
            corner_uv.setflags(write=False)
            parts[row] = replace(part, corner_uv=corner_uv)
    return parts, uv


def _read_libraries(path: Path, libraries: list[str], notes: list[str]) -> dict[str, Material]:
    materials: dict[str, Material] = {}
    for library in libraries:
        # The name may hold spaces, or be several names.
        names = [library] if (path.parent / library).is_file() else library.split()
        for name in names:
            try:
                text = (path.parent / name).read_bytes().decode("utf-8", errors="replace")
            except (OSError, ValueError):
                notes.append(f"The material file {name} was not found beside {path.name}; its materials are plain.")
                continue
            materials.update(parse_mtl(text, path.parent, notes))
    return materials


def parse_mtl(text: str, folder: Path, notes: list[str]) -> dict[str, Material]:
    """Materials by name, in metallic-roughness terms; lines that make no sense are skipped, pictures embedded."""
    materials: dict[str, Material] = {}
    current: Material | None = None
    for line in text.splitlines():
        words = line.split()
        if not words:
            continue
        if words[0] == "newmtl":
            current = Material(name=" ".join(words[1:]))
        elif current is not None:
            try:
                current = _apply_mtl(current, words, line, folder, notes)
            except (IndexError, ValueError):
                continue
        if current is not None:
            materials[current.name] = current
    return materials


def _apply_mtl(material: Material, words: list[str], line: str, folder: Path, notes: list[str]) -> Material:
    red, green, blue, alpha = material.base_color
    match words[0]:
        case "Kd":
            red, green, blue = (_unit(word) for word in words[1:4])
            return replace(material, base_color=(red, green, blue, alpha))
        case "d" | "Tr":
            alpha = _unit(words[-1]) if words[0] == "d" else 1.0 - _unit(words[-1])
            return replace(
                material, base_color=(red, green, blue, alpha), alpha_mode="BLEND" if alpha < 1.0 else "OPAQUE"
            )
        case "Ke":
            red, green, blue = (_unit(word) for word in words[1:4])
            return replace(material, emissive=(red, green, blue))
        case "Pm":
            return replace(material, metallic=_unit(words[1]))
        case "Pr":
            return replace(material, roughness=_unit(words[1]))
        case "Ns":  # Blinn-Phong exponent to GGX roughness
            return replace(material, roughness=float(np.sqrt(2.0 / (2.0 + max(0.0, float(words[1]))))))
        case "map_Kd":
            return _with_texture(material, line.split(None, 1)[1].strip(), words[-1], folder, notes)
    return material


def _with_texture(material: Material, rest: str, last: str, folder: Path, notes: list[str]) -> Material:
    # The whole rest may be a name with spaces; with options before it, the name is the last word.
    for name in (rest, last):
        try:
            data = (folder / name.replace("\\", "/")).read_bytes()
        except (OSError, ValueError):
            continue
        for signature, mime in _IMAGE_SIGNATURES.items():
            if data.startswith(signature):
                # The picture gives the colour; a Kd below 1 beside it would darken it twice in glTF terms.
                white = (1.0, 1.0, 1.0, material.base_color[3])
                return replace(material, base_color=white, base_color_texture=data, texture_mime=mime)
        notes.append(f"The picture {name} is neither PNG nor JPEG, so it is left out.")
        return material
    notes.append(f"The picture {rest} was not found, so the material {material.name} is plain.")
    return material


def _unit(word: str) -> float:
    value = float(word)
    if not np.isfinite(value):
        raise ValueError("not a finite number")
    return min(1.0, max(0.0, value))
