"""Vertex normals for files that store them: smooth, with the creases that the file's split vertices mark."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.export.clip import ExportClip

# Split vertices are shaded as one when their normals are within this angle of their mean, so two within twice of it.
CREASE_COSINE = float(np.cos(np.radians(40.0)))


def clip_normals(clip: ExportClip) -> NDArray[np.float32]:
    """[T, W, 3] unit normals of every frame, area weighted.

    A file splits a vertex for a texture seam or a material, where shading goes on smoothly, or for a hard edge,
    where it does not. Copies in one part with one UV can only be there for a hard edge; for the others the angle
    between them in frame 0 decides, so that shading does not change its kind during the motion.
    """
    faces = clip.faces
    result = np.empty_like(clip.frames)
    smooth = _split_but_not_for_an_edge(clip)
    points = len(smooth)
    for t, positions in enumerate(clip.frames):
        corners = positions[faces].astype(np.float64)
        weighted = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        normals = _unit(_sums(np.repeat(weighted, 3, axis=0), faces.ravel(), len(positions)))
        if t == 0 and smooth.any():
            mean = _unit(_sums(normals, clip.weld, points))
            far = np.einsum("ij,ij->i", normals, mean[clip.weld]) < CREASE_COSINE
            smooth[clip.weld[far]] = False
        if smooth.any():
            shared = _unit(_sums(np.repeat(weighted, 3, axis=0), clip.weld[faces].ravel(), points))
            normals = np.where(smooth[clip.weld][:, None], shared[clip.weld], normals)
        result[t] = normals
    return result


def _sums(vectors: NDArray[np.float64], rows: NDArray[np.int32], count: int) -> NDArray[np.float64]:
    """[count, 3]: the vectors [n, 3] added up by their row [n]."""
    return np.stack([np.bincount(rows, vectors[:, axis], count) for axis in range(3)], -1)


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """[n, 3] of length 1; +Y where there is no direction."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    none = lengths <= np.finfo(np.float64).tiny
    return np.where(none, (0.0, 1.0, 0.0), vectors / np.where(none, 1.0, lengths))


def _split_but_not_for_an_edge(clip: ExportClip) -> NDArray[np.bool_]:
    """For each surface point: it has several vertices, and no two of them in one part with one UV."""
    copies = np.bincount(clip.weld)
    smooth = copies > 1
    rows = np.flatnonzero(smooth[clip.weld])
    if clip.uv is None or not len(rows):
        return smooth
    part_of = np.zeros(len(clip.weld))
    for number, part in enumerate(clip.parts):
        part_of[part.faces] = number
    keys = np.column_stack([clip.weld[rows], part_of[rows], clip.uv[rows]])
    keys = keys[np.lexsort(keys.T)]
    same = (keys[1:] == keys[:-1]).all(1)
    smooth[keys[1:][same][:, 0].astype(np.int64)] = False
    return smooth
