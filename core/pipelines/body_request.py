"""A request to the pipeline: its handles are read and normalised here, once."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.bank.borrowing import Borrowed
from core.bank.search import Wish
from core.models.warm_start import HandleCondition
from core.pipelines.living_motion import handle_certainty, settle
from core.pipelines.moving_body import Describe, KeyedHandles, MovingBody, wish_for
from core.pipelines.prepared_mesh import PreparedMesh
from core.pipelines.request import SamplingOptions
from core.pipelines.turned_handles import TurnedHandles
from core.sequence import HandleTracks


class Request(NamedTuple):
    """One request on the nodes of a body, in normalised space unless noted."""

    body: MovingBody
    vertices: NDArray[np.int64]  # [K] of the mesh, that the handles hold
    handles: KeyedHandles
    wanted: NDArray[np.float64]  # [K, T, 3] the handles' targets in the mesh's own units
    wish: Wish
    certainty: NDArray[np.float32]  # [T, P] how much the handles determine
    turning: TurnedHandles

    def settled(self, motions: Borrowed, contacts: NDArray[np.bool_]) -> tuple[Borrowed, NDArray[np.float64]]:
        """Node motions that meet the request's keys, see `core.pipelines.living_motion.settle`."""
        return settle(self.body, motions, self.handles, self.wish.fps, contacts, self.turning)


def request_on(prepared: PreparedMesh, describe: Describe, tracks: HandleTracks, options: SamplingOptions) -> Request:
    """The request of `tracks`, in the mesh's own units, on its body."""
    body = prepared.moving_body(describe)
    vertices = np.array([handle.vertex for handle in tracks.handles], dtype=np.int64)
    wanted, keyframe_mask = tracks.constraints(prepared.source.vertices)
    targets = prepared.normalization.apply(wanted)
    handles = KeyedHandles(body.seats(vertices), targets, keyframe_mask, options.loop)
    return Request(
        body,
        vertices,
        handles,
        wanted,
        wish_for(handles, tracks.fps, options.behaviour, options.without),
        handle_certainty(body, handles),
        TurnedHandles.of(body, handles.seats, tracks, prepared.normalization),
    )


def handle_condition(mesh: PreparedMesh, request: Request, slots: int, device: torch.device) -> HandleCondition:
    """The request's handles as the denoiser knows them, over the moving frames 1 .. T-1.

    Padded with absent handles to at least `slots`, as the model saw them in training.
    """
    rest = mesh.normalization.apply(mesh.source.vertices[request.vertices])
    keyframe_mask = request.handles.keyframe_mask
    displacements = np.where(keyframe_mask[..., None], request.handles.targets - rest[:, None], 0.0)
    free = max(0, slots - len(rest))

    def batch(array: NDArray[Any], dtype: type, axis: int) -> Tensor:
        widths = [(0, free if side == axis else 0) for side in range(array.ndim)]
        return torch.from_numpy(np.ascontiguousarray(np.pad(array, widths), dtype=dtype)).to(device)[None]

    return HandleCondition(
        positions=batch(rest, np.float32, 0),
        displacements=batch(displacements[:, 1:].swapaxes(0, 1), np.float32, 1),
        keyframe_mask=batch(keyframe_mask[:, 1:].T, np.bool_, 1),
        present=batch(np.ones(len(rest)), np.bool_, 0),
    )
