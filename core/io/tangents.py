"""Computes tangent spaces for normal maps: the image's right and up along the surface.

With stored tangents all glTF viewers shade alike; without, each computes its own.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.io.export_clip import ExportClip
from core.sequence import MeshPart


class TangentSpace:
    """Tangents of a clip whose vertices have one texture coordinate each; without a normal map they are arbitrary."""

    def __init__(self, clip: ExportClip) -> None:
        worn = [(part, uv) for part in clip.parts if (uv := _uv_of_normals(clip, part)) is not None]
        self.used = bool(worn)
        self._faces = np.concatenate([np.zeros((0, 3), np.int32), *(part.faces for part, _ in worn)])
        uv = np.concatenate([np.zeros((0, 3, 2)), *(values[part.faces] for part, values in worn)])
        first, second = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
        # Normalising drops the image's size on the surface, but not the sign: mirrored images are left-handed.
        sign = np.sign(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0])[:, None]
        self._right = sign * np.column_stack([second[:, 1], -first[:, 1]])  # shares of both edges
        self._up = sign * np.column_stack([-second[:, 0], first[:, 0]])
        self._hand: NDArray[np.float32] | None = None  # [n] 1 or -1, as in the first frame

    def at(self, positions: NDArray[np.floating], normals: NDArray[np.float32]) -> NDArray[np.float32]:
        """Unit tangents and handedness [n, 4] of vertices [n, 3] with their unit normals [n, 3]."""
        corners = positions[self._faces].astype(np.float64)
        edges = np.stack([corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]], axis=1)
        right, up = (np.einsum("fe,fek->fk", shares, edges) for shares in (self._right, self._up))
        summed = [_gathered(_unit(way), self._faces, len(positions)) for way in (right, up)]
        across = normals.astype(np.float64)
        tangent = _unit(summed[0] - np.einsum("ij,ij->i", summed[0], across)[:, None] * across)
        lost = np.linalg.norm(tangent, axis=1) < 0.5
        # Without an image, any direction along the surface is right.
        axis = np.eye(3)[np.abs(across).argmin(axis=1)]
        tangent[lost] = _unit(np.cross(across, axis))[lost]
        if self._hand is None:
            turned = np.einsum("ij,ij->i", np.cross(across, tangent), summed[1]) < 0
            self._hand = np.where(turned, -1.0, 1.0).astype(np.float32)
        return np.column_stack([tangent, self._hand]).astype(np.float32)


def _uv_of_normals(clip: ExportClip, part: MeshPart) -> NDArray[np.float32] | None:
    """Texture coordinates [n, 2] of a part's normal map; None without one."""
    texture = None if part.material is None else part.material.normal_texture
    return None if texture is None else (clip.uv, clip.uv1)[texture.uv_set]


def _gathered(ways: NDArray[np.float64], faces: NDArray[np.int32], count: int) -> NDArray[np.float64]:
    """[count, 3] each vertex's sum of its faces' vectors [F, 3]."""
    rows = faces.ravel()
    return np.stack([np.bincount(rows, np.repeat(ways[:, axis], 3), count) for axis in range(3)], axis=-1)


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """[n, 3] of length 1; 0 where there is no direction."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 1e-30)
