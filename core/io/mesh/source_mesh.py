"""Turns a mesh file's arrays into a SourceMesh: the welded surface to animate, and the file's vertices for export."""

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
MAX_FILE_FACES = 4_000_000
WELD_TOLERANCE = 1e-6  # of the longest side
FAR_AWAY = 16.0  # sizes from 0: there, single precision (24 bits) moves vertices by a millionth of the size


def build_source_mesh(
    vertices: ArrayLike,
    faces: ArrayLike | None = None,
    uv: ArrayLike | None = None,
    parts: Sequence[MeshPart] | None = None,
    name: str = "mesh",
    path: str | Path = "",
    up_axis: str = "y",
    notes: Sequence[str] = (),
    uv1: ArrayLike | None = None,
    colors: ArrayLike | None = None,
) -> SourceMesh:
    """Weld a file's vertices [W, 3] by position into a SourceMesh that keeps the mapping back.

    `faces` [F, 3] index the file's vertices; they may be left out if there are `parts`, whose faces they are. Vertices
    within 1e-6 of the longest side become one welded vertex, numbered by first appearance, so that a file without
    repeats keeps its numbering. Faces that degenerate by welding are dropped from the welded surface, not from the
    parts; vertices without faces stay. Positions far from 0 are stored relative to an origin (see `far_origin`). `uv`
    and `uv1` are [W, 2], `colors` [W, 3] or [W, 4] from 0 to 1. Raises MeshError that names `path` (or `name`).
    """
    label = Path(path).name if str(path) else name
    points = np.asarray(vertices, dtype=np.float64)
    if points.size == 0:
        raise MeshError(f"{label} has no vertices; export it again from a modelling tool.")
    if points.ndim != 2 or points.shape[1] != 3:
        raise MeshError(f"{label}: its vertices have shape {points.shape}, expected vertices x 3.")
    if parts is None:
        if faces is None:
            raise MeshError(f"{label} has no faces; open a triangle mesh.")
        parts = (MeshPart(name, _index_array(faces, label)),)
    parts = tuple(replace(part, faces=_index_array(part.faces, label)) for part in parts)
    triangles = np.concatenate([part.faces for part in parts]) if parts else np.zeros((0, 3), np.int32)
    _check_geometry(points, triangles, label)

    said = list(notes)
    size = float(np.ptp(points, axis=0).max())
    origin = far_origin(points)
    if any(origin):
        points = points - origin
        said.append(
            f"Its coordinates lie far from 0, around {' '.join(f'{value:.10g}' for value in origin)}; here they are "
            "relative to that point, and exports have the original ones."
        )
    file_to_vertex, first = weld(points, WELD_TOLERANCE * size)
    if len(first) > MAX_VERTICES:
        raise MeshError(
            f"{label} has {len(first):,} vertices, over the limit of {MAX_VERTICES:,}; reduce (decimate) it first."
        )
    welded = points[first]
    surface = file_to_vertex[triangles]
    surface = surface[~_degenerate(welded, surface, size)]
    if len(surface) == 0:
        raise MeshError(f"All faces of {label} have zero area, so it has no surface; export it again.")
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
        uv1=None if uv1 is None else frozen_array(uv1, np.float32, (len(points), 2), f"{label}: uv1"),
        colors=None if colors is None else _four_channels(colors, len(points), label),
        origin=origin,
    )


def first_file_vertices(file_to_vertex: NDArray[np.int32]) -> NDArray[np.int64]:
    """[V] the first file vertex of each welded vertex; `file_to_vertex` is [W]."""
    return np.unique(file_to_vertex, return_index=True)[1].astype(np.int64)


def far_origin(points: NDArray[np.float64]) -> tuple[float, float, float]:
    """The origin for points [N, 3]: 0, or a round position near them if they are over 16 sizes away from 0."""
    low, high = points.min(axis=0), points.max(axis=0)
    size = float((high - low).max())
    if size <= 0 or max(abs(low).max(), abs(high).max()) <= FAR_AWAY * size:
        return (0.0, 0.0, 0.0)
    step = 10.0 ** np.floor(np.log10(size))
    x, y, z = (float(value) for value in np.round((low + high) / 2 / step) * step)
    return (x, y, z)


def guess_up_axis(source: SourceMesh) -> str:
    """Suggest the up axis: "z" for an STL, or for a PLY or OFF that stands on the plane z = 0; else "y".

    `read_mesh` never applies it, since these formats do not store it. STL comes from machining and printing, where z
    points up. A PLY or OFF must also be centred in y, and any mesh that stands on y = 0 and not on z = 0 has Y up.
    """
    kind = Path(source.path).suffix.lower()
    if kind not in (".stl", ".ply", ".off"):
        return "y"
    low, high = source.vertices.min(axis=0) + source.origin, source.vertices.max(axis=0) + source.origin
    near = 0.01 * source.size
    stands_on_z = abs(low[2]) < near and high[2] > 10 * near
    stands_on_y = abs(low[1]) < near
    if stands_on_y != stands_on_z and (stands_on_y or kind == ".stl"):
        return "y" if stands_on_y else "z"
    if kind == ".stl":
        return "z"
    return "z" if stands_on_z and not stands_on_y and abs(low[1] + high[1]) / 2 < 10 * near else "y"


def guess_units(source: SourceMesh) -> str | None:
    """ "millimetres" for a mesh over 50 units large in a format without units, else None; a suggestion only."""
    if Path(source.path).suffix.lower() in (".stl", ".ply", ".off", ".obj") and source.size > 50:
        return "millimetres"
    return None


def units_note(source: SourceMesh) -> str:
    """A note on a mesh's probable units; empty if nothing is suggested."""
    units = guess_units(source)
    if units is None:
        return ""
    return f"It states no units; its size is {source.size:,.4g}, probably {units}; glTF and USD use metres."


def _four_channels(colors: ArrayLike, count: int, label: str) -> NDArray[np.float32]:
    """Colours [W, 4] from 0 to 1, from [W, 3] or [W, 4]; values that are not numbers become white."""
    values = np.nan_to_num(np.asarray(colors, dtype=np.float64), nan=1.0, posinf=1.0, neginf=0.0).clip(0.0, 1.0)
    if values.ndim == 2 and values.shape[1] == 3:
        values = np.column_stack([values, np.ones(len(values))])
    return frozen_array(values, np.float32, (count, 4), f"{label}: colours")


def _degenerate(points: NDArray[np.float64], faces: NDArray, size: float) -> NDArray[np.bool_]:
    """[F] true for faces with a repeated corner, or an area indistinguishable from zero in single precision."""
    repeated = (faces == np.roll(faces, 1, axis=1)).any(axis=1)
    a, b, c = (points[faces[:, corner]] for corner in range(3))
    return repeated | (np.linalg.norm(np.cross((b - a) / size, (c - a) / size), axis=1) < 1e-14)


def _index_array(faces: ArrayLike, label: str) -> NDArray[np.int32]:
    array = np.asarray(faces)
    if array.size == 0:
        array = np.zeros((0, 3), np.int32)
    if array.ndim != 2 or array.shape[1] != 3 or not np.issubdtype(array.dtype, np.integer):
        raise MeshError(f"{label}: its faces have shape {array.shape}, expected faces x 3.")
    if array.size and (array.min() < 0 or array.max() > np.iinfo(np.int32).max):
        raise MeshError(f"{label}: a face refers to a vertex that does not exist; the file is damaged or cut short.")
    return frozen_array(array, np.int32, (None, 3), f"{label}: faces")


def _check_geometry(points: NDArray[np.float64], faces: NDArray, label: str) -> None:
    if len(points) > MAX_FILE_VERTICES:
        raise MeshError(f"{label} has {len(points):,} vertices, which is too many; reduce (decimate) it first.")
    if len(faces) > MAX_FILE_FACES:
        raise MeshError(f"{label} has {len(faces):,} faces, which is too many; reduce (decimate) it first.")
    if len(faces) == 0:
        raise MeshError(
            f"{label} has {len(points):,} vertices but no faces, so it is a point cloud; open a triangle mesh, "
            "or reconstruct from it as a scan."
        )
    if faces.max() >= len(points):
        raise MeshError(
            f"{label}: a face refers to vertex {int(faces.max())}, but the file has {len(points):,} vertices; "
            "it is damaged or cut short."
        )
    if not np.isfinite(points).all():
        bad = int(np.flatnonzero(~np.isfinite(points).all(axis=1))[0])
        raise MeshError(f"{label}: vertex {bad} is not a finite number; repair the mesh in a modelling tool.")
    low, high = points.min(axis=0), points.max(axis=0)
    if max(abs(low).max(), abs(high).max()) > 1e30:
        raise MeshError(f"{label}: its coordinates are too large to be a shape; check its units.")
    # A smaller size is below the spacing of double precision there, so it is rounding, not a shape.
    if (high - low).max() <= max(1e-30, 1e-12 * max(abs(low).max(), abs(high).max())):
        raise MeshError(f"{label}: all vertices coincide, so it has no size; open another file.")
