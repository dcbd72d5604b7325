"""Counts intersecting faces, to check that results do not self-intersect more than the rest pose does."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.evaluation.meshlab import import_pymeshlab


def crossing_faces(vertices: NDArray, faces: NDArray) -> int:
    """How many faces [F, 3] of a mesh with vertices [V, 3] intersect another face that is no neighbour.

    Raises DataError where pymeshlab is missing.
    """
    pymeshlab = import_pymeshlab("Counting self-intersections")
    meshes = pymeshlab.MeshSet()
    meshes.add_mesh(pymeshlab.Mesh(np.asarray(vertices, np.float64), np.asarray(faces, np.int32)))
    meshes.compute_selection_by_self_intersections_per_face()
    return int(meshes.current_mesh().selected_face_number())
