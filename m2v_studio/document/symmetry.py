"""Finds the symmetry plane of a creature, for mirroring and snapping."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from core.errors import HandleError
from core.sequence import SourceMesh
from m2v_studio.document.state import normalization

LIKE = 0.02  # sides are alike up to this mean distance of mirrored vertices from the surface, as a fraction of size
PROBES = 3000


@dataclass(frozen=True, eq=False)
class Mirror:
    """A mirror plane through `center` [3] with unit `normal` [3] in the mesh's units, and how much its sides differ."""

    source: SourceMesh
    center: NDArray[np.float64]
    normal: NDArray[np.float64]
    difference: float  # fraction of size

    def point(self, points: ArrayLike) -> NDArray[np.float64]:
        """The mirror image of points [..., 3]."""
        at = np.asarray(points, dtype=np.float64)
        return at - 2.0 * ((at - self.center) @ self.normal)[..., None] * self.normal

    def turn(self, turn: ArrayLike) -> NDArray[np.float64]:
        """The mirror image of a turn [3], an axis times an angle."""
        axis = np.asarray(turn, dtype=np.float64)
        return 2.0 * (axis @ self.normal) * self.normal - axis

    def onto(self, points: ArrayLike) -> NDArray[np.float64]:
        """Points [..., 3] moved into the plane, the shortest way."""
        at = np.asarray(points, dtype=np.float64)
        return at - ((at - self.center) @ self.normal)[..., None] * self.normal

    def vertex(self, vertex: int) -> int:
        """The vertex on the other side; the same one in the middle."""
        rest = self.source.vertices[vertex].astype(np.float64)
        if abs((rest - self.center) @ self.normal) < 0.005 * self.source.size:
            return vertex
        image = self.point(rest)
        return int(np.argmin(np.linalg.norm(self.source.vertices - image, axis=1)))


@lru_cache(maxsize=2)
def mirror_of(source: SourceMesh) -> Mirror:
    """The better of the two upright planes; raises HandleError when the sides are not alike in either."""
    best = min(_candidates(source), key=lambda mirror: mirror.difference)
    if best.difference > LIKE:
        raise HandleError("The left and right sides of this mesh do not match, so nothing can be mirrored.")
    return best


def _candidates(source: SourceMesh) -> list[Mirror]:
    norm = normalization(source)
    shape = source.vertices.astype(np.float64)
    tree = cKDTree(shape)
    probes = shape[:: max(len(shape) // PROBES, 1)]
    found = []
    for axis in (0, 2):  # of normalised space, where y is up
        normal = norm.rotation[axis]
        along = shape @ normal
        # The box's middle is off if a tail or an ear lies to one side; the vertices' mean, if one side is finer.
        for middle in ((along.min() + along.max()) / 2, along.mean()):
            mirror = Mirror(source, norm.center + (middle - norm.center @ normal) * normal, normal, 0.0)
            distance, _ = tree.query(mirror.point(probes))
            found.append(Mirror(source, mirror.center, normal, float(distance.mean()) / source.size))
    return found
