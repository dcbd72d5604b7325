"""Denoisers of latent sets (paper 3.2): the shape denoiser and the motion denoiser of interleaved attention blocks.

A denoiser here is only the network F of the EDM parametrisation; `diffusion.edm` wraps it. `prepare` computes what all
noise levels share (keys and values of shape latents and condition tokens, fixed features); every call takes its result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from core.config import DenoiserConfig
from core.models.conditioners import ConditionTokens
from core.models.layers import (
    AdaptiveLayerNorm,
    Attention,
    FeedForward,
    KeysValues,
    NoiseEmbedding,
    PointEmbedding,
    sinusoidal,
    zero_linear,
)
from core.scalings import scalings, sigma_of
from core.shapes import Bool, Float

GUESSES = 4  # the warm start's mean, and classical solutions as differences from it
# Network inputs per anchor and frame: the mean displacement, the logarithm of its scale, each guess as a bounded
# direction, and then the guesses in whitened units, 3 per guess.
PRIOR_FEATURES = 4 + 3 * GUESSES
# Of a borrowed motion: its difference from the mean as a bounded direction and in whitened units, its error at the
# handles, and a flag for its presence.
BORROWED_CHANNELS = 8
POSITION_SCALE = 0.3  # from whitened positions to about the size of the shape
FAINT = 0.02  # lower bound of affinities


class Prepared(NamedTuple):
    """What all denoiser calls of one condition share; keys and values are per block."""

    fixed: Tensor  # [B, T, M, C], added to the embedded noisy latents
    shape: tuple[KeysValues, ...]
    condition: tuple[KeysValues, ...]
    visible: Tensor  # [B * T, L]
    space_affinity: Tensor | None = None  # [B, M, M] logarithm, for attention over the set
    condition_affinity: Tensor | None = None  # [B, M, L] logarithm, for the condition's attention
    directions: Tensor | None = None  # [B, T, M, guesses, 3] whitened; T counts frames, not time tokens
    borrowed: Tensor | None = None  # [B, M, 1] bool: shape latents that sit on a body of the bank

    def repeat(self, seeds: int) -> Prepared:
        """The conditions repeated for several seeds: the whole batch for the first seed, then for the second, ..."""
        return self.map(lambda x: x.repeat(seeds, *(1,) * (x.dim() - 1)))

    def map(self, change: Callable[[Tensor], Tensor]) -> Prepared:
        """The same with every tensor changed."""

        def changed(value: Tensor | tuple[Any, ...] | None) -> Any:
            if isinstance(value, tuple):
                return tuple(changed(part) for part in value)
            return None if value is None else change(value)

        return Prepared(*changed(tuple(self)))


class ShapeBlock(nn.Module):
    """Self-attention over the set, condition cross-attention, feed-forward; each behind an adaptive layer norm."""

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        width = config.width
        self.norm_self, self.norm_condition, self.norm_feed_forward = (
            AdaptiveLayerNorm(width, width) for _ in range(3)
        )
        self.self_attention = Attention(width, config.head_dim)
        self.condition_attention = Attention(width, config.head_dim)
        self.feed_forward = FeedForward(width, config.expansion)

    def forward(self, x: Tensor, noise: Tensor, condition: KeysValues, visible: Tensor) -> Tensor:
        x = x + self.self_attention(self.norm_self(x, noise))
        x = x + self.condition_attention(self.norm_condition(x, noise), condition, visible)
        return x + self.feed_forward(self.norm_feed_forward(x, noise))


class ShapeDenoiser(nn.Module):
    """Denoises the shape latents of frame 0 (paper 3.2.1).

    If `anchored`, the first three channels are positions, which also get a point embedding.
    """

    def __init__(self, config: DenoiserConfig, channels: int, anchored: bool = False) -> None:
        super().__init__()
        self.config = config
        self.noise_embedding = NoiseEmbedding(config.noise_width, config.width)
        self.input = nn.Linear(channels, config.width)
        self.position = PointEmbedding(config.width) if anchored else None
        self.blocks = nn.ModuleList(ShapeBlock(config) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(config.width)
        self.output = zero_linear(config.width, channels)
        # Differences from a body are distributed unlike those from the mean, so they get a layer of their own.
        self.borrowed_output = zero_linear(config.width, channels) if config.borrowed else None

    def _blocks(self) -> list[ShapeBlock]:
        return cast(list[ShapeBlock], list(self.blocks))

    def prepare(
        self,
        condition: ConditionTokens,
        fixed: Float[Tensor, "B M C"] | None = None,
        borrowed: Bool[Tensor, "B M 1"] | None = None,
    ) -> Prepared:
        """Computes everything independent of the noise.

        `condition` describes frame 0 only: its tokens are [B, 1, L, C]. `fixed` is added to the embedded latents;
        `borrowed` marks those that sit on a body.
        """
        tokens = condition.tokens[:, 0]
        return Prepared(
            fixed=tokens.new_zeros(len(tokens), 1, 1) if fixed is None else fixed,
            shape=(),
            condition=tuple(block.condition_attention.keys_values(tokens) for block in self._blocks()),
            visible=condition.visible[:, 0],
            borrowed=borrowed,
        )

    def forward(
        self, x: Float[Tensor, "B M Cs"], noise_level: Float[Tensor, " B"], prepared: Prepared
    ) -> Float[Tensor, "B M Cs"]:
        noise = self.noise_embedding(noise_level)
        place = 0.0 if self.position is None else self.position(POSITION_SCALE * x[..., :3])
        x = self.input(x) + place + prepared.fixed
        for block, condition in zip(self._blocks(), prepared.condition, strict=True):
            x = block(x, noise, condition, prepared.visible)
        x = self.norm(x)
        result = self.output(x)
        if self.borrowed_output is not None and prepared.borrowed is not None:
            result = torch.where(prepared.borrowed, self.borrowed_output(x), result)
        return result


class MotionBlock(nn.Module):
    """Interleaved spatio-temporal attention (paper Fig. 4): space, shape, condition, time, feed-forward.

    With `shape_condition: token` the shape attention is left out: each token already carries its anchor's latent.
    """

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        width = config.width
        self.norm_space = AdaptiveLayerNorm(width, width)
        self.norm_time = AdaptiveLayerNorm(width, width)
        self.norm_feed_forward = AdaptiveLayerNorm(width, width)
        self.space_attention = Attention(width, config.head_dim)
        self.time_attention = Attention(width, config.head_dim)
        self.feed_forward = FeedForward(width, config.expansion)
        cross = config.shape_condition == "cross"
        self.norm_shape = AdaptiveLayerNorm(width, width) if cross else None
        self.shape_attention = Attention(width, config.head_dim) if cross else None
        self.norm_condition = AdaptiveLayerNorm(width, width)
        self.condition_attention = Attention(width, config.head_dim)
        heads = self.space_attention.heads
        geometric = config.geometric_attention
        # From heads that attend globally to heads that attend to neighbours only.
        self.space_reach = nn.Parameter(torch.linspace(0.0, 6.0, heads)) if geometric else None
        self.condition_reach = nn.Parameter(torch.linspace(0.0, 6.0, heads)) if geometric else None

    def forward(
        self,
        x: Tensor,
        noise: Tensor,
        shape: KeysValues | None,
        condition: KeysValues,
        visible: Tensor,
        space_affinity: Tensor | None = None,
        condition_affinity: Tensor | None = None,
    ) -> Tensor:
        """x [B, T, M, C]. Frames are folded into the batch for attention over the set, anchors for that over time."""
        batch, frames, count, _ = x.shape
        near = per_head(self.space_reach, space_affinity, frames)
        near_condition = per_head(self.condition_reach, condition_affinity, frames)
        attended = self.space_attention(self.norm_space(x, noise).flatten(0, 1), bias=near)
        x = x + attended.unflatten(0, (batch, frames))
        if self.shape_attention is not None and self.norm_shape is not None:
            # All frames of a clip attend to the same shape: fold them into the queries, not the batch.
            queries = self.norm_shape(x, noise).flatten(1, 2)
            x = x + self.shape_attention(queries, shape).unflatten(1, (frames, count))
        queries = self.norm_condition(x, noise).flatten(0, 1)
        attended = self.condition_attention(queries, condition, visible, near_condition)
        x = x + attended.unflatten(0, (batch, frames))
        by_anchor = self.norm_time(x, noise).transpose(1, 2).flatten(0, 1)
        x = x + self.time_attention(by_anchor).unflatten(0, (batch, count)).transpose(1, 2)
        return x + self.feed_forward(self.norm_feed_forward(x, noise))


def per_head(reach: Tensor | None, affinity: Tensor | None, frames: int) -> Tensor | None:
    """Attention bias [B * T, heads, N, L]: the logarithmic affinity [B, N, L] times each head's reach."""
    if reach is None or affinity is None:
        return None
    bias = reach[:, None, None] * affinity[:, None]
    return bias[:, None].expand(-1, frames, -1, -1, -1).flatten(0, 1)


class MotionDenoiser(nn.Module):
    """Denoises the motion latents of all frames together (paper 3.2.2).

    T here counts moving frames (1 .. T-1 of the sequence) and must be a multiple of `frames_per_token`.
    """

    def __init__(
        self,
        config: DenoiserConfig,
        channels: int,
        shape_channels: int,
        with_prior_features: bool,
        scan_channels: int = 0,
        sigma_data: float = 1.0,
    ) -> None:
        super().__init__()
        self.config = config
        self.channels = channels
        self.sigma_data = sigma_data
        width, patch = config.width, config.frames_per_token
        self.noise_embedding = NoiseEmbedding(config.noise_width, width)
        self.input = nn.Linear(patch * channels, width)
        self.from_shape = nn.Linear(shape_channels, width)
        self.anchor_embedding = PointEmbedding(width) if config.anchor_embedding else None
        self.from_time = nn.Linear(width, width) if config.time_embedding == "sinusoidal" else None
        self.from_prior_features = nn.Linear(patch * PRIOR_FEATURES, width) if with_prior_features else None
        self.from_scan = zero_linear(patch * scan_channels, width, bias=False) if scan_channels else None
        self.blocks = nn.ModuleList(MotionBlock(config) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(width)
        self.output = zero_linear(width, patch * channels)
        self.to_scales = nn.Linear(width, patch * GUESSES) if config.output_directions else None
        if self.to_scales is not None:
            # Initialised to the first guess after the mean, which is the best.
            nn.init.zeros_(self.to_scales.weight)
            start = torch.zeros(patch, GUESSES)
            start[:, 1] = 1.0
            with torch.no_grad():
                self.to_scales.bias.copy_(start.flatten())
        self.from_borrowed = nn.Linear(patch * BORROWED_CHANNELS, width, bias=False) if config.borrowed else None
        self.to_borrowed_scale = nn.Linear(width, patch) if config.borrowed else None
        for layer in (self.from_borrowed, self.to_borrowed_scale):
            if layer is not None:  # initialised to ignore it
                for weight in layer.parameters():
                    nn.init.zeros_(weight)

    def prepare(
        self,
        shape_latents: Float[Tensor, "B Ms Cs"],
        anchors: Float[Tensor, "B M 3"],
        observed: ConditionTokens,
        prior_features: Float[Tensor, "B T M G"] | None = None,
        affinity: Float[Tensor, "B M M"] | None = None,
        scan: Float[Tensor, "B T M S"] | None = None,
    ) -> Prepared:
        """Computes everything independent of the noise. The first M shape latents belong to the M motion anchors.

        `prior_features` and `affinity` come from the warm start (see `MotionDiffusion`), `scan` from scan features.
        """
        time_tokens = observed.tokens.shape[1]
        shape_tokens = self.from_shape(shape_latents)
        fixed = torch.zeros_like(shape_tokens[:, None, : anchors.shape[1]])
        if self.config.shape_condition == "token":
            fixed = fixed + shape_tokens[:, None, : anchors.shape[1]]
        if self.anchor_embedding is not None:
            fixed = fixed + self.anchor_embedding(anchors)[:, None]
        if self.from_time is not None:
            patch = self.config.frames_per_token
            centre = (torch.arange(time_tokens, device=anchors.device) + 0.5) * patch
            fixed = fixed + self.from_time(sinusoidal(centre, self.config.width, longest=1000.0))[None, :, None]
        if self.from_prior_features is not None and prior_features is not None:
            fixed = fixed + self.from_prior_features(self._fold(prior_features[..., :PRIOR_FEATURES]))
        if self.from_scan is not None and scan is not None:
            fixed = fixed + self.from_scan(self._fold(scan))
        fixed = fixed.expand(-1, time_tokens, -1, -1)
        shape = tuple(
            block.shape_attention.keys_values(shape_tokens)
            for block in self._blocks()
            if block.shape_attention is not None
        )
        tokens = observed.tokens.flatten(0, 1)
        condition = tuple(block.condition_attention.keys_values(tokens) for block in self._blocks())
        geometric = self.config.geometric_attention and affinity is not None
        near = observed.affinity
        directions = None
        if self.to_scales is not None and prior_features is not None:
            directions = prior_features[..., -3 * GUESSES :].unflatten(-1, (GUESSES, 3))
        return Prepared(
            fixed,
            shape,
            condition,
            observed.visible.flatten(0, 1),
            affinity.clamp_min(FAINT).log() if geometric and affinity is not None else None,
            near.clamp_min(FAINT).log() if geometric and near is not None else None,
            directions,
        )

    def with_borrowed(self, prepared: Prepared, borrowed: Float[Tensor, "B T M 8"]) -> Prepared:
        """The condition with a borrowed motion as a further guess, see `MotionDiffusion.borrowed_features`."""
        if self.from_borrowed is None or prepared.directions is None:
            return prepared
        return prepared._replace(
            fixed=prepared.fixed + self.from_borrowed(self._fold(borrowed)),
            directions=torch.cat([prepared.directions, borrowed[..., None, 3:6]], dim=-2),
        )

    def forward(
        self, x: Float[Tensor, "B T M Cd"], noise_level: Float[Tensor, " B"], prepared: Prepared
    ) -> Float[Tensor, "B T M Cd"]:
        noise = self.noise_embedding(noise_level)
        x = self.input(self._fold(x)) + prepared.fixed
        for number, block in enumerate(self._blocks()):
            shape = prepared.shape[number] if prepared.shape else None
            x = block(
                x,
                noise,
                shape,
                prepared.condition[number],
                prepared.visible,
                prepared.space_affinity,
                prepared.condition_affinity,
            )
        x = self.norm(x)
        answer = self._unfold(self.output(x))
        if self.to_scales is None or prepared.directions is None:
            return answer
        scales = self._unfold(self.to_scales(x))
        if self.to_borrowed_scale is not None and prepared.directions.shape[-2] > GUESSES:
            scales = torch.cat([scales, self._unfold(self.to_borrowed_scale(x))], dim=-1)
        centre = (scales[..., None] * prepared.directions).sum(dim=-2)
        # F of a Gaussian with another mean m differs by (1 - c_skip) / c_out * m.
        sigma = sigma_of(noise_level)
        c_in = scalings(sigma, self.sigma_data)[2]
        shift = (sigma * c_in / self.sigma_data).view(-1, 1, 1, 1) * centre
        return answer + torch.nn.functional.pad(shift, (0, self.channels - 3))

    def _blocks(self) -> list[MotionBlock]:
        return cast(list[MotionBlock], list(self.blocks))

    def _fold(self, x: Tensor) -> Tensor:
        """[B, T, M, C] -> [B, T / patch, M, patch * C]."""
        patch = self.config.frames_per_token
        return x.unflatten(1, (x.shape[1] // patch, patch)).transpose(2, 3).flatten(-2)

    def _unfold(self, x: Tensor) -> Tensor:
        patch = self.config.frames_per_token
        return x.unflatten(-1, (patch, x.shape[-1] // patch)).transpose(2, 3).flatten(1, 2)
