"""How thick a closed surface is at each of its faces."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from core.geometry.sampling import face_normals, orientation

BEHIND = 0.7  # cosine to the inward normal within which another face is behind this one
OPPOSITE = 0.3  # minus the cosine between normals, at least, of faces on opposite sides
OPPOSED = 2  # faces behind, whose mean distance is the thickness
NEIGHBOURS = 12  # faces whose median it is
UNKNOWN = 9.0  # where no face is behind


def face_thickness(vertices: NDArray[np.floating], faces: NDArray[np.integer]) -> NDArray[np.float64]:
    """About the distance [F] to the opposite side of a closed, coarse surface (vertices [V, 3], faces [F, 3]).

    In its units, and to the nearest face behind, so that it is rather less than a tube's diameter. Open parts, which
    have no opposite side, get UNKNOWN.
    """
    middle = vertices[faces].mean(axis=1)
    normal = orientation(vertices, faces) * face_normals(vertices, faces)
    apart = middle[None] - middle[:, None]
    distance = np.linalg.norm(apart, axis=-1) + 1e-9
    behind = -np.einsum("fgi,fi->fg", apart, normal) > BEHIND * distance
    away = np.where(behind & (normal @ normal.T < -OPPOSITE), distance, UNKNOWN)
    opposite = np.partition(away, OPPOSED, axis=1)[:, :OPPOSED]
    own = np.where((opposite < UNKNOWN).all(axis=1), opposite.mean(axis=1), UNKNOWN)
    near = np.asarray(KDTree(middle).query(middle, k=np.arange(1, min(NEIGHBOURS, len(faces)) + 1))[1])
    result: NDArray[np.float64] = np.median(own[near], axis=1)
    return result
