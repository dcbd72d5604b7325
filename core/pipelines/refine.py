"""Fit a sampled motion to followed points: a few gradient steps on the motion latents."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from core.models.motion_autoencoder import MotionAutoencoder
from core.shapes import Float

STEPS = 40
RATE = 0.004
STAY = 0.05  # weight of staying near the sample
SMOOTH = 0.2  # weight of the corrections' second difference in time


@torch.inference_mode(False)
def refine_motion(
    autoencoder: MotionAutoencoder,
    anchors: Float[Tensor, "1 M 3"],
    latents: Float[Tensor, "1 T M C"],
    source: Float[Tensor, "1 N 3"],
    target: Float[Tensor, "T N 3"],
    pulse: Callable[[], None] = lambda: None,
) -> Float[Tensor, "1 T M C"]:
    """Latents whose decoded motion carries points `source` of frame 0 closer to where they are in frames 1..T.

    Corrections stay small and smooth in time.
    """
    # Copies, because what was made in inference mode cannot be differentiated through.
    anchors, start, source, target = anchors.clone(), latents.clone(), source.clone(), target.clone()
    correction = torch.zeros_like(start, requires_grad=True)
    optimizer = torch.optim.Adam([correction], lr=RATE)
    for _ in range(STEPS):
        pulse()
        with torch.enable_grad():
            context = autoencoder.context(start + correction, anchors)
            moved = autoencoder.query(context, source)[0]  # [T, N, 3]
            error = (moved - target).square().sum(dim=-1).mean()
            bend = correction[:, 2:] - 2 * correction[:, 1:-1] + correction[:, :-2]
            jerk = bend.square().sum(dim=-1).mean() if correction.shape[1] > 2 else correction.new_zeros(())
            loss = error + STAY * correction.square().sum(dim=-1).mean() + SMOOTH * jerk
            (gradient,) = torch.autograd.grad(loss, correction)
        correction.grad = gradient
        optimizer.step()
    return (start + correction).detach()
