"""Motion latents from a prepared condition: which sampler, how many steps, guidance, noise per seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.config import Config
from core.diffusion.edm import Denoiser, denoiser_of, noise_schedule
from core.diffusion.guidance import guided
from core.diffusion.samplers import StepCallback, heun, multistep, posterior_mean
from core.models.denoisers import Prepared
from core.models.diffusion_models import MotionDiffusion
from core.models.warm_start import HandleCondition, WarmStart
from core.pipelines.request import SamplingOptions
from core.pipelines.windows import Windows, prepare_windows, windowed_network
from core.shapes import Float


@dataclass(frozen=True, eq=False)
class MotionCondition:
    """All that the denoiser calls of one clip share; `hidden` is the condition without handles, for guidance."""

    windows: Windows
    warm: WarmStart | None  # batch 1
    conditional: Prepared
    hidden: Prepared | None
    guidance: float


def prepare_motion(
    diffusion: MotionDiffusion,
    config: Config,
    shape_latents: Float[Tensor, "1 Ms Cs"],
    nodes: Float[Tensor, "1 P 3"],
    handles: HandleCondition,
    guidance: float,
) -> MotionCondition:
    """Encode shape and handles once. `handles` cover the moving frames; free frames are added to fill the windows."""
    windows = Windows.cover(handles.given.shape[1], config)
    free = windows.frames - handles.given.shape[1]
    handles = handles._replace(
        displacements=torch.nn.functional.pad(handles.displacements, (0, 0, 0, 0, 0, free)),
        given=torch.nn.functional.pad(handles.given, (0, 0, 0, free)),
    )
    conditional, warm = prepare_windows(diffusion, windows, shape_latents, nodes, handles)
    hidden = None
    if guidance != 1.0:
        hidden, _ = prepare_windows(diffusion, windows, shape_latents, nodes, handles, keep=False)
    return MotionCondition(windows, warm, conditional, hidden, guidance)


def sample_motion(
    diffusion: MotionDiffusion,
    config: Config,
    condition: MotionCondition,
    seeds: Sequence[int],
    options: SamplingOptions,
    on_call: Callable[[Tensor, bool], None],
    pulse: Callable[[], None],
) -> Float[Tensor, "S T M C"]:
    """Motion latents of all seeds in one batch.

    After each denoiser call `on_call` gets the first seed's latents so far [1, T, M, C] and whether it was the last.
    """

    def denoiser(prepared: Prepared) -> Denoiser:
        network = windowed_network(diffusion.denoiser, condition.windows, prepared, pulse)
        return denoiser_of(network, config.diffusion)

    denoise = denoiser(condition.conditional)
    if condition.hidden is not None:
        denoise = guided(denoise, denoiser(condition.hidden), condition.guidance)
    white = seeded_noise(seeds, (condition.windows.frames, config.motion.latents, config.motion.channels))
    warm = condition.warm
    every = None if warm is None else WarmStart(*(part.expand(len(seeds), *part.shape[1:]) for part in warm))
    noise = diffusion.noise(white.to(condition.conditional.fixed.device), every)

    def on_step(done: int, total: int, estimate: Tensor) -> None:
        on_call(diffusion.unwhiten(estimate[:1], warm), done == total)

    return diffusion.unwhiten(run_sampler(denoise, noise, options, config, on_step), every)


def seeded_noise(seeds: Sequence[int], shape: tuple[int, ...]) -> Tensor:
    """White noise [S, *shape]: one CPU generator per seed, so that a seed's noise depends on nothing else."""
    generators = [torch.Generator().manual_seed(seed % (1 << 63)) for seed in seeds]
    return torch.stack([torch.randn(shape, generator=generator) for generator in generators])


def sampler_steps(options: SamplingOptions, config: Config) -> int:
    """How many noise levels the sampler visits."""
    if options.quality == "draft":
        return 1
    preset = config.diffusion.steps_best if options.quality == "best" else config.diffusion.steps_normal
    return preset if options.steps is None else options.steps


def denoiser_calls(options: SamplingOptions, config: Config) -> int:
    """How often the sampler calls the denoiser."""
    steps = sampler_steps(options, config)
    return 2 * steps - 1 if options.quality == "best" else steps


def run_sampler(
    denoise: Denoiser,
    noise: Tensor,
    options: SamplingOptions,
    config: Config,
    on_step: StepCallback,
) -> Tensor:
    """draft: the posterior mean; normal: second-order multistep; best: Heun."""
    if options.quality == "draft":
        return posterior_mean(denoise, noise, config.diffusion.sigma_max, on_step)
    levels = noise_schedule(sampler_steps(options, config), config.diffusion)
    sampler = heun if options.quality == "best" else multistep
    return sampler(denoise, noise, levels, on_step)
