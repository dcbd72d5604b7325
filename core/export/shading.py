"""Vertex normals for files that store them: smooth, with the creases that the file's split vertices mark."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.export.clip import ExportClip

# Corners of one surface point are shaded alike below this angle and keep their crease above it.
CREASE_COSINE = float(np.cos(np.radians(40.0)))


def clip_normals(clip: ExportClip) -> NDArray[np.float32]:
    """[T, W, 3] unit normals of every frame, area weighted.

    A file splits a vertex for a texture seam, where shading goes on smoothly, or for a hard edge, where it
    does not. Corners with the same place and the same UV can only be split for a hard edge; for the others
    the angle between them in frame 0 decides, so that shading does not change during the motion.
    """
    faces = clip.faces
    result = np.empty_like(clip.frames)
    smooth = _split_for_uv_only(clip)
    for t, points in enumerate(clip.frames):
        corners = points[faces].astype(np.float64)
        weighted = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        normals = _gather(weighted, faces, len(points))
        if smooth.any():
            shared = _gather(weighted, clip.weld[faces], int(clip.weld.max()) + 1)[clip.weld]
            if t == 0:
                smooth &= np.einsum("ij,ij->i", normals, shared) > CREASE_COSINE
            normals = np.where(smooth[:, None], shared, normals)
        result[t] = normals
    return result


def _gather(weighted: NDArray[np.float64], faces: NDArray[np.int32], count: int) -> NDArray[np.float64]:
    """[count, 3] unit sums of the face normals around each vertex; +Y where there are none."""
    corners = faces.ravel()
    sums = np.stack(
        [np.bincount(corners, np.repeat(weighted[:, axis], 3), count) for axis in range(3)],
        -1,
    )
    lengths = np.linalg.norm(sums, axis=1)
    flat = lengths <= np.finfo(np.float64).tiny
    sums[flat] = (0.0, 1.0, 0.0)
    return sums / np.where(flat, 1.0, lengths)[:, None]


def _split_for_uv_only(clip: ExportClip) -> NDArray[np.bool_]:
    """[W] True for split vertices whose twins all have another UV (or where there is no UV to tell)."""
    copies = np.bincount(clip.weld)
    split = copies[clip.weld] > 1
    if clip.uv is None or not split.any():
        return split
    rows = np.flatnonzero(split)
    keys = np.column_stack([clip.weld[rows].astype(np.float64), clip.uv[rows].astype(np.float64)])
    keys = keys[np.lexsort(keys.T[::-1])]
    same = (keys[1:] == keys[:-1]).all(1)
    hard = np.zeros(len(copies), dtype=bool)
    hard[keys[1:][same][:, 0].astype(np.int64)] = True
    return split & ~hard[clip.weld]
