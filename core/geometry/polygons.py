"""Cutting polygons into triangles: whole meshes at once, convex ones as fans, the others by ear clipping."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import MeshError

MAX_CORNERS = 20_000  # of one polygon
_FANS = 8  # apexes tried before ear clipping


def triangulate(points: NDArray[np.float64], corners: ArrayLike, counts: ArrayLike) -> NDArray[np.int64]:
    """Triangles [F, 3] of polygons, as places in `corners`, in the order of the polygons.

    `points` [V, 3]; `corners` [C] are the vertices of all polygons, one after another, and `counts` [P] how many each
    has. A polygon of n corners gives n - 2 triangles, none below three. Raises MeshError for
    a polygon of more than 20,000 corners.
    """
    ring, sizes = np.asarray(corners, dtype=np.int64), np.asarray(counts, dtype=np.int64)
    if sizes.size and sizes.max() > MAX_CORNERS:
        raise MeshError(
            f"The mesh has a polygon with {sizes.max():,} corners, more than the {MAX_CORNERS:,} supported; split it."
        )
    starts = np.cumsum(sizes) - sizes
    found: list[NDArray[np.int64]] = [np.zeros((0, 3), np.int64)]
    owners: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    for size in np.unique(sizes[sizes >= 3]).tolist():
        which = np.flatnonzero(sizes == size)
        places = starts[which, None] + np.arange(size)
        cut = _fans(points[ring[places]])
        found.append((starts[which, None, None] + cut).reshape(-1, 3))
        owners.append(np.repeat(which, size - 2))
    order = np.argsort(np.concatenate(owners), kind="stable")
    return np.concatenate(found)[order]


def _fans(points: NDArray[np.float64]) -> NDArray[np.int64]:
    """Corner numbers [P, n - 2, 3] for polygons [P, n, 3].

    A fan whose triangles all face the polygon's way is right for convex polygons and concave quads. Others are cut by
    ear clipping, or keep the best fan tried where that fails.
    """
    several, size = points.shape[:2]
    steps = np.arange(1, size - 1)
    fan = np.stack([np.zeros_like(steps), steps, steps + 1], axis=-1)
    if size == 3:
        return np.broadcast_to(fan, (several, 1, 3))
    with np.errstate(over="ignore", invalid="ignore"):
        rings = points - points[:, :1]
        normals = np.cross(rings, np.roll(rings, -1, axis=1)).sum(axis=1)
        best = np.zeros(several, np.int64)
        best_score = np.full(several, -np.inf)
        for apex in range(min(size, _FANS)):
            left = np.flatnonzero(best_score <= 0)
            if not len(left):
                break
            turned = np.roll(rings[left], -apex, axis=1) - rings[left, apex, None]
            score = np.einsum("pti,pi->pt", np.cross(turned[:, 1:-1], turned[:, 2:]), normals[left]).min(axis=1)
            better = score > best_score[left]
            best[left[better]], best_score[left[better]] = apex, score[better]
    result = (fan + best[:, None, None]) % size
    for row in np.flatnonzero(~(best_score > 0)).tolist() if size > 4 else ():
        ears = _ears(rings[row], normals[row])
        if ears is not None:
            result[row] = ears
    return result


def _ears(ring: NDArray[np.float64], normal: NDArray[np.float64]) -> NDArray[np.int64] | None:
    """Triangles [n - 2, 3] by ear clipping in the plane; None where the polygon crosses itself or has no area."""
    import mapbox_earcut

    if not (np.isfinite(ring).all() and np.isfinite(normal).all() and normal.any()):
        return None
    axis = int(np.abs(normal).argmax())
    first, second = ((axis + 1) % 3, (axis + 2) % 3) if normal[axis] > 0 else ((axis + 2) % 3, (axis + 1) % 3)
    flat = np.ascontiguousarray(ring[:, [first, second]])
    cut = mapbox_earcut.triangulate_float64(flat, np.array([len(ring)], np.uint32)).astype(np.int64).reshape(-1, 3)
    if len(cut) != len(ring) - 2:  # corners on a straight line are left out, which would open a crack
        return None
    a, b, c = (flat[cut[:, corner]] for corner in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    return np.where((area < 0)[:, None], cut[:, ::-1], cut)
