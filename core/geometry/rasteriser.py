"""A triangle z-buffer in numpy: which face is in front at every pixel of a pinhole camera, and how far away.

Pixel centres lie at whole numbers, as in intrinsics files; cameras follow the convention of `core.data.cameras`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NEAR = 0.02  # of the size: faces with a corner nearer to the camera are left out
_CANDIDATES = 1 << 20  # pixels tested at a time, so that memory stays bounded


@dataclass(frozen=True, eq=False)
class Raster:
    """One image: `depth` [H, W] along the view axis (0: nothing there), `face` [H, W] (-1: nothing there) and the
    front point's `barycentric` weights [H, W, 3] on that face."""

    depth: NDArray[np.float64]
    face: NDArray[np.int64]
    barycentric: NDArray[np.float64]


def rasterise(seen: NDArray[np.float64], faces: NDArray, intrinsics: NDArray[np.float64], size: int) -> Raster:
    """Render vertices [V, 3] in camera axes and faces [F, 3] into a square of `size` pixels a side."""
    depth = np.full(size * size, np.inf)
    face = np.full(size * size, -1, dtype=np.int64)
    barycentric = np.zeros((size * size, 3))
    z = seen[:, 2]
    homogeneous = seen @ intrinsics.T
    pixel = homogeneous[:, :2] / np.maximum(z, NEAR)[:, None]
    usable = np.flatnonzero((z[faces] > NEAR).all(axis=1))
    for flat, which, weights in _covered(pixel, faces, usable, size):
        # Linear on the screen is 1 / z; the weights on the face itself follow from it.
        scaled = weights / z[faces[which]]
        far = 1.0 / scaled.sum(axis=1)
        # The last of several values given to one place stays there: the nearest of this run.
        order = np.argsort(-far, kind="stable")
        winner = np.full(size * size, -1, dtype=np.int64)
        winner[flat[order]] = order
        places = np.flatnonzero(winner >= 0)
        places = places[far[winner[places]] < depth[places]]
        chosen = winner[places]
        depth[places], face[places] = far[chosen], which[chosen]
        barycentric[places] = scaled[chosen] * far[chosen, None]
    depth[face < 0] = 0.0
    return Raster(depth.reshape(size, size), face.reshape(size, size), barycentric.reshape(size, size, 3))


def _covered(
    pixel: NDArray[np.float64], faces: NDArray, usable: NDArray[np.int64], size: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]]:
    """Runs of (pixel number, face number, weights [P, 3] on the screen) for all pixels that the usable faces cover."""
    corners = pixel[faces[usable]]  # [F, 3, 2]
    low = np.ceil(corners.min(axis=1)).clip(0, size).astype(np.int64)
    high = np.floor(corners.max(axis=1)).clip(-1, size - 1).astype(np.int64)
    extent = (high - low + 1).clip(0)
    counts = extent[:, 0] * extent[:, 1]
    ends = np.cumsum(counts)
    first = 0
    while first < len(usable):
        before = ends[first - 1] if first else 0
        last = max(int(np.searchsorted(ends, before + _CANDIDATES, side="right")), first + 1)
        run = np.arange(first, last)
        own = np.repeat(run, counts[run])
        within = np.arange(len(own)) - np.repeat(ends[run] - counts[run] - before, counts[run])
        column = low[own, 0] + within % extent[own, 0].clip(1)
        row = low[own, 1] + within // extent[own, 0].clip(1)
        weights, inside = _weights(corners[own], np.stack([column, row], axis=1))
        yield (row * size + column)[inside], usable[own[inside]], weights[inside]
        first = last


def _weights(corners: NDArray[np.float64], at: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Barycentric weights [P, 3] of places [P, 2] in triangles [P, 3, 2] of either winding, and which lie inside."""
    away = corners - at[:, None]
    following = np.roll(away, -1, axis=1)
    areas = away[..., 0] * following[..., 1] - away[..., 1] * following[..., 0]  # opposite the corners 2, 0, 1
    total = areas.sum(axis=1)
    safe = np.where(total == 0, 1.0, total)
    weights = np.roll(areas, -1, axis=1) / safe[:, None]
    return weights, (total != 0) & (weights >= 0).all(axis=1)
