"""Computes vertex normals for export: smooth, with creases where the file splits vertices."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from core.io.export_clip import ExportClip

# Split vertices are shaded smoothly if their normals are within this angle of their mean.
CREASE_COSINE = float(np.cos(np.radians(40.0)))


def clip_normals(clip: ExportClip) -> Iterator[NDArray[np.float32]]:
    """Area-weighted unit normals [W, 3] of one frame after the other.

    Files split vertices at seams of textures and materials, where shading is smooth, and at hard edges. Copies in one
    part with the same UV are a hard edge; elsewhere the angle in frame 0 decides, so that shading does not change
    during the motion.
    """
    from scipy.sparse import csr_matrix

    faces = clip.faces
    corners = faces.ravel()
    shape = (len(clip.weld), len(faces))
    around = csr_matrix((np.ones(len(corners)), (corners, np.arange(len(corners)) // 3)), shape)
    smooth = _split_but_not_for_an_edge(clip)
    for t, positions in enumerate(clip.frames):
        a, b, c = (positions[faces[:, corner]].astype(np.float64) for corner in range(3))
        sums = around @ np.cross(b - a, c - a)
        normals = _unit(sums)
        if t == 0 and smooth.any():
            mean = _unit(_sums(normals, clip.weld, len(smooth)))
            far = np.einsum("ij,ij->i", normals, mean[clip.weld]) < CREASE_COSINE
            smooth[clip.weld[far]] = False
        if smooth.any():
            shared = _unit(_sums(sums, clip.weld, len(smooth)))
            normals = np.where(smooth[clip.weld][:, None], shared[clip.weld], normals)
        yield normals.astype(np.float32)


def _sums(vectors: NDArray[np.float64], rows: NDArray[np.int32], count: int) -> NDArray[np.float64]:
    """[count, 3] sums of the vectors [n, 3] by their row [n]."""
    return np.stack([np.bincount(rows, vectors[:, axis], count) for axis in range(3)], -1)


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """[n, 3] of length 1; +Y where there is no direction."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    none = lengths <= np.finfo(np.float64).tiny
    return np.where(none, (0.0, 1.0, 0.0), vectors / np.where(none, 1.0, lengths))


def _split_but_not_for_an_edge(clip: ExportClip) -> NDArray[np.bool_]:
    """For each surface point, whether it has several vertices, no two of them in the same part with the same UV."""
    copies = np.bincount(clip.weld)
    smooth = copies > 1
    rows = np.flatnonzero(smooth[clip.weld])
    if not len(rows):
        return smooth
    part_of = np.zeros(len(clip.weld))
    for number, part in enumerate(clip.parts):
        part_of[part.faces] = number
    keys = np.column_stack([clip.weld[rows], part_of[rows], *([] if clip.uv is None else [clip.uv[rows]])])
    keys = keys[np.lexsort(keys.T)]
    same = (keys[1:] == keys[:-1]).all(1)
    smooth[keys[1:][same][:, 0].astype(np.int64)] = False
    return smooth
