"""EDM preconditioning and loss (Karras et al. 2022, Table 1), for white or correlated noise.

The noise may have any covariance: the denoiser is still the conditional mean of the clean sample, and the probability
flow is still dx/dsigma = (x - D(x, sigma)) / sigma, because the covariance cancels between score and drift.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from core.config import DiffusionConfig
from core.scalings import scalings

# A network F(x, noise level [B]) and a denoiser D(x, sigma [B]); both keep the shape of x [B, ...].
Network = Callable[[Tensor, Tensor], Tensor]
Denoiser = Callable[[Tensor, Tensor], Tensor]


def noise_schedule(steps: int, config: DiffusionConfig) -> Tensor:
    """Noise levels [steps + 1] from sigma_max to sigma_min by rho, then 0 (Eq. 5)."""
    if steps == 1:
        return torch.tensor([config.sigma_max, 0.0])
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    low, high = config.sigma_min ** (1 / config.rho), config.sigma_max ** (1 / config.rho)
    return torch.cat([(high + ramp * (low - high)) ** config.rho, torch.zeros(1, dtype=torch.float64)]).float()


def precondition(network: Network, config: DiffusionConfig) -> Denoiser:
    """D(x, sigma) = c_skip x + c_out F(c_in x, c_noise)."""

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        c_skip, c_out, c_in, c_noise = scalings(sigma, config.sigma_data)
        shape = (-1,) + (1,) * (x.dim() - 1)
        return c_skip.view(shape) * x + c_out.view(shape) * network(c_in.view(shape) * x, c_noise)

    return denoise


class EdmLoss:
    """The training loss: mean squared error of the network's target, which weights all noise levels equally.

    A fraction `posterior_mean_fraction` of the examples is trained at sigma_max on pure noise. The optimum there is the
    posterior mean, which `draft` quality shows after one call.
    """

    def __init__(self, config: DiffusionConfig) -> None:
        self.config = config

    def noise_levels(self, batch: int, device: torch.device, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Noise levels [B] and which examples see pure noise [B]."""
        config = self.config
        normal = torch.randn(batch, device=device, generator=generator)
        sigma = (config.log_sigma_mean + config.log_sigma_std * normal).exp().clamp(config.sigma_min, config.sigma_max)
        pure = torch.rand(batch, device=device, generator=generator) < config.posterior_mean_fraction
        return torch.where(pure, torch.full_like(sigma, config.sigma_max), sigma), pure

    def __call__(
        self, network: Network, clean: Tensor, noise: Tensor, sigma: Tensor, pure: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The loss per element and the denoised estimate it judges, both of the shape of `clean` [B, ...].

        In float32, whatever the network computes in.
        """
        clean, noise, sigma = clean.float(), noise.float(), sigma.float()
        shape = (-1,) + (1,) * (clean.dim() - 1)
        c_skip, c_out, c_in, c_noise = (c.view(shape) for c in scalings(sigma, self.config.sigma_data))
        noisy = torch.where(pure.view(shape), torch.zeros_like(clean), clean) + sigma.view(shape) * noise
        target = (clean - c_skip * noisy) / c_out
        answer = network(c_in * noisy, c_noise.flatten()).float()
        return (answer - target).square(), c_skip * noisy + c_out * answer
