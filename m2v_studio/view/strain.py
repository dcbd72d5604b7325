"""How much a surface is stretched or compressed at each vertex in a frame, for the heat map of stretch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix

SAMPLED = 9  # frames that the top of the scale is computed from
MOST = 400_000  # vertices of all of them, as the window waits for this
SHARE = 0.99  # this share of the vertices lies below the top


class Strain:
    """Measures the strain of meshes with `faces` [F, 3] relative to `rest` [V, 3]."""

    def __init__(self, rest: NDArray, faces: NDArray[np.int32]) -> None:
        first, second = faces.ravel(), np.roll(faces, -1, axis=1).ravel()
        low, high = np.minimum(first, second), np.maximum(first, second)
        # Rows and columns of a sparse matrix name each edge once, many times faster than sorting them all.
        edges = coo_matrix((np.ones(len(low), np.float32), (low, high)), (len(rest), len(rest))).tocsr().tocoo()
        self._a, self._b = edges.row, edges.col
        self._lengths = self._measure(rest).clip(1e-12)
        self._count = len(rest)
        both = np.concatenate([self._a, self._b])
        self._edges = np.bincount(both, minlength=self._count).clip(1)

    def _measure(self, vertices: NDArray) -> NDArray[np.float64]:
        return np.linalg.norm(vertices[self._a] - vertices[self._b], axis=1).astype(np.float64)

    def at(self, vertices: NDArray) -> NDArray[np.float32]:
        """[V] mean relative change of the lengths of the edges around each vertex."""
        change = np.abs(self._measure(vertices) / self._lengths - 1.0)
        total = np.bincount(self._a, change, self._count) + np.bincount(self._b, change, self._count)
        return (total / self._edges).astype(np.float32)


def strain_top(strains: Sequence[Strain], tracks: Sequence[NDArray]) -> float:
    """The strain that nearly all vertices of the motions [T, V, 3] stay below."""
    tops = []
    for strain, track in zip(strains, tracks, strict=True):
        count = min(max(MOST // track.shape[1], 2), SAMPLED)
        frames = np.unique(np.linspace(0, len(track) - 1, count).round().astype(int))
        tops += [float(np.quantile(strain.at(track[frame]), SHARE)) for frame in frames]
    return max(tops, default=0.0)
