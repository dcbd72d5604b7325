"""Surface samples and occupancy queries of a posed mesh, for the rig bank."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.data.rig_format import query_box

UNIFORM_QUERIES = NEAR_QUERIES = 1536  # per reference pose
NEAR_SIGMAS = (0.01, 0.04)  # of the shape's size, half of the near-surface queries each


def sample_surface(
    corners: NDArray[np.float64], pool: int, random: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Faces [P] and barycentric weights [P, 3] of points stratified by area, in random order."""
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    where = (np.arange(pool) + random.random(pool)) / pool * area.sum()
    face = np.minimum(np.searchsorted(np.cumsum(area), where), len(area) - 1)[random.permutation(pool)]
    u, v = np.sqrt(random.random(pool)), random.random(pool)
    return face, np.stack([1 - u, u * (1 - v), u * v], 1)


def label_queries(
    vertices: NDArray[np.float64], faces: NDArray[np.int32], low: NDArray, high: NDArray, random: np.random.Generator
) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
    """Queries [U + S, 3], first uniform in the pose's box, then near the surface, and whether they are inside.

    The inside is where libigl's winding number exceeds a half.
    """
    import igl

    size = float((high - low).max())
    uniform = low + random.random((UNIFORM_QUERIES, 3)) * (high - low)
    face, barycentric = sample_surface(vertices[faces], NEAR_QUERIES, random)
    sigma = np.where(np.arange(NEAR_QUERIES) % 2 == 0, *NEAR_SIGMAS)[:, None] * size
    near = (vertices[faces[face]] * barycentric[..., None]).sum(1) + sigma * random.normal(size=(NEAR_QUERIES, 3))
    start, end = query_box(low.round(6), high.round(6))
    stored = np.clip((np.concatenate([uniform, near]) - start) / (end - start) * 65535, 0, 65535).round().astype("<u2")
    points = start + stored / 65535.0 * (end - start)  # labels belong to what is stored
    winding = igl.fast_winding_number(vertices, faces.astype(np.int64), points)
    return stored, np.abs(winding) > 0.5
