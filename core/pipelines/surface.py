"""Turns shape latents into a clean mesh: iso-surface, no floating parts, about the requested number of faces."""

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
from core.geometry.fairing import without_stairs
from core.geometry.isosurface import extract_isosurface, refined_grid
from core.geometry.sampled_field import sampled_field
from core.geometry.solid_parts import one_solid
from core.models.shape_autoencoder import ShapeAutoencoder
from core.pipelines.body_fit import FittedBody
from core.pipelines.body_search import ANY_BOX
from core.pipelines.frame_box import FrameBox
from core.pipelines.free_space import FreeSpace
from core.pipelines.tracked_surface import MODEL_CELLS, tracked_surface

Occupancy = Callable[[NDArray[np.float64]], NDArray[Any]]
MODEL_BESIDE = 0.05  # weight of the model's occupancy, relative to voxels; with bodies too it was no better


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
    box: FrameBox = ANY_BOX,
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """The closed surface of latents [1, M, Cs]: vertices [V, 3] in normalised space and faces [F, 3].

    Small floating parts are removed, or joined to the rest if `observed` points [N, 3] lie on them, as on a leg beyond
    a gap. `free` space, and what is outside the `box`, stays empty. In unseen places a `body` contributes to the
    occupancy. `tracks` [T, N, 3] of points all over the shape, or the `solid` of voxels, determine most of the surface.

    `check_cancelled` is called between parts of the work. Raises MeshError if the surface is empty.
    """
    asked = model_occupancy(autoencoder, latents)

    def known(points: NDArray[np.float64]) -> NDArray[Any]:
        check_cancelled()
        return asked(points)

    # `tracked_surface` samples the model itself.
    model = known if tracks is not None else _sampled(known, resolution)

    def occupancy(points: NDArray[np.float64]) -> NDArray[Any]:
        check_cancelled()
        logits = model(points)
        if solid is not None:
            return solid(points) + MODEL_BESIDE * _centred_probability(logits)
        if body is not None and tracks is None:
            logits = body.blended(logits, points)
        logits = box.carved(logits, points)
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
            if solid is not None:
                whole = without_stairs(np.asarray(whole, np.float64), np.asarray(corners, np.int64))
            vertices, triangles = whole.astype(np.float32), corners.astype(np.int32)
    except MeshError as error:
        raise MeshError(
            "The model found no closed surface in the first frame; check the scans' centre, size and up axis."
        ) from error
    return within_budget(vertices, triangles, faces)


def _sampled(model: Occupancy, resolution: int) -> Occupancy:
    """The model's logits, interpolated from the corners of a coarser grid."""
    return sampled_field(refined_grid(model, min(MODEL_CELLS, resolution), level=0.0, chunk=16_384))


def _centred_probability(logits: NDArray[Any]) -> NDArray[np.float64]:
    """The probability of being inside, minus one half."""
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -30.0, 30.0))) - 0.5)


def model_occupancy(autoencoder: ShapeAutoencoder, latents: Tensor) -> Callable[[NDArray[np.float64]], NDArray[Any]]:
    """A function from points [Q, 3] in normalised space to occupancy logits [Q] of latents [1, M, Cs]."""
    context = autoencoder.context(latents)

    def occupancy(points: NDArray[np.float64]) -> NDArray[Any]:
        queries = torch.from_numpy(points.astype(np.float32)).to(latents.device)[None]
        return np.asarray(autoencoder.query(context, queries)[0].cpu().numpy())

    return occupancy


def within_budget(
    vertices: NDArray[np.float32], faces: NDArray[np.int32], budget: int | None
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """The mesh with at most about `budget` faces, by quadric edge collapses."""
    if budget is None or len(faces) <= budget:
        return vertices, faces
    moved, left, *_ = igl.qslim(np.asfortranarray(vertices, np.float64), np.asfortranarray(faces, np.int32), budget)
    return moved.astype(np.float32), left.astype(np.int32)
