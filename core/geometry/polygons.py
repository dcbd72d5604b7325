"""Cutting polygons into triangles."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def polygon_triangles(points: NDArray[np.float64]) -> list[tuple[int, int, int]]:
    """Triangles, as corner numbers within the polygon, for a polygon with corners `points` [n, 3].

    A fan from the first corner whose triangles all face the polygon's own way: right for every convex
    polygon and every concave quad; a more tortuous polygon gets the least bad fan.
    """
    count = len(points)
    best, best_score = 0, -np.inf
    ring = np.asarray(points, dtype=np.float64) - points[0]
    normal = np.cross(ring, np.roll(ring, -1, axis=0)).sum(axis=0)
    for apex in range(count):
        turned = np.roll(ring, -apex, axis=0) - ring[apex]
        score = float((np.cross(turned[1:-1], turned[2:]) @ normal).min())
        if score > best_score:
            best, best_score = apex, score
        if score > 0:
            break
    return [(best, (best + step) % count, (best + step + 1) % count) for step in range(1, count - 1)]
