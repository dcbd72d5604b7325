"""Nearest points on a surface that also face the same way: what a camera measured tells which side of a limb it shows.

By place alone, points match whatever surface is nearest, and a surface that follows them slides along itself or takes
one leg for the other. Normals tell a front from a flank.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import KDTree

from core.geometry.sampling import vertex_normals

Floats = NDArray[np.float64]
NEIGHBOURS = 12  # measured points that a plane is fitted to
# Places of a face that points are matched with, as barycentric weights: its middle and those of its sides.
PLACES = np.array([[1 / 3, 1 / 3, 1 / 3], [0.5, 0.5, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5]])


def measured_normals(cloud: Floats, points: Floats, viewpoint: Floats) -> Floats:
    """Unit normals [N, 3] at points [N, 3] of a `cloud` [M, 3], M > 0, towards the camera at `viewpoint` [3].

    They are those of planes through the nearest points of the cloud.
    """
    near = cloud[KDTree(cloud).query(points, k=min(NEIGHBOURS, len(cloud)))[1].reshape(len(points), -1)]
    away = near - near.mean(axis=1, keepdims=True)
    normals = np.linalg.eigh(away.swapaxes(1, 2) @ away)[1][..., 0]
    towards = np.einsum("ni,ni->n", normals, viewpoint - points)
    result: Floats = np.where(towards < 0, -1.0, 1.0)[:, None] * normals
    return result


def closest_alike(
    vertices: Floats, faces: NDArray[np.int64], some: NDArray[np.int64], points: Floats, normals: Floats, length: float
) -> tuple[sparse.csr_matrix, Floats]:
    """Attachments [N, V] of points [N, 3] to the faces `some` [f, 3] of an outward surface, and distances [N].

    The squared difference of normals, times that of `length`, is added to each squared distance. Surface points are the
    middles of faces and of their sides.
    """
    smooth = vertex_normals(vertices, faces)
    places, facing = (np.einsum("pc,fci->fpi", PLACES, of[some]).reshape(-1, 3) for of in (vertices, smooth))
    facing /= np.linalg.norm(facing, axis=1, keepdims=True).clip(1e-12)
    nearest = np.asarray(KDTree(np.c_[places, length * facing]).query(np.c_[points, length * normals])[1])
    face, place = np.divmod(nearest, len(PLACES))
    rows = np.repeat(np.arange(len(points)), 3)
    shape = len(points), len(vertices)
    attachment = sparse.csr_matrix((PLACES[place].ravel(), (rows, some[face].ravel())), shape)
    return attachment, np.linalg.norm(points - places[nearest], axis=1)
