"""Finds what in a scan is not the shape: stray points and the floor."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

FEWEST = 24  # points; smaller scans are left alone
NEIGHBOURS = 8
REACH = 2.5  # typical distances to the third neighbour: points closer than this are linked
SMALLEST = 0.005  # of the points: smaller clusters are noise
THICKNESS = 0.01  # of the size: points this close to a plane belong to it
TRIALS = 300
LEAST_FLOOR = 0.2  # of the points
MOST_BELOW = 0.03  # of the points, as noise
LEAST_SHAPE = 0.1  # of the points above the floor
BEYOND = 0.08  # of the size: points of a floor this far from the shape on it lie beside the shape
BESIDE = 0.35  # of a floor's points that must lie beside the shape


def stray_points(points: NDArray[np.floating]) -> NDArray[np.bool_]:
    """[N] true for points in tiny clusters; all false if that were most of the points."""
    places = np.asarray(points, dtype=np.float64)
    if len(places) < FEWEST:
        return np.zeros(len(places), dtype=bool)
    distance, near = (np.asarray(found) for found in KDTree(places).query(places, NEIGHBOURS + 1))
    reach = REACH * float(np.quantile(distance[:, 3], 0.8))
    row, column = np.nonzero(distance[:, 1:] <= reach)
    links = coo_matrix((np.ones(len(row), bool), (row, near[row, column + 1])), shape=(len(places),) * 2)
    part = connected_components(links, directed=False)[1]
    sizes = np.bincount(part)
    stray: NDArray[np.bool_] = sizes[part] < max(3, SMALLEST * len(places))
    return stray if stray.mean() < 0.5 else np.zeros(len(places), dtype=bool)


def floor_plane(
    points: NDArray[np.floating], up: NDArray[np.floating], tilt: float
) -> tuple[NDArray[np.float64], float, float] | None:
    """The floor that a shape stands on: its normal [3], height along it, and thickness; None without one.

    `tilt` is the largest angle in radians between its normal and `up` [3]. A floor holds many points, has hardly any
    below it, and extends beyond the shape, unlike the sole of a foot or the bottom of a box.
    """
    places = np.asarray(points, dtype=np.float64)
    if len(places) < 4 * FEWEST:
        return None
    random = np.random.default_rng(0)
    some = places[random.permutation(len(places))[:3000]]
    size = float(np.ptp(np.quantile(some, (0.02, 0.98), axis=0), axis=0).max())
    thick = THICKNESS * size
    corners = some[random.integers(0, len(some), (TRIALS, 3))]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-12)
    normals *= np.where(normals @ up < 0, -1.0, 1.0)[:, None]
    upright = normals @ up > np.cos(tilt)
    normals, corners = normals[upright], corners[upright]
    if size <= 0 or not len(normals):
        return None
    heights = some @ normals.T - np.einsum("ti,ti->t", corners[:, 0], normals)  # [N, trials]
    on = np.abs(heights) < thick
    fits = on.mean(axis=0) * ((heights < -thick).mean(axis=0) <= MOST_BELOW)
    best = int(fits.argmax())
    if fits[best] < LEAST_FLOOR:
        return None
    flat = some[on[:, best]]
    normal = np.linalg.svd(flat - flat.mean(axis=0), full_matrices=False)[2][2]
    normal = normal * (1.0 if normal @ up > 0 else -1.0)
    level = float(np.median(flat @ normal))
    height = some @ normal - level
    shape, floor = some[height > 2 * thick], some[np.abs(height) < 2 * thick]
    if len(shape) < LEAST_SHAPE * len(some):
        return None
    along = np.linalg.svd(normal[None])[2][1:]
    apart = np.asarray(KDTree(shape @ along.T).query(floor @ along.T)[0])
    return (normal, level, 2 * thick) if (apart > BEYOND * size).mean() > BESIDE else None
