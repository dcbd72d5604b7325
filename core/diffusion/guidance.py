"""Classifier-free guidance (Ho and Salimans 2022): one denoiser from a conditional and an unconditional one."""

from __future__ import annotations

from torch import Tensor

from core.diffusion.edm import Denoiser


def guided(conditional: Denoiser, unconditional: Denoiser, weight: float) -> Denoiser:
    """D = D_u + weight (D_c - D_u). Weight 1 needs only the conditional network, 0 only the other one."""
    if weight == 1.0:
        return conditional
    if weight == 0.0:
        return unconditional

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        free = unconditional(x, sigma)
        return free + weight * (conditional(x, sigma) - free)

    return denoise
