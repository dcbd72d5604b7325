"""From shape latents to a clean mesh: iso-surface, no floating parts, and as many faces as were asked for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import igl
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.errors import MeshError
from core.geometry.closed_surface import large_parts
from core.geometry.isosurface import extract_isosurface, refined_grid
from core.geometry.sampled_field import sampled_field
from core.geometry.solid_parts import one_solid
from core.models.shape_autoencoder import ShapeAutoencoder
from core.pipelines.body_fit import FittedBody
from core.pipelines.free_space import FreeSpace
from core.pipelines.tracked_surface import tracked_surface

Occupancy = Callable[[NDArray[np.float64]], NDArray[Any]]
MODEL_CELLS = 64  # along a side: the model's occupancy is smooth, and asking it is what takes time
MODEL_BESIDE, BODY_BESIDE = 0.3, 0.3  # weight of the model's and of a body's word beside that of voxels


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
    solid: Occupancy | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Vertices [V, 3] in normalised space and faces [F, 3] of latents [1, M, Cs]; closed.

    Nothing floats: small parts go, those that points `observed` [N, 3] lie on are joined to the rest, as a leg that
    a gap cuts off. Nothing is inside `free` space. Away from what was seen a `body` also says what is inside.
    `tracks` [T, N, 3] of points all over the shape say most of it themselves, as does the `solid` of voxels.

    `check_cancelled` is called between parts of the work. Raises MeshError where nothing is inside.
    """
    asked = model_occupancy(autoencoder, latents)

    def known(points: NDArray[np.float64]) -> NDArray[Any]:
        check_cancelled()
        return asked(points)

    # `tracked_surface` samples what it is told by itself.
    model = known if tracks is not None else _sampled(known, resolution)

    def occupancy(points: NDArray[np.float64]) -> NDArray[Any]:
        check_cancelled()
        logits = model(points)
        if solid is not None:
            own = 0.0 if body is None else BODY_BESIDE * _chance(body.with_company(points))
            return solid(points) + MODEL_BESIDE * _chance(logits) + own
        if body is not None and tracks is None:
            logits = body.blended(logits, points)
        return logits if free is None else free.carved(logits, points)

    try:
        if tracks is not None:
            vertices, triangles = tracked_surface(
                tracks, occupancy, resolution, check_cancelled, None if body is None else body.with_company
            )
        else:
            vertices, triangles = extract_isosurface(
                occupancy, resolution, level=0.0, chunk=16_384, mend=partial(one_solid, points=observed)
            )
            whole, corners = large_parts(vertices, triangles)
            vertices, triangles = whole.astype(np.float32), corners.astype(np.int32)
    except MeshError as error:
        raise MeshError(
            "The model found no closed surface in the first frame; check the scans' centre, size and up axis."
        ) from error
    return within_budget(vertices, triangles, faces)


def _sampled(model: Occupancy, resolution: int) -> Occupancy:
    """The model's logits, asked only at the corners of a coarser grid."""
    return sampled_field(refined_grid(model, min(MODEL_CELLS, resolution), level=0.0, chunk=16_384))


def _chance(logits: NDArray[Any]) -> NDArray[np.float64]:
    """The chance of being inside less one half."""
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -30.0, 30.0))) - 0.5)


def model_occupancy(autoencoder: ShapeAutoencoder, latents: Tensor) -> Callable[[NDArray[np.float64]], NDArray[Any]]:
    """Occupancy logits [Q] of latents [1, M, Cs] as a function of places [Q, 3] in normalised space."""
    context = autoencoder.context(latents)

    def occupancy(points: NDArray[np.float64]) -> NDArray[Any]:
        queries = torch.from_numpy(points.astype(np.float32)).to(latents.device)[None]
        return np.asarray(autoencoder.query(context, queries)[0].cpu().numpy())

    return occupancy


def within_budget(
    vertices: NDArray[np.float32], faces: NDArray[np.int32], budget: int | None
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """About `budget` faces by quadric edge collapses, where there are more."""
    if budget is None or len(faces) <= budget:
        return vertices, faces
    moved, left, *_ = igl.qslim(np.asfortranarray(vertices, np.float64), np.asfortranarray(faces, np.int32), budget)
    return moved.astype(np.float32), left.astype(np.int32)
