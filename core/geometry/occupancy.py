"""Inside tests by the generalised winding number, which tolerates open meshes, overlaps and several components."""

from __future__ import annotations

import igl
import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.geometry.sampling import orientation
from core.sequence import BOX_SIDE

_CHUNK = 1 << 18


def winding_number(vertices: ArrayLike, faces: ArrayLike, queries: ArrayLike) -> NDArray[np.float64]:
    """Winding number [Q] of vertices [V, 3], faces [F, 3] around queries [Q, 3]; 1 inside a closed outward surface.

    libigl's fast approximation (error of a few thousandths), in chunks so that memory stays bounded.
    """
    points = np.ascontiguousarray(vertices, dtype=np.float64)
    corners = np.ascontiguousarray(faces, dtype=np.int64)
    places = np.ascontiguousarray(queries, dtype=np.float64).reshape(-1, 3)
    # Faces without area add nothing to the number, and their undefined normal would spoil the approximation.
    a, b, c = (points[corners[:, corner]] for corner in range(3))
    corners = np.ascontiguousarray(corners[(np.cross(b - a, c - a) != 0).any(axis=1)])
    if len(corners) == 0 or len(places) == 0:
        return np.zeros(len(places))
    tree = igl.FastWindingNumberBVH()
    tree.init(points, corners)
    pieces = [tree.winding_number(places[at : at + _CHUNK]) for at in range(0, len(places), _CHUNK)]
    return np.concatenate(pieces)


def is_inside(vertices: ArrayLike, faces: ArrayLike, queries: ArrayLike) -> NDArray[np.bool_]:
    """[Q] true where the winding number of the mesh is above one half, whichever way its faces are turned.

    Inside-out meshes are recognised by the sign of the signed volume. Overlapping parts are inside too.
    """
    return orientation(vertices, faces) * winding_number(vertices, faces, queries) > 0.5


def uniform_box_points(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """[count, 3] points uniform in the origin-centred box of BOX_SIDE."""
    return (rng.random((count, 3)) - 0.5) * BOX_SIDE
