"""Decodes motion latents to moving vertices, in limited memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from core.models.motion_autoencoder import MotionAutoencoder
from core.pipelines.prepared_mesh import PreparedMesh, SurfaceNodes
from core.shapes import Float

DECODER_NUMBERS = 8_000_000  # floats that the decoder holds for one chunk of query points, in a few copies
PER_POINT = 256  # floats for each anchor that a point is blended from (flow_head: affine)


def decode_vertices(
    autoencoder: MotionAutoencoder, mesh: PreparedMesh, surface: SurfaceNodes, latents: Float[Tensor, "1 T M C"]
) -> NDArray[np.float32]:
    """The mesh's vertices [1 + T, V, 3] in source units, the rest pose first."""
    config = autoencoder.config
    frames, count = latents.shape[1] + 1, mesh.rest.shape[1]
    vertices = np.empty((frames, count, 3), dtype=np.float32)
    vertices[0] = mesh.source.vertices
    context = autoencoder.context(latents, surface.anchors)
    affine = config.flow_head == "affine"
    per_point = 12 * frames + PER_POINT * config.neighbours if affine else (config.width * 4 + config.latents) * frames
    step = max(1, DECODER_NUMBERS // per_point)
    from_anchors = mesh.from_anchors(surface)
    for start in range(0, count, step):
        apart = None if from_anchors is None else from_anchors[:, start : start + step]
        moved = autoencoder.query(context, mesh.rest[:, start : start + step], apart)[0]
        vertices[1:, start : start + step] = mesh.normalization.invert(moved.cpu().numpy())
    return vertices
