"""A mesh file's arrays into a SourceMesh: the welded surface to animate, and the file's own vertices for export."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import MeshError
from core.geometry.weld import weld
from core.sequence import MeshPart, SourceMesh, frozen_array

MAX_VERTICES = 200_000  # of the welded surface
MAX_FILE_VERTICES = 2_000_000  # an STL repeats each vertex about six times
WELD_TOLERANCE = 1e-6  # of the longest side


def build_source_mesh(
    vertices: ArrayLike,
    faces: ArrayLike | None = None,
    uv: ArrayLike | None = None,
    parts: Sequence[MeshPart] | None = None,
    name: str = "mesh",
    path: str | Path = "",
    up_axis: str = "y",
    notes: Sequence[str] = (),
) -> SourceMesh:
    """Weld a file's vertices [W, 3] by position and return the SourceMesh that keeps the way back.

    `faces` [F, 3] index the file's vertices; with `parts` given they may be left out (they are the parts'
    faces, one after another). Vertices within 1e-6 of the longest side are one welded vertex, numbered by
    first appearance, so that a file without repeats keeps its numbering. Faces that lose a corner or all
    area by welding are dropped from the welded surface (not from the parts); vertices without faces stay,
    so that they move too. Raises MeshError that names `path` (or `name`).
    """
    label = Path(path).name if str(path) else name
    points = np.asarray(vertices, dtype=np.float64)
    if points.size == 0:
        raise MeshError(f"{label} has no vertices; export it again from a modelling tool.")
    if points.ndim != 2 or points.shape[1] != 3:
        raise MeshError(f"{label}: its vertices have shape {points.shape}, but three numbers per vertex are needed.")
    if parts is None:
        if faces is None:
            raise MeshError(f"{label} has no faces; open a triangle mesh.")
        parts = (MeshPart(name, _index_array(faces, label)),)
    parts = tuple(replace(part, faces=_index_array(part.faces, label)) for part in parts)
    triangles = np.concatenate([part.faces for part in parts]) if parts else np.zeros((0, 3), np.int32)
    _check_geometry(points, triangles, label)

    size = float(np.ptp(points, axis=0).max())
    file_to_vertex, first = weld(points, WELD_TOLERANCE * size)
    if len(first) > MAX_VERTICES:
        raise MeshError(
            f"{label} has {len(first):,} vertices, but {MAX_VERTICES:,} are possible; reduce (decimate) it first."
        )
    welded = points[first]
    surface = file_to_vertex[triangles]
    surface = surface[~_degenerate(welded, surface, size)]
    if len(surface) == 0:
        raise MeshError(f"All faces of {label} have zero area, so it has no surface; export it again.")
    said = list(notes)
    if dropped := len(triangles) - len(surface):
        said.append(f"{dropped:,} of {len(triangles):,} faces have no area and are not part of the animated surface.")
    return SourceMesh(
        name=name,
        vertices=frozen_array(welded, np.float32, (None, 3), "vertices"),
        faces=frozen_array(surface, np.int32, (None, 3), "faces"),
        file_to_vertex=frozen_array(file_to_vertex, np.int32, (None,), "file_to_vertex"),
        parts=parts,
        uv=None if uv is None else frozen_array(uv, np.float32, (len(points), 2), f"{label}: uv"),
        up_axis=up_axis,
        path=str(path),
        notes=tuple(said),
    )


def file_vertices(source: SourceMesh, sequence_vertices: NDArray) -> NDArray:
    """Welded positions [T, V, 3] (or [V, 3]) to the file's own vertices [T, W, 3] (or [W, 3]), in file order."""
    return np.take(sequence_vertices, source.file_to_vertex, axis=-2)


def split_seams(source: SourceMesh) -> SourceMesh:
    """Return the mesh with one file vertex per texture coordinate, as glTF needs it.

    An OBJ vertex on a texture seam has several texture coordinates (`MeshPart.corner_uv`). The copies are
    put after the file's own vertices, which keep their order. A mesh without seams is returned as it is.
    """
    if source.uv is None or all(part.corner_uv is None for part in source.parts):
        return source
    uv = [source.uv]
    mapping = [source.file_to_vertex]
    parts = []
    total = len(source.uv)
    for part in source.parts:
        if part.corner_uv is None:
            parts.append(part)
            continue
        faces = part.faces.copy()
        differs = (part.corner_uv != source.uv[faces]).any(axis=2)
        keys = np.concatenate([faces[differs][:, None].astype(np.float64), part.corner_uv[differs]], axis=1)
        unique, inverse = np.unique(keys, axis=0, return_inverse=True)
        faces[differs] = total + inverse.reshape(-1)
        total += len(unique)
        uv.append(unique[:, 1:].astype(np.float32))
        mapping.append(source.file_to_vertex[unique[:, 0].astype(np.int64)])
        parts.append(replace(part, faces=frozen_array(faces, np.int32, (None, 3), "faces"), corner_uv=None))
    return replace(
        source,
        parts=tuple(parts),
        uv=frozen_array(np.concatenate(uv), np.float32, (None, 2), "uv"),
        file_to_vertex=frozen_array(np.concatenate(mapping), np.int32, (None,), "file_to_vertex"),
    )


def guess_up_axis(source: SourceMesh) -> str:
    """Suggest the up axis: "z" for an STL or PLY that stands on the plane z = 0 and is centred in y, else "y".

    Only a suggestion to show: no file says it for certain, so `read_mesh` never applies it by itself.
    """
    if Path(source.path).suffix.lower() not in (".stl", ".ply"):
        return "y"
    low, high = source.vertices.min(axis=0), source.vertices.max(axis=0)
    near = 0.01 * source.size
    stands_on_z = abs(low[2]) < near and high[2] > 10 * near
    stands_on_y = abs(low[1]) < near
    return "z" if stands_on_z and not stands_on_y and abs(low[1] + high[1]) / 2 < 10 * near else "y"


def _degenerate(points: NDArray[np.float64], faces: NDArray, size: float) -> NDArray[np.bool_]:
    """[F] true for faces with a repeated corner or an area below what single precision can tell from zero."""
    repeated = (faces == np.roll(faces, 1, axis=1)).any(axis=1)
    a, b, c = (points[faces[:, corner]] for corner in range(3))
    return repeated | (np.linalg.norm(np.cross((b - a) / size, (c - a) / size), axis=1) < 1e-14)


def _index_array(faces: ArrayLike, label: str) -> NDArray[np.int32]:
    array = np.asarray(faces)
    if array.size == 0:
        array = np.zeros((0, 3), np.int32)
    if array.ndim != 2 or array.shape[1] != 3 or not np.issubdtype(array.dtype, np.integer):
        raise MeshError(f"{label}: its faces have shape {array.shape}, but three vertex numbers per face are needed.")
    if array.size and (array.min() < 0 or array.max() > np.iinfo(np.int32).max):
        raise MeshError(f"{label}: a face names a vertex that does not exist; the file is damaged or cut short.")
    return frozen_array(array, np.int32, (None, 3), f"{label}: faces")


def _check_geometry(points: NDArray[np.float64], faces: NDArray, label: str) -> None:
    if len(points) > MAX_FILE_VERTICES:
        raise MeshError(f"{label} has {len(points):,} vertices, which is too many; reduce (decimate) it first.")
    if len(faces) == 0:
        raise MeshError(
            f"{label} has {len(points):,} vertices but no faces, so it is a point cloud; open a triangle mesh, "
            "or reconstruct from it as a scan."
        )
    if faces.max() >= len(points):
        raise MeshError(
            f"{label}: a face names vertex {int(faces.max())}, but the file has {len(points):,} vertices; "
            "it is damaged or cut short."
        )
    if not np.isfinite(points).all():
        bad = int(np.flatnonzero(~np.isfinite(points).all(axis=1))[0])
        raise MeshError(f"{label}: vertex {bad} is not a finite number; repair the mesh in a modelling tool.")
    low, high = points.min(axis=0), points.max(axis=0)
    if max(abs(low).max(), abs(high).max()) > 1e30:
        raise MeshError(f"{label}: its coordinates are too large to be a shape; check its units.")
    # Below single precision's spacing at that place, the shape would collapse when stored.
    if (high - low).max() <= max(1e-30, 1e-6 * max(abs(low).max(), abs(high).max())):
        raise MeshError(f"{label}: all vertices lie at one point, so it has zero size; open another file.")
