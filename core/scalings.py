"""EDM's scalings (Karras et al. 2022, Table 1), shared by the diffusion and the denoisers."""

from __future__ import annotations

from torch import Tensor


def scalings(sigma: Tensor, sigma_data: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """c_skip, c_out, c_in and c_noise of a noise level."""
    total = sigma.square() + sigma_data**2
    return sigma_data**2 / total, sigma * sigma_data / total.sqrt(), total.rsqrt(), sigma.log() / 4


def sigma_of(c_noise: Tensor) -> Tensor:
    """The noise level of a network input `c_noise`."""
    return (4 * c_noise).exp()
