"""Samples the shape latents of frame 0 from what was observed, and from a body of the bank that was bent to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from core.config import Config
from core.diffusion.edm import Denoiser, precondition
from core.diffusion.samplers import posterior_mean
from core.models.shape_autoencoder import ShapeAutoencoder
from core.models.shape_diffusion import ShapeBody, ShapeDiffusion, ShapeObservation
from core.pipelines.body_fit import FittedBody
from core.pipelines.motion_sampling import SCAN_SPREAD, run_sampler, seeded_noise
from core.pipelines.request import SamplingOptions
from core.shapes import Float

BODY_POINTS = 768  # of a body's surface, that the denoiser sees


def sample_shapes(
    model: ShapeDiffusion,
    autoencoder: ShapeAutoencoder,
    config: Config,
    observed: ShapeObservation,
    seeds: Sequence[int],
    sampling: SamplingOptions,
    on_call: Callable[[], None] = lambda: None,
    body: FittedBody | None = None,
) -> Float[Tensor, "S M C"]:
    """Latents of frame 0, a row per seed, in one batch, from an observation of one clip; `on_call` after each call.

    A `body` is used only by models that were trained with bodies.
    """
    if body is not None and model.borrows:
        observed = observed.completed(shape_body(body, observed.points.device))
    if model.anchored:
        observed = observed.guessed(autoencoder)
    one = model.prepare(observed)
    shape = (config.shape.latents, config.shape.channels)

    def denoiser(count: int) -> Denoiser:
        network = one.network.repeat(count)
        return precondition(lambda x, level: model.denoiser(x, level, network), config.diffusion)

    def step(done: int, total: int, estimate: Tensor) -> None:
        on_call()

    # One fixed noise and its negative, as for motions.
    once = seeded_noise([0], shape).to(observed.points.device)
    mean = posterior_mean(denoiser(2), torch.cat([once, -once]), config.diffusion.sigma_max).mean(0, keepdim=True)
    several = one.repeat(len(seeds))
    if sampling.quality == "draft":
        whitened = mean
        on_call()
    else:
        noise = seeded_noise(list(seeds), shape).to(observed.points.device)
        whitened = run_sampler(denoiser(len(seeds)), noise, sampling, config, step)
        whitened = mean + SCAN_SPREAD * (whitened - mean)
    return autoencoder.proper(several.unwhiten(whitened))


def shape_body(body: FittedBody, device: torch.device) -> ShapeBody:
    """A fitted body as the shape model sees it."""
    points, normals = (torch.from_numpy(part).float().to(device)[None] for part in body.sampled(BODY_POINTS))
    misfit = torch.tensor([body.misfit], dtype=torch.float32, device=device)
    return ShapeBody(points, normals, misfit, torch.ones_like(misfit, dtype=torch.bool))
