"""A closed surface with few vertices around any mesh.

It encloses whatever the winding number calls inside, and open sheets, which get a thickness.
"""

from __future__ import annotations

import igl
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import KDTree

from core.errors import MeshError
from core.geometry.binding import mesh_components
from core.geometry.isosurface import extract_isosurface
from core.geometry.occupancy import winding_number
from core.geometry.sampling import orientation, sample_surface
from core.geometry.soft_arap import compacted

CELLS, COARSE = 192, 48  # per side of the final and of the first grid
SHEET = 0.004  # of the size: half the thickness that open sheets get
NEAR = 0.02  # of a sheet: farther places are not tested against it
SMALLEST = 0.01  # of the largest part's volume; smaller parts are dropped


def closed_surface(vertices: ArrayLike, faces: ArrayLike, count: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """About `count` vertices [V, 3] and outward faces [F, 3] around a mesh in normalised space.

    Overlapping parts become one, holes are closed, open sheets get a thickness. Raises MeshError where nothing is
    inside.
    """
    points = np.ascontiguousarray(vertices, np.float64)
    corners = np.ascontiguousarray(faces, np.int64)
    sign = orientation(points, corners)
    component = mesh_components(corners, len(points))[corners[:, 0]]
    open_parts = np.unique(component[_borders(corners)])
    sheets = np.ascontiguousarray(corners[np.isin(component, open_parts)])

    if len(sheets):
        nearby = KDTree(sample_surface(points, sheets, 20_000, np.random.default_rng(0)).at(points))

    def inside(places: NDArray[np.float64]) -> NDArray[np.float64]:
        field = sign * winding_number(points, corners, places) - 0.5
        if len(sheets):
            near = np.flatnonzero(np.isfinite(nearby.query(places, distance_upper_bound=NEAR)[0]) & (field < 0))
            if len(near):
                apart = np.sqrt(igl.point_mesh_squared_distance(np.ascontiguousarray(places[near]), points, sheets)[0])
                field[near] = np.maximum(field[near], ((SHEET - apart) / SHEET).clip(-1.0, 0.5))
        return field

    thin = sample_surface(points, corners, 20_000, np.random.default_rng(0)).at(points)
    surface, triangles = large_parts(*extract_isosurface(inside, CELLS, level=0.0, coarse_resolution=COARSE, thin=thin))
    fewer, left, *_ = igl.qslim(
        np.asfortranarray(surface, np.float64), np.asfortranarray(triangles, np.int32), 2 * count
    )
    if not len(left) or not np.isfinite(fewer).all():
        raise MeshError("The mesh has no surface that can be closed and simplified.")
    fewer, left = compacted(fewer, left.astype(np.int64))
    return fewer.astype(np.float32), left.astype(np.int32)


def _borders(faces: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers of the faces with an edge that no other face has."""
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    _, inverse, counts = np.unique(edges, axis=0, return_inverse=True, return_counts=True)
    return np.unique(np.flatnonzero(counts[inverse.reshape(-1)] == 1) % len(faces))


def large_parts(
    vertices: NDArray[np.float32], faces: NDArray[np.int32]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Drop bubbles and parts of negligible volume."""
    component = mesh_components(faces, len(vertices))
    volume = component_volumes(vertices, faces, component)
    kept = (volume > SMALLEST * volume.max())[component[faces[:, 0]]]
    return compacted(vertices.astype(np.float64), faces[kept].astype(np.int64))


def component_volumes(
    vertices: NDArray[np.floating], faces: NDArray[np.integer], component: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Six times the signed volume of each connected part; bubbles, whose faces are turned inwards, have negative ones.

    `component` [V] is the part that each vertex belongs to.
    """
    a, b, c = np.moveaxis(vertices[faces].astype(np.float64), 1, 0)
    volume = np.einsum("fi,fi->f", a, np.cross(b, c))
    return np.bincount(component[faces[:, 0]], volume, component.max() + 1).astype(np.float64)
