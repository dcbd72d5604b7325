"""The modules that diffusion stages train and pipelines load: denoiser, conditioner and latent statistics."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from core.config import Config
from core.errors import ConfigError
from core.models.conditioners import ConditionTokens, HandleConditioner
from core.models.denoisers import MotionDenoiser, Prepared
from core.models.motion_autoencoder import MotionAutoencoder
from core.models.observation_conditioners import (
    ScanCondition,
    ScanFeatures,
    add_dense_conditioners,
    by_time_token,
    with_tokens,
)
from core.models.shape_autoencoder import ShapeAutoencoder
from core.models.shape_diffusion import ShapeDiffusion
from core.models.warm_start import (
    FilledTracks,
    HandleCondition,
    WarmStart,
    fill_tracks,
    smooth_noise,
    temporal_root,
    warm_start,
)
from core.shapes import Float

NOTHING_AFFINITY = 0.3  # of each anchor with tokens that are not handles
FARTHEST = 10.0  # scales from the mean; guesses farther away are clipped


class MotionCondition(NamedTuple):
    """A prepared condition, with the warm start that its latents are whitened by."""

    prepared: Prepared
    warm: WarmStart | None


class MotionDiffusion(nn.Module):
    """Motion denoiser with its handle conditioner and the latents' statistics.

    With a warm start, displacement channels are whitened by its mean and scale. Other channels, or without one all, are
    whitened by constants that are fitted once per training.
    """

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        denoiser, diffusion = config.motion_denoiser, config.diffusion
        if denoiser.borrowed and not denoiser.output_directions:
            raise ConfigError("motion_denoiser.borrowed needs motion_denoiser.output_directions: true.")
        if (denoiser.geometric_attention or denoiser.output_directions) and not diffusion.warm_start:
            raise ConfigError("geometric_attention and output_directions need diffusion.warm_start: true.")
        self.warm = diffusion.warm_start
        self.smooth = diffusion.noise == "smooth"
        self.latents = config.motion.latents
        conditions, patch = config.conditions, denoiser.frames_per_token
        estimated = conditions.scan_channels > 0
        self.conditioner = HandleConditioner(denoiser.width, patch, denoiser.expansion, estimated)
        if conditions.scan_channels and not diffusion.warm_start:
            raise ConfigError("conditions.scan_channels needs diffusion.warm_start: true.")
        self.scan_features = (
            ScanFeatures(conditions.scan_channels, conditions.scan_neighbours) if conditions.scan_channels else None
        )
        self.dense = add_dense_conditioners(self, conditions, denoiser.width, patch + 1)
        self.denoiser = MotionDenoiser(
            denoiser,
            config.motion.channels,
            config.shape.channels,
            self.warm,
            conditions.scan_channels,
            diffusion.sigma_data,
        )
        self.register_buffer("latent_mean", torch.zeros(config.motion.channels))
        self.register_buffer("latent_std", torch.ones(config.motion.channels))
        self.nodes = diffusion.warm_start_nodes

    def prepare(
        self,
        shape_latents: Float[Tensor, "B Ms Cs"],
        nodes: Float[Tensor, "B P 3"],
        handles: HandleCondition,
        scans: ScanCondition | None = None,
        distance: Tensor | None = None,
        warm: WarmStart | None = None,
        tracks: FilledTracks | None = None,
    ) -> MotionCondition:
        """Encode the condition once for all denoiser calls.

        `nodes` are farthest points of the surface; the first M are the motion's anchors. `distance` are surface
        distances between nodes and handles, see `warm_start`. `warm` (from `geometry`) and `tracks` (the filled handle
        tracks) are computed unless they are passed.
        """
        tracks = fill_tracks(handles) if tracks is None else tracks
        anchors = nodes[:, : self.latents]
        tokens = self.tokens(handles, tracks, scans)
        if not self.warm:
            return MotionCondition(self.denoiser.prepare(shape_latents, anchors, tokens), None)
        if warm is None:
            warm = self.geometry(nodes, handles, tracks, distance)
        prepared = self.denoiser.prepare(
            shape_latents,
            anchors,
            with_affinity(tokens, warm),
            self.prior_features(warm),
            warm.affinity,
            self.scan(anchors, warm, scans),
        )
        return MotionCondition(prepared, warm)

    def geometry(
        self,
        nodes: Float[Tensor, "B P 3"],
        handles: HandleCondition,
        tracks: FilledTracks | None = None,
        distance: Tensor | None = None,
    ) -> WarmStart:
        """The warm start, if the model has one. It has no gradient to this model's weights."""
        nodes = nodes[:, : max(self.nodes, self.latents)]
        return warm_start(nodes, self.latents, handles, tracks, distance)

    def tokens(
        self, handles: HandleCondition, tracks: FilledTracks, scans: ScanCondition | None = None
    ) -> ConditionTokens:
        """Tokens [B, T / frames_per_token, L, C] of the handles, then of dense observations."""
        result = self.conditioner(handles, tracks)
        for name, observed in scans.dense.items() if scans is not None else ():
            if name in self.dense:
                batch, times = result.tokens.shape[:2]
                grouped = by_time_token(observed.float(), self.conditioner.frames_per_token)
                more = self.get_submodule(name)(grouped).unflatten(0, (batch, times))
                result = with_tokens(result, more)
        return result

    def scan(
        self, anchors: Float[Tensor, "B M 3"], warm: WarmStart, scans: ScanCondition | None
    ) -> Float[Tensor, "B T M S"] | None:
        """Scan features around the anchors, at their warm-start positions in each frame."""
        if self.scan_features is None or scans is None or scans.points is None or scans.present is None:
            return None
        return self.scan_features(anchors[:, None] + warm.mean, scans.points, scans.present)

    def prior_features(self, warm: WarmStart) -> Float[Tensor, "B T M G"]:
        """The warm start as denoiser features.

        Guesses enter twice: as directions shorter than 1 (relative to the scale), and in whitened units, between which
        the output is centred.
        """
        directions = torch.cat([warm.mean[..., None, :], warm.guesses - warm.mean[..., None, :]], dim=-2)
        length = directions.square().sum(dim=-1, keepdim=True)
        bounded = directions * (length + warm.scale[..., None].square()).rsqrt()
        whitened = directions / warm.scale[..., None]
        whitened = whitened * (FARTHEST / whitened.norm(dim=-1, keepdim=True).clamp_min(FARTHEST))
        whitened = whitened / self.latent_std[:3]
        guesses = [bounded.flatten(-2), whitened.flatten(-2)]
        return torch.cat([warm.mean * 10.0, warm.scale.log() + 3.0, *guesses], dim=-1)

    def borrowed_features(
        self, warm: WarmStart, borrowed: Float[Tensor, "B T M 3"], missed: Float[Tensor, " B"], present: Tensor
    ) -> Float[Tensor, "B T M 8"]:
        """Borrowed displacements of the anchors as denoiser features; zero where `present` [B] is False.

        Displacements enter twice, as guesses do in `prior_features`. `missed` is how far the handles were from their
        tracks before the motion was corrected to meet them.
        """
        direction = borrowed - warm.mean
        bounded = direction * (direction.square().sum(dim=-1, keepdim=True) + warm.scale.square()).rsqrt()
        whitened = direction / warm.scale
        whitened = whitened * (FARTHEST / whitened.norm(dim=-1, keepdim=True).clamp_min(FARTHEST))
        whitened = whitened / self.latent_std[:3]
        miss = ((missed + 0.01).log() + 3.0)[:, None, None, None].expand(*direction.shape[:3], 1)
        features = torch.cat([bounded, whitened, miss, torch.ones_like(miss)], dim=-1)
        return features * present[:, None, None, None]

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
        """Gives white noise the covariance that this model was trained with."""
        if warm is None or not self.smooth:
            return white
        return smooth_noise(white, warm.noise_cholesky, temporal_root(white.shape[1]).to(white.device))


def with_affinity(tokens: ConditionTokens, warm: WarmStart) -> ConditionTokens:
    """Add the affinity of each anchor to each handle; other tokens get a small constant affinity."""
    affinity = warm.handle_affinity.expand(len(tokens.tokens), -1, -1)
    others = tokens.tokens.shape[2] - 1 - affinity.shape[-1]
    akin = lambda count: affinity.new_full((*affinity.shape[:2], count), NOTHING_AFFINITY)  # noqa: E731
    return tokens._replace(affinity=torch.cat([akin(1), affinity, akin(others)], dim=-1))


def build_shape_autoencoder(config: Config) -> ShapeAutoencoder:
    return ShapeAutoencoder(config.shape)


def build_motion_autoencoder(config: Config) -> MotionAutoencoder:
    return MotionAutoencoder(config.motion)


def build_shape_diffusion(config: Config) -> ShapeDiffusion:
    return ShapeDiffusion(config)


def build_motion_diffusion(config: Config) -> MotionDiffusion:
    return MotionDiffusion(config)
