"""Motion latents from a prepared condition: which sampler, how many steps, noise per seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.config import Config
from core.diffusion.edm import Denoiser, noise_schedule, precondition
from core.diffusion.samplers import StepCallback, heun, multistep, posterior_mean
from core.models.denoisers import Prepared
from core.models.diffusion_models import MotionDiffusion
from core.models.observation_conditioners import ScanCondition
from core.models.time_smoothing import binomial_smooth
from core.models.warm_start import HandleCondition, WarmStart, fill_tracks
from core.pipelines.request import SamplingOptions
from core.pipelines.temporal import time_between_keys, whittaker_smooth
from core.pipelines.windows import Windows, prepare_windows, windowed_network
from core.shapes import Float

# Samples that follow scans keep this fraction of their distance from the posterior mean. At 1 the IoU of depth scans
# falls and jitter grows by a third to a half (two clips); at 0 all seeds of tracked points are alike.
SCAN_SPREAD = 0.35


@dataclass(frozen=True, eq=False)
class ClipCondition:
    """All that the denoiser calls of one clip share."""

    windows: Windows
    warm: WarmStart | None  # batch 1
    prepared: Prepared
    between: Tensor | None = None  # [T, M] uncertainty between keys, see `core.pipelines.temporal`
    borrowed: Tensor | None = None  # [S, T, M, 8] a proposal of the bank for every seed, see `borrowed_features`


def prepare_motion(
    diffusion: MotionDiffusion,
    config: Config,
    shape_latents: Float[Tensor, "1 Ms Cs"],
    nodes: Float[Tensor, "1 P 3"],
    handles: HandleCondition,
    scans: ScanCondition | None = None,
    distance: Tensor | None = None,
) -> ClipCondition:
    """Encode shape, handles and scans once. They cover the moving frames; free frames are added to fill the windows.

    `distance` [1, P + K, P + K] is measured along the surface, between nodes and handles, if known.
    """
    windows = Windows.cover(handles.keyframe_mask.shape[1], config)
    free = windows.frames - handles.keyframe_mask.shape[1]
    handles = handles._replace(
        displacements=torch.nn.functional.pad(handles.displacements, (0, 0, 0, 0, 0, free)),
        keyframe_mask=torch.nn.functional.pad(handles.keyframe_mask, (0, 0, 0, free)),
    )
    scans = None if scans is None else scans.extended(windows.frames)
    tracks = fill_tracks(handles)

    prepared, warm = prepare_windows(diffusion, windows, shape_latents, nodes, handles, scans, distance, tracks)
    between = None if warm is None else time_between_keys(handles, tracks, warm.handle_affinity)
    return ClipCondition(windows, warm, prepared, between)


def sample_motion(
    diffusion: MotionDiffusion,
    config: Config,
    condition: ClipCondition,
    frames: int,
    seeds: Sequence[int],
    options: SamplingOptions,
    on_call: Callable[[Tensor, bool], None],
    check_cancelled: Callable[[], None],
    keyed: bool = False,
) -> Float[Tensor, "S T M C"]:
    """Motion latents of all seeds in one batch, of the first `frames` moving frames.

    `keyed`: handles are met exactly afterwards, so the motion may be smoothed in time here (`core.pipelines.temporal`).

    After each denoiser call `on_call` gets the first seed's latents so far [1, T, M, C] and whether it was the last.
    """

    network = windowed_network(
        diffusion.denoiser, condition.windows, condition.prepared, check_cancelled, condition.borrowed
    )
    denoise = precondition(network, config.diffusion)
    shape = (condition.windows.frames, config.motion.latents, config.motion.channels)
    warm = condition.warm

    def noise(white: Tensor) -> Tensor:
        every = None if warm is None else warm.expand(len(white))
        return diffusion.noise(white.to(condition.prepared.fixed.device), every)

    def on_step(done: int, total: int, estimate: Tensor) -> None:
        on_call(diffusion.unwhiten(estimate[:1], warm), done == total)

    every = None if warm is None else warm.expand(len(seeds))
    sampled = options.quality != "draft" or diffusion.denoiser.config.borrowed
    sample = run_sampler(denoise, noise(seeded_noise(seeds, shape)), options, config, on_step) if sampled else None
    if keyed and warm is not None and sample is not None:
        # Nothing is drawn towards the mean: a mean of gaits is a statue.
        return whittaker_smooth(diffusion.unwhiten(sample, every)[:, :frames], condition.between)
    # One fixed noise and its negative: the mean is the same for all seeds, and most of the noise's trace cancels.
    once = noise(seeded_noise([0], shape))
    both = torch.cat([once, -once])
    shown = (lambda done, total, estimate: None) if sampled else on_step
    mean = posterior_mean(denoise, both, config.diffusion.sigma_max, shown).mean(dim=0, keepdim=True)
    if sample is None:
        latents = diffusion.unwhiten(mean, warm)[:, :frames].expand(len(seeds), -1, -1, -1)
        return whittaker_smooth(binomial_smooth(latents), condition.between) if keyed and warm is not None else latents
    still = binomial_smooth(binomial_smooth(sample - mean, resting=False), resting=False)
    return diffusion.unwhiten(mean + SCAN_SPREAD * still, every)[:, :frames]


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
    denoise: Denoiser, noise: Tensor, options: SamplingOptions, config: Config, on_step: StepCallback
) -> Tensor:
    """A sample from `noise` by the quality's sampler: second-order multistep for normal, Heun for best."""
    levels = noise_schedule(sampler_steps(options, config), config.diffusion)
    sampler = heun if options.quality == "best" else multistep
    return sampler(denoise, noise, levels, on_step)
