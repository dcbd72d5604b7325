"""From shape latents to a clean mesh: iso-surface, no floating parts, and as many faces as were asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import igl
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree
from torch import Tensor

from core.errors import MeshError
from core.geometry.isosurface import extract_isosurface
from core.models.shape_autoencoder import ShapeAutoencoder
from core.pipelines.body_fit import FittedBody
from core.pipelines.free_space import FreeSpace
from core.pipelines.tracked_surface import tracked_surface

SMALLEST_PART = 0.15  # of the largest part's faces; less is noise of the occupancy, unless the scan shows it
SMALLEST_SEEN = 0.02  # the same of parts that the scan shows: shreds say less than they disturb
SUPPORT, REACH = 3, 0.02  # so many observed points this near a small part keep it


def latents_to_mesh(
    autoencoder: ShapeAutoencoder,
    latents: Tensor,
    resolution: int,
    faces: int | None = None,
    observed: NDArray[np.float32] | None = None,
    free: FreeSpace | None = None,
    check_cancelled: Callable[[], None] = lambda: None,
    tracks: NDArray[np.float32] | None = None,
    body: FittedBody | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Vertices [V, 3] in normalised space and faces [F, 3] of latents [1, M, Cs]; closed.

    Without small parts that float, except where points `observed` [N, 3] lie on them: a leg may be cut off by a gap.
    Nothing is inside `free` space. Away from what was seen a `body` also says what is inside. `tracks` [T, N, 3] of
    points all over the shape say most of it themselves.

    `check_cancelled` is called between parts of the work. Raises MeshError where nothing is inside.
    """
    asked = model_occupancy(autoencoder, latents)

    def occupancy(points: NDArray[np.float64]) -> NDArray[Any]:
        check_cancelled()
        logits = asked(points)
        if body is not None:
            logits = body.blended(logits, points)
        return logits if free is None else free.carved(logits, points)

    try:
        if tracks is not None:
            vertices, triangles = tracked_surface(tracks, occupancy, resolution, check_cancelled)
        else:
            vertices, triangles = extract_isosurface(occupancy, resolution, level=0.0, chunk=16_384)
            vertices, triangles = largest_parts(vertices, triangles, observed)
    except MeshError as error:
        raise MeshError(
            "The model found no closed surface in the first frame; check the scans' centre, size and up axis."
        ) from error
    if faces is not None and len(triangles) > faces:
        vertices, triangles = decimated(vertices, triangles, faces)
    return vertices, triangles


def model_occupancy(autoencoder: ShapeAutoencoder, latents: Tensor) -> Callable[[NDArray[np.float64]], NDArray[Any]]:
    """Occupancy logits [Q] of latents [1, M, Cs] as a function of places [Q, 3] in normalised space."""
    context = autoencoder.context(latents)

    def occupancy(points: NDArray[np.float64]) -> NDArray[Any]:
        queries = torch.from_numpy(points.astype(np.float32)).to(latents.device)[None]
        return np.asarray(autoencoder.query(context, queries)[0].cpu().numpy())

    return occupancy


def largest_parts(
    vertices: NDArray[np.float32], faces: NDArray[np.int32], observed: NDArray[np.float32] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Without connected parts that are much smaller than the largest and that no observed points [N, 3] lie on."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]]])
    links = coo_matrix((np.ones(len(edges), dtype=bool), tuple(edges.T)), shape=(len(vertices), len(vertices)))
    part = connected_components(links, directed=False)[1][faces[:, 0]]
    sizes = np.bincount(part)
    wanted = sizes >= SMALLEST_PART * sizes.max()
    if observed is not None and len(observed) and not wanted.all():
        distance, vertex = KDTree(vertices).query(observed)
        part_of_vertex = np.zeros(len(vertices), dtype=np.int64)
        part_of_vertex[faces.ravel()] = np.repeat(part, 3)
        shown = np.bincount(part_of_vertex[np.asarray(vertex)[np.asarray(distance) < REACH]], minlength=len(sizes))
        wanted |= (shown >= SUPPORT) & (sizes >= SMALLEST_SEEN * sizes.max())
    kept = faces[wanted[part]]
    used, renumbered = np.unique(kept, return_inverse=True)
    return vertices[used], renumbered.reshape(kept.shape).astype(np.int32)


def decimated(
    vertices: NDArray[np.float32], faces: NDArray[np.int32], budget: int
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """About `budget` faces by quadric edge collapses."""
    moved, left, *_ = igl.qslim(np.asfortranarray(vertices, np.float64), np.asfortranarray(faces, np.int32), budget)
    return moved.astype(np.float32), left.astype(np.int32)
