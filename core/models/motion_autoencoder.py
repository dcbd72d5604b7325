"""Motion autoencoder: encodes the motion from frame 0 to each frame as a latent set that decodes to a flow field.

    source, target points [B, N, 3], [B, T, N, 3] --embed and concatenate--> one cross-attention from the anchors
    -> latents [B, T, M, C_d] -> self-attention layers per frame -> context -> position of any query point

Differences from the published network (paper 3.1.2), each by a config field:

`explicit_displacement`: the first three channels are the displacement of the anchor itself, which the shared
    farthest-point indices give exactly; the encoder learns only the remaining channels (none if there are three).
`flow_head`: `absolute` predicts the target position (as published), `affine` gives each
    anchor a local map and blends the maps of the nearest anchors (`core.models.affine_head`). The weights are shared by
    all frames, so a decoded motion is as smooth in time as its latents.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from core.config import MotionConfig
from core.models.affine_head import AffineHead, LocalMaps
from core.models.layers import (
    CrossAttentionLayer,
    DiagonalGaussian,
    KeysValues,
    PointEmbedding,
    SelfAttentionLayer,
    gather_rows,
)
from core.shapes import Float, Int


class MotionContext(NamedTuple):
    """Decoder state of one motion: computed once, queried many times."""

    keys_values: KeysValues | None  # of the trunk's tokens, for the attention heads
    anchors: Tensor  # [B, M, 3]
    maps: LocalMaps | None  # of the affine head
    blend_tokens: Tensor | None  # [B, M, C]


class MotionAutoencoder(nn.Module):
    def __init__(self, config: MotionConfig) -> None:
        super().__init__()
        self.config = config
        self.learned = config.channels - 3 * config.explicit_displacement
        width = config.width
        if self.learned:
            self.source_embedding = PointEmbedding(width // 2)
            self.target_embedding = PointEmbedding(width // 2)
            self.encoder = CrossAttentionLayer(width, config.expansion)
            self.to_mean = nn.Linear(width, self.learned)
            self.to_log_variance = nn.Linear(width, self.learned)
            nn.init.constant_(self.to_log_variance.bias, -4.0)  # little noise at first, see the shape autoencoder
        self.from_latents = nn.Linear(config.channels, width)
        self.trunk = nn.ModuleList(
            SelfAttentionLayer(width, config.head_dim, config.expansion) for _ in range(config.layers)
        )
        if config.flow_head == "affine":
            self.anchor_embedding = PointEmbedding(width)
            self.head = AffineHead(width, config.neighbours)
        else:
            self.query_embedding = PointEmbedding(width)
            self.query_layer = CrossAttentionLayer(width, config.expansion, feed_forward=False, residual=False)
            self.to_flow = nn.Linear(width, 3)

    def encode(
        self, source: Float[Tensor, "B N 3"], target: Float[Tensor, "B T N 3"], anchor_index: Int[Tensor, "B M"]
    ) -> tuple[Float[Tensor, "B T M Cd"], Float[Tensor, ""]]:
        """Latents (the mean; a sample of the posterior while training) and the KL divergence of the learned part.

        Row n of source and of every target frame is the same surface point.
        """
        batch, frames = target.shape[:2]
        parts = []
        kl = source.new_zeros(())
        if self.config.explicit_displacement:
            index = anchor_index[:, None].expand(batch, frames, -1)
            parts.append(gather_rows(target - source[:, None], index))
        if self.learned:
            embedded_source = self.source_embedding(source)[:, None].expand(-1, frames, -1, -1)
            pairs = torch.cat([embedded_source, self.target_embedding(target)], dim=-1)
            queries = gather_rows(pairs, anchor_index[:, None].expand(batch, frames, -1))
            tokens = self.encoder(queries, self.encoder.keys_values(pairs))
            posterior = DiagonalGaussian(self.to_mean(tokens), self.to_log_variance(tokens))
            parts.append(posterior.sample() if self.training else posterior.mean)
            kl = posterior.kl()
        return torch.cat(parts, dim=-1), kl

    def context(self, latents: Float[Tensor, "B T M Cd"], anchors: Float[Tensor, "B M 3"]) -> MotionContext:
        """Run the decoder's trunk once for a motion; `anchors` are the latents' points in frame 0."""
        tokens = self.from_latents(latents)
        affine = self.config.flow_head == "affine"
        if affine:
            fit = self.head.fit_gradient(latents[..., :3], anchors)
            tokens = tokens + self.anchor_embedding(anchors)[:, None] + self.head.from_gradient(fit.flatten(-2))
        for layer in self.trunk:
            tokens = layer(tokens)
        if affine:
            maps = self.head.maps(tokens, latents[..., :3], fit, anchors)
            return MotionContext(None, anchors, maps, tokens.mean(dim=1))
        return MotionContext(self.query_layer.keys_values(tokens), anchors, None, None)

    def query(
        self, context: MotionContext, points: Float[Tensor, "B Q 3"], distance: Float[Tensor, "B Q M"] | None = None
    ) -> Float[Tensor, "B T Q 3"]:
        """Positions of frame-0 points in every frame.

        `distance` from the anchors is measured along the surface, by default straight (`flow_head: affine` only).
        """
        if self.config.flow_head == "affine":
            assert context.maps is not None and context.blend_tokens is not None
            return self.head.blend(context.maps, context.blend_tokens, context.anchors, points, distance)
        keys_values = context.keys_values
        assert keys_values is not None
        frames = keys_values[0].shape[1]
        queries = self.query_embedding(points)[:, None].expand(-1, frames, -1, -1)
        return self.to_flow(self.query_layer(queries, keys_values))
