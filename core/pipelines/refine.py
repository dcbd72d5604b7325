"""Fit a sampled motion to the observed points: a few gradient steps on the motion latents."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.models.motion_autoencoder import MotionAutoencoder
from core.shapes import Float

STEPS = 40
RATE = 0.004
STAY = 0.05  # weight of staying near the sample
SMOOTH = 0.2  # weight of the corrections' second difference in time
POINTS = 300  # observed points per frame that are fitted
SURFACE = 1500  # surface points that untracked observations are compared with
FARTHEST = 0.08  # untracked points farther from the surface than this say nothing about it


@torch.inference_mode(False)
def refine_motion(
    autoencoder: MotionAutoencoder,
    anchors: Float[Tensor, "1 M 3"],
    latents: Float[Tensor, "1 T M C"],
    surface: Float[Tensor, "1 N 3"],
    observed: Sequence[NDArray[np.float32]],
    tracked: bool,
    pulse: Callable[[], None] = lambda: None,
) -> Float[Tensor, "1 T M C"]:
    """Latents whose decoded motion passes closer to the points observed [N_t, 3] in each frame, frame 0 first.

    Tracked points are taken from where they are in frame 0 to where they are seen; others pull the surface point
    nearest to them. `surface` are points of frame 0's surface. Corrections stay small and smooth in time.
    """
    device = latents.device
    anchors, surface, start = anchors.clone(), surface[:, :SURFACE].clone(), latents.clone()
    rng = np.random.default_rng(0)
    if tracked:
        rows = rng.permutation(len(observed[0]))[:POINTS]
        source = torch.from_numpy(observed[0][rows]).to(device)[None]
        target = torch.from_numpy(np.stack([frame[rows] for frame in observed[1:]])).to(device)
    else:
        source, target = surface, torch.zeros(0, device=device)
        seen = [frame[rng.permutation(len(frame))[:POINTS]] for frame in observed[1:]]
        clouds = [torch.from_numpy(frame).to(device) for frame in seen]
    correction = torch.zeros_like(start, requires_grad=True)
    optimizer = torch.optim.Adam([correction], lr=RATE)
    for _ in range(STEPS):
        pulse()
        with torch.enable_grad():
            context = autoencoder.context(start + correction, anchors)
            moved = autoencoder.query(context, source)[0]  # [T, N, 3]
            if tracked:
                error = (moved - target).square().sum(dim=-1).mean()
            else:
                error = torch.stack(
                    [_one_sided(cloud, frame) for cloud, frame in zip(clouds, moved, strict=True)]
                ).mean()
            bend = correction[:, 2:] - 2 * correction[:, 1:-1] + correction[:, :-2]
            jerk = bend.square().sum(dim=-1).mean() if correction.shape[1] > 2 else correction.new_zeros(())
            loss = error + STAY * correction.square().sum(dim=-1).mean() + SMOOTH * jerk
            (gradient,) = torch.autograd.grad(loss, correction)
        correction.grad = gradient
        optimizer.step()
    return (start + correction).detach()


def _one_sided(cloud: Tensor, surface: Tensor) -> Tensor:
    """Mean squared distance of observed points [L, 3] to their nearest surface point [N, 3], far ones left out."""
    if not len(cloud):
        return surface.sum() * 0.0
    nearest = torch.cdist(cloud, surface).argmin(dim=1)
    squared = (cloud - surface[nearest]).square().sum(dim=-1)
    return squared.clamp_max(FARTHEST**2).mean()
