"""Converts borrowed motion into denoiser inputs: displacements of the anchors in the moving frames."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.bank.borrowing import Borrowed
from core.models.diffusion_models import MotionDiffusion
from core.models.warm_start import WarmStart
from core.pipelines.moving_body import MovingBody
from core.pipelines.prepared_mesh import SurfaceNodes
from core.shapes import Float


def proposed_motion(body: MovingBody, motions: Borrowed, surface: SurfaceNodes) -> Float[Tensor, "S T M 3"]:
    """Anchor displacements in the moving frames from motions of the body's nodes."""
    shares = torch.from_numpy((surface.mixture @ body.binding).toarray().astype(np.float32))
    places = surface.anchors[0].cpu()
    offsets = shares[..., None] * (places[:, None] - torch.from_numpy(body.nodes)[None])
    moved = torch.einsum("mp,stpa->stma", shares, motions.positions)
    moved = moved + torch.einsum("stpab,mpb->stma", motions.rotations, offsets)
    return (moved - places)[:, 1:]


def borrowed_features(
    diffusion: MotionDiffusion, warm: WarmStart, proposed: Float[Tensor, "S T M 3"], missed: NDArray[np.floating]
) -> Float[Tensor, "S F M 8"]:
    """Borrowed features for every seed over the F frames of the warm start, which may exceed the requested ones.

    `missed` [S] is the mean distance of the handles from their keys before the motion was corrected to meet them.
    """
    count, device = len(proposed), warm.mean.device
    beyond = warm.mean.shape[1] - proposed.shape[1]
    held = torch.cat([proposed, proposed[:, -1:].expand(-1, beyond, -1, -1)], dim=1).to(device)
    every = warm.expand(count)
    far = torch.from_numpy(np.asarray(missed, np.float32)).to(device)
    return diffusion.borrowed_features(every, held, far, torch.ones(count, dtype=torch.bool, device=device))
