"""Samplers: functions (denoiser, noise, sigmas, on_step) -> sample, as short as the algorithms."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from core.diffusion.edm import Denoiser

# Called after each denoiser call with its number (from 1), how many there are, and the denoised estimate so far.
StepCallback = Callable[[int, int, Tensor], None]


def _ignore(done: int, total: int, estimate: Tensor) -> None:
    pass


def posterior_mean(denoise: Denoiser, noise: Tensor, sigma_max: float, on_step: StepCallback = _ignore) -> Tensor:
    """One call at sigma_max: the least-squares estimate, the same for all seeds."""
    estimate = denoise(noise * sigma_max, noise.new_full((len(noise),), sigma_max))
    on_step(1, 1, estimate)
    return estimate


def heun(denoise: Denoiser, noise: Tensor, sigmas: Tensor, on_step: StepCallback = _ignore) -> Tensor:
    """Second-order sampler (Karras et al. 2022, Algorithm 1 without churn): 2 * steps - 1 denoiser calls."""
    x = noise * sigmas[0]
    steps = len(sigmas) - 1
    total = 2 * steps - 1
    call = 0
    for current, following in zip(sigmas[:-1].tolist(), sigmas[1:].tolist(), strict=True):
        estimate = denoise(x, x.new_full((len(x),), current))
        call += 1
        on_step(call, total, estimate)
        slope = (x - estimate) / current
        moved = x + (following - current) * slope
        if following > 0:
            corrected = denoise(moved, x.new_full((len(x),), following))
            call += 1
            on_step(call, total, corrected)
            moved = x + (following - current) * 0.5 * (slope + (moved - corrected) / following)
        x = moved
    return x


def multistep(denoise: Denoiser, noise: Tensor, sigmas: Tensor, on_step: StepCallback = _ignore) -> Tensor:
    """Second-order multistep sampler (DPM-Solver++ 2M, Lu et al. 2022) in terms of sigma: one call per step."""
    x = noise * sigmas[0]
    steps = len(sigmas) - 1
    previous: Tensor | None = None
    previous_gap = 0.0
    for step in range(steps):
        current, following = sigmas[step].item(), sigmas[step + 1].item()
        estimate = denoise(x, x.new_full((len(x),), current))
        on_step(step + 1, steps, estimate)
        if following == 0:
            return estimate
        gap = float(torch.log(sigmas[step] / sigmas[step + 1]))
        extrapolated = estimate
        if previous is not None:
            ratio = 0.5 * gap / previous_gap
            extrapolated = (1 + ratio) * estimate - ratio * previous
        x = following / current * x + (1 - following / current) * extrapolated
        previous, previous_gap = estimate, gap
    return x
