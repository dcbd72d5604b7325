"""How far a surface is pulled or pressed at each vertex, frame by frame, for the map of stretch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SAMPLED = 9  # frames that the top of the scale is found from
SHARE = 0.99  # of the vertices lie below it


class Strain:
    """Of one topology: `faces` [F, 3] on `rest` [V, 3]."""

    def __init__(self, rest: NDArray, faces: NDArray[np.int32]) -> None:
        sides = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).astype(np.int64)
        sides.sort(axis=1)
        keys = np.unique(sides[:, 0] * len(rest) + sides[:, 1])
        self._a, self._b = keys // len(rest), keys % len(rest)
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
    """What nearly all vertices of the motions [T, V, 3] stay below."""
    tops = []
    for strain, track in zip(strains, tracks, strict=True):
        frames = np.unique(np.linspace(0, len(track) - 1, SAMPLED).round().astype(int))
        tops += [float(np.quantile(strain.at(track[frame]), SHARE)) for frame in frames]
    return max(tops, default=0.0)
