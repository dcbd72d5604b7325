"""Points on a triangle mesh: area-uniform samples that can be tracked through a motion, and normals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import MeshError


@dataclass(frozen=True, eq=False)
class SurfaceSamples:
    """Surface points as face numbers `face` [N] and `barycentric` weights [N, 3] of the face's `corners` [N, 3]."""

    face: NDArray[np.int64]
    barycentric: NDArray[np.float64]
    corners: NDArray[np.int64]

    def at(self, vertices: ArrayLike) -> NDArray:
        """The samples on vertices [V, 3] or [T, V, 3]: [N, 3] or [T, N, 3], the same surface points in every frame."""
        positions = np.asarray(vertices)
        if not np.issubdtype(positions.dtype, np.floating):
            positions = positions.astype(np.float64)
        weights = self.barycentric.astype(positions.dtype)
        result = positions[..., self.corners[:, 0], :] * weights[:, 0, None]
        for corner in (1, 2):
            result += positions[..., self.corners[:, corner], :] * weights[:, corner, None]
        return result

    def of(self, rows: NDArray[np.integer]) -> SurfaceSamples:
        """Only these samples."""
        return SurfaceSamples(self.face[rows], self.barycentric[rows], self.corners[rows])


def sample_surface(vertices: ArrayLike, faces: ArrayLike, count: int, rng: np.random.Generator) -> SurfaceSamples:
    """Draw `count` points uniformly by area on vertices [V, 3], faces [F, 3]; deterministic for a given `rng` state.

    Faces of zero area get none. Raises MeshError when the mesh has no area.
    """
    points, corners = np.asarray(vertices, dtype=np.float64), np.asarray(faces, dtype=np.int64)
    areas = face_areas(points, corners)
    total = areas.sum()
    if not (np.isfinite(total) and total > 0):
        raise MeshError("The mesh has no surface area, so no points can be drawn on it; open another mesh.")
    # Drawing on the cumulated area costs one sort; the last face with area catches rounding at the end.
    bounds = np.cumsum(areas)
    face = np.searchsorted(bounds, rng.random(count) * bounds[-1], side="right")
    face = np.minimum(face, np.flatnonzero(areas > 0)[-1])
    first, second = np.sqrt(rng.random(count)), rng.random(count)
    barycentric = np.stack([1.0 - first, first * (1.0 - second), first * second], axis=1)
    return SurfaceSamples(face=face, barycentric=barycentric, corners=corners[face])


def face_areas(vertices: ArrayLike, faces: ArrayLike) -> NDArray[np.float64]:
    """[F] area of each face, in squared units of the vertices."""
    return 0.5 * np.linalg.norm(_area_vectors(vertices, faces), axis=-1)


def face_normals(vertices: ArrayLike, faces: ArrayLike) -> NDArray[np.float64]:
    """Unit normals [F, 3] (or [T, F, 3] for [T, V, 3]) by the right-hand rule; zero where a face has no area."""
    return _unit(_area_vectors(vertices, faces))


def orientation(vertices: ArrayLike, faces: ArrayLike) -> float:
    """1.0 when the faces' normals point outward as a whole, -1.0 when the surface is inside out (negative volume)."""
    points, corners = np.asarray(vertices, dtype=np.float64), np.asarray(faces, dtype=np.int64)
    centred = points - points.mean(axis=0)
    volume = np.einsum("fd,fd->", centred[corners[:, 0]], _area_vectors(points, corners))
    return -1.0 if volume < 0 else 1.0


def vertex_normals(vertices: ArrayLike, faces: ArrayLike) -> NDArray[np.float64]:
    """Unit normals [V, 3] (or [T, V, 3]), each the area-weighted mean of its faces'; zero without faces."""
    points, corners = np.asarray(vertices, dtype=np.float64), np.asarray(faces, dtype=np.int64)
    vectors = _area_vectors(points, corners)
    frames = vectors.reshape(-1, len(corners), 3)
    count = points.shape[-2]
    # bincount is many times faster than numpy's add.at
    repeated = corners.reshape(-1)
    normals = np.empty((len(frames), count, 3))
    for frame, vector in enumerate(frames):
        for axis in range(3):
            normals[frame, :, axis] = np.bincount(repeated, np.repeat(vector[:, axis], 3), minlength=count)
    return _unit(normals).reshape(points.shape)


def _area_vectors(vertices: ArrayLike, faces: ArrayLike) -> NDArray[np.float64]:
    points, corners = np.asarray(vertices, dtype=np.float64), np.asarray(faces, dtype=np.int64)
    a, b, c = (points[..., corners[:, corner], :] for corner in range(3))
    return np.cross(b - a, c - a)


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
