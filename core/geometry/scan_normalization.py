"""Guesses centre, scale and up axis of the whole shape from scans that show only part of it.

It is a starting point, to be corrected by hand. Measured on 40 rigged models at rest, in units of the longest side; in
brackets, for the box of the visible points:

- depth scans with 3,000 points, cameras 17 degrees below to 46 above the horizon, 80 scans: the centre is off by 0.014
  in the median and 0.050 at the 90th percentile (0.017, 0.058), the scale by 2% on average (2%); three random points
  several sizes away change nothing (1.1, 1.8; a factor of 4);
- half bodies, 30 to 65% of the surface cut away below, 512 points: the centre is off by 0.10 on average (0.18), the
  scale by 13% (20%). How much is missing below cannot be known from what is left;
- whole shapes, 512 points: the centre by 0.01 on average, the scale by 2%.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_closing, distance_transform_edt
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from core.errors import DataError
from core.sequence import BOX_SIDE, Normalization, ScanSequence

_ROUND = 0.4  # thickness as a part of what a round section as wide as the silhouette has; best on the rigs of 0 to 0.6
_MIRRORED = 0.85  # distance behind the silhouette's rim as a part of that in front of it; 1 is exact for a ball
_RIM_NEIGHBOURS = 8
_HIDDEN_BELOW = 0.8  # of the visible height, best on the rigs from 0 to 1.1
_SMALLEST_CLUSTER = 0.005  # of the points: what stands apart with fewer is noise
_REACH = 0.1  # of the size: points closer than this belong together


def guess_normalization(scans: ScanSequence) -> Normalization:
    """The map to normalised space for the whole shape in frame 0, seen or not; raises DataError without any points.

    Only clusters with 0.5% of the points (and three) or more count, so that outliers do not. Scans from a known
    viewpoint get the hidden side added (see `hidden_side`). Partial tracked points are taken for a half body and get
    0.8 of their height added below. Voxels take the box of their grid where the shape fills it as the method's own
    grids are filled, else that of the occupied cells. Images show no size: it is 1, at the origin.
    """
    if scans.images is not None:
        return Normalization(np.zeros(3), 1.0, scans.up_axis)
    first = next((points for points in scans.points if len(points)), None)
    if first is None:
        raise DataError(f"{scans.name} has no points in any frame, so its size is unknown; give other scans.")
    points = first.astype(np.float64)
    if scans.voxels is not None:
        return _voxel_box(scans, points)
    points = points[main_clusters(points)]
    low, high = points.min(axis=0), points.max(axis=0)
    if scans.partial and scans.viewpoint is not None:
        hidden = hidden_side(points, np.asarray(scans.viewpoint, dtype=np.float64))
        low, high = np.minimum(low, hidden.min(axis=0)), np.maximum(high, hidden.max(axis=0))
    elif scans.partial and scans.tracked:
        up = "xyz".index(scans.up_axis)
        low[up] -= _HIDDEN_BELOW * (high[up] - low[up])
    return _of_box(low, high, scans)


def main_clusters(points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """[N] true for points of clusters that hold at least 0.5% of the points, and 3; of the largest one in any case.

    Clusters are linked across 10% of the size, or three times the usual distance between neighbours where points are
    sparse; the size is that of the middle 90% along each axis, so that a few points far away do not change it.
    """
    size = float(np.ptp(np.quantile(points, (0.05, 0.95), axis=0), axis=0).max()) or float(np.ptp(points, axis=0).max())
    if len(points) < 8 or size <= 0:
        return np.ones(len(points), dtype=bool)
    sample = points[:: max(1, len(points) // 2000)]
    neighbours = np.asarray(cKDTree(sample).query(sample, k=2)[0])
    spacing = float(np.quantile(neighbours[:, 1], 0.75)) * np.sqrt(len(sample) / len(points))
    reach = max(_REACH * size, 3 * spacing)
    # By cells rather than by points, so that dense scans do not give millions of pairs; cells as integers of a size
    # that stays exact however far an outlier is.
    cells = np.floor(np.clip((points - np.median(points, axis=0)) / reach, -1e9, 1e9))
    unique, inverse = np.unique(cells, axis=0, return_inverse=True)
    pairs = cKDTree(unique).query_pairs(1.8, output_type="ndarray")  # all 26 neighbours
    graph = coo_matrix((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(len(unique),) * 2)
    cluster = connected_components(graph, directed=False)[1][inverse.reshape(-1)]
    counts = np.bincount(cluster)
    return (counts >= max(3, _SMALLEST_CLUSTER * len(points)))[cluster] | (cluster == counts.argmax())


def hidden_side(points: NDArray[np.float64], viewpoint: NDArray[np.float64]) -> NDArray[np.float64]:
    """A guess of the surface that hides behind visible points [N, 3]: [N, 3], one point behind each.

    It is as far behind as the larger of two guesses says: 0.4 times the thickness of a round limb as wide as the
    silhouette there, which finds the far half of legs and bodies, and the mirror image in the silhouette's nearest rim,
    which finds that of compact shapes.
    """
    away = points.mean(axis=0) - viewpoint
    distance = float(np.linalg.norm(away))
    if distance == 0 or len(points) < 8:
        return points
    away = away / distance
    side = np.cross([0.0, 1, 0] if abs(away[1]) < 0.9 else [1.0, 0, 0], away)
    side /= np.linalg.norm(side)
    flat = points @ np.stack([side, np.cross(away, side)]).T
    corner, extent = flat.min(axis=0), float(np.ptp(flat, axis=0).max())
    if extent == 0:
        return points
    cell = extent / np.clip(np.sqrt(len(points) / 3), 8, 48)  # some points in each cell of the silhouette
    place = np.floor((flat - corner) / cell).astype(np.int64) + 2
    silhouette = np.zeros(place.max(axis=0) + 3, dtype=bool)
    silhouette[place[:, 0], place[:, 1]] = True
    cells = distance_transform_edt(binary_closing(silhouette))[place[:, 0], place[:, 1]]
    width = 2 * cell * np.maximum(cells - 0.5, 0)
    depth = points @ away
    rim = cells <= 1.5
    nearest = np.asarray(cKDTree(flat[rim]).query(flat, k=min(_RIM_NEIGHBOURS, int(rim.sum())))[1])
    # The upper quartile, since cells at the rim still lie in front of it.
    before = np.quantile(depth[rim][nearest.reshape(len(points), -1)], 0.75, axis=1) - depth
    thickness = np.maximum(_ROUND * width, 2 * _MIRRORED * np.clip(before, 0, width / 2))
    return points + thickness[:, None] * away


def guess_up_axis(scans: ScanSequence) -> str:
    """ "z" for scans that stand on the plane z = 0, centred in y and not on y = 0, in frame 0; else "y"."""
    points = scans.points[0].astype(np.float64)
    if len(points) < 8:
        return "y"
    points = points[main_clusters(points)]
    low, high = points.min(axis=0), points.max(axis=0)
    near = 0.02 * float((high - low).max())
    stands_on_z = abs(low[2]) < near and high[2] > 10 * near
    centred_in_y = abs(low[1] + high[1]) / 2 < 0.25 * (high[1] - low[1])
    return "z" if stands_on_z and centred_in_y and abs(low[1]) > near else "y"


def _voxel_box(scans: ScanSequence, points: NDArray[np.float64]) -> Normalization:
    """The grid's own box when the shape in it has the size and place it would have there, to two cells."""
    grid = scans.voxels
    cell = scans.voxel_side / (grid.shape[1] if grid is not None else 32)
    low, high = points.min(axis=0) - cell / 2, points.max(axis=0) + cell / 2
    center, size = np.asarray(scans.voxel_center, dtype=np.float64), scans.voxel_side / BOX_SIDE
    fits = np.abs((low + high) / 2 - center).max() <= 2 * cell and abs((high - low).max() - size) <= 2 * cell
    return Normalization(center, size, scans.up_axis) if fits else _of_box(low, high, scans)


def _of_box(low: NDArray[np.float64], high: NDArray[np.float64], scans: ScanSequence) -> Normalization:
    size = float((high - low).max())
    if not (np.isfinite(size) and size > 0):
        raise DataError(f"The points of {scans.name} coincide, so the shape has no size; give other scans.")
    return Normalization((low + high) / 2, size, scans.up_axis)
