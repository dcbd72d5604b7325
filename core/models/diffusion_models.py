"""What a diffusion stage trains and a pipeline loads: denoiser, conditioner and latent statistics in one module."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from core.config import Config
from core.errors import ConfigError
from core.models.conditioners import ConditionTokens, HandleConditioner, PointConditioner
from core.models.denoisers import MotionDenoiser, Prepared, ShapeDenoiser
from core.models.motion_autoencoder import MotionAutoencoder
from core.models.shape_autoencoder import ShapeAutoencoder
from core.models.warm_start import HandleCondition, WarmStart, fill_tracks, smooth_noise, temporal_root, warm_start
from core.shapes import Float

NOTHING_AFFINITY = 0.3
FARTHEST = 10.0  # scales; a guess further from the mean than this is cut short


class ShapeDiffusion(nn.Module):
    """Shape denoiser with its point conditioner; latents are whitened per channel."""

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.conditioner = PointConditioner(config.shape_denoiser.width, config.shape_denoiser.expansion)
        self.denoiser = ShapeDenoiser(config.shape_denoiser, config.shape.channels)
        self.register_buffer("latent_mean", torch.zeros(config.shape.channels))
        self.register_buffer("latent_std", torch.ones(config.shape.channels))

    def prepare(self, points: Float[Tensor, "B L 3"], keep: Tensor | None = None) -> Prepared:
        return self.denoiser.prepare(self.conditioner(points, keep))

    def whiten(self, latents: Tensor) -> Tensor:
        return (latents - self.latent_mean) / self.latent_std

    def unwhiten(self, whitened: Tensor) -> Tensor:
        return whitened * self.latent_std + self.latent_mean


class MotionCondition(NamedTuple):
    """A prepared condition with the frame of reference in which its latents are whitened."""

    prepared: Prepared
    warm: WarmStart | None


class MotionDiffusion(nn.Module):
    """Motion denoiser with its handle conditioner and the latents' statistics.

    With a warm start the displacement channels are whitened as (displacement - mean) / scale of what the handles alone
    say; the other channels, and all without a warm start, by constants. The constants are fitted once per training.
    """

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        denoiser, diffusion = config.motion_denoiser, config.diffusion
        if (denoiser.geometric_attention or denoiser.output_directions) and not diffusion.warm_start:
            raise ConfigError("geometric_attention and output_directions need diffusion.warm_start: true.")
        self.warm = diffusion.warm_start
        self.smooth = diffusion.noise == "smooth"
        self.latents = config.motion.latents
        self.conditioner = HandleConditioner(denoiser.width, denoiser.frames_per_token, denoiser.expansion)
        self.denoiser = MotionDenoiser(denoiser, config.motion.channels, config.shape.channels, guided=self.warm)
        self.register_buffer("latent_mean", torch.zeros(config.motion.channels))
        self.register_buffer("latent_std", torch.ones(config.motion.channels))

    def prepare(
        self,
        shape_latents: Float[Tensor, "B Ms Cs"],
        nodes: Float[Tensor, "B P 3"],
        handles: HandleCondition,
        keep: Tensor | None = None,
    ) -> MotionCondition:
        """Encode the condition once; `keep` [B] False hides the handles (guidance), though not the warm start's frame.

        `nodes` are farthest points of the surface, of which the first M are the motion's anchors.
        """
        tracks = fill_tracks(handles)
        tokens = self.conditioner(handles, tracks, keep)
        anchors = nodes[:, : self.latents]
        if not self.warm:
            return MotionCondition(self.denoiser.prepare(shape_latents, anchors, (tokens,)), None)
        warm = warm_start(nodes, self.latents, handles, tracks)
        prepared = self.denoiser.prepare(
            shape_latents, anchors, (with_affinity(tokens, warm),), self.guide(warm, keep), warm.affinity
        )
        return MotionCondition(prepared, warm)

    def guide(self, warm: WarmStart, keep: Tensor | None = None) -> Float[Tensor, "B T M G"]:
        """The warm start as the denoiser uses it; all zero where `keep` [B] is False.

        Guesses enter twice: as directions of length below 1 for the network to look at (what matters is how they
        compare with the scale), and in whitened units, for the output to be centred between them.
        """
        directions = torch.cat([warm.mean[..., None, :], warm.guesses - warm.mean[..., None, :]], dim=-2)
        length = directions.square().sum(dim=-1, keepdim=True)
        bounded = directions * (length + warm.scale[..., None].square()).rsqrt()
        whitened = directions / warm.scale[..., None]
        whitened = whitened * (FARTHEST / whitened.norm(dim=-1, keepdim=True).clamp_min(FARTHEST))
        whitened = whitened / self.latent_std[:3]
        guide = torch.cat([warm.mean * 10.0, warm.scale.log() + 3.0, bounded.flatten(-2), whitened.flatten(-2)], dim=-1)
        return guide if keep is None else guide * keep[:, None, None, None]

    def whiten(self, latents: Float[Tensor, "B T M Cd"], warm: WarmStart | None) -> Tensor:
        if warm is not None:
            latents = torch.cat([(latents[..., :3] - warm.mean) / warm.scale, latents[..., 3:]], dim=-1)
        return (latents - self.latent_mean) / self.latent_std

    def unwhiten(self, whitened: Float[Tensor, "B T M Cd"], warm: WarmStart | None) -> Tensor:
        latents = whitened * self.latent_std + self.latent_mean
        if warm is None:
            return latents
        return torch.cat([latents[..., :3] * warm.scale + warm.mean, latents[..., 3:]], dim=-1)

    def noise(self, white: Float[Tensor, "B T M Cd"], warm: WarmStart | None) -> Tensor:
        """Noise with the covariance this model was trained for, from white noise of the same shape."""
        if warm is None or not self.smooth:
            return white
        return smooth_noise(white, warm.mixing, temporal_root(white.shape[1]).to(white.device))


def with_affinity(tokens: ConditionTokens, warm: WarmStart) -> ConditionTokens:
    """Add the affinity of each anchor to each handle; the token for "nothing" is a little akin to all of them."""
    affinity = warm.handle_affinity.expand(len(tokens.tokens), -1, -1)
    nothing = torch.full_like(affinity[..., :1], NOTHING_AFFINITY)
    return tokens._replace(affinity=torch.cat([nothing, affinity], dim=-1))


def build_shape_autoencoder(config: Config) -> ShapeAutoencoder:
    return ShapeAutoencoder(config.shape)


def build_motion_autoencoder(config: Config) -> MotionAutoencoder:
    return MotionAutoencoder(config.motion)


def build_shape_diffusion(config: Config) -> ShapeDiffusion:
    return ShapeDiffusion(config)


def build_motion_diffusion(config: Config) -> MotionDiffusion:
    return MotionDiffusion(config)
