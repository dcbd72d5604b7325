"""Which tracked points belong together: a graph of points that stay near each other in every frame.

Legs that touch in one frame but part in another are not linked; a thin leg of a dozen points still holds together.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import minimum_spanning_tree

COMPARED_FRAMES = 9  # spread over the clip
APART = 5.0  # median edge lengths: longer edges join what was seen to be apart


class PointGraph(NamedTuple):
    """Minimum spanning tree of tracked points, by each pair's largest distance over the frames."""

    edges: NDArray[np.int64]  # [E, 2]
    lengths: NDArray[np.float64]  # [E]
    spacing: NDArray[np.float64]  # [N] mean distance of each point to its three nearest ones

    @classmethod
    def of(cls, tracks: NDArray[np.floating]) -> PointGraph:
        """Of points [T, N, 3], N of 4 or more, the same ones in every frame."""
        chosen = np.linspace(0, len(tracks) - 1, min(COMPARED_FRAMES, len(tracks))).round().astype(np.int64)
        largest = np.zeros((tracks.shape[1],) * 2)
        for points in np.asarray(tracks, dtype=np.float64)[np.unique(chosen)]:
            squared = np.square(points).sum(axis=1)
            distance = squared[:, None] + squared[None] - 2 * points @ points.T
            np.maximum(largest, distance, out=largest)
        largest = np.sqrt(largest.clip(1e-16))
        np.fill_diagonal(largest, 0.0)
        tree = minimum_spanning_tree(largest).tocoo()
        nearest = np.partition(largest, 3, axis=1)[:, 1:4] if len(largest) > 3 else largest
        return cls(np.stack([tree.row, tree.col], axis=1).astype(np.int64), tree.data, nearest.mean(axis=1))

    @property
    def joined(self) -> NDArray[np.bool_]:
        """[E] false for edges too long to be real connections."""
        return self.lengths < APART * np.median(self.lengths)
