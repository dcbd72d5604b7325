"""Shape autoencoder: a surface as a set of latents that decodes to occupancy (paper 3.1.1).

    points [B, N, 3] --embed--> keys;  anchors [B, M, 3] --embed--> queries;  one cross-attention
    -> latents [B, M, C_s] -> self-attention layers -> context -> one cross-attention per query point -> logit

Two things can differ from the published network, each by a config field: `explicit_anchor` stores the
anchor's position in the first three channels, so a sampled set says where its latents sit; `neighbours`
lets a query look at its nearest anchors only, with relative positions, which is cheaper and sharper.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from core.shapes import Float
from torch import Tensor, nn

from core.config import ShapeConfig
from core.models.layers import (
    CrossAttentionLayer,
    DiagonalGaussian,
    KeysValues,
    PointEmbedding,
    SelfAttentionLayer,
    gather_rows,
)


class ShapeContext(NamedTuple):
    """What all query points of one shape share: computed once, queried many times."""

    tokens: Tensor  # [B, M, C]
    keys_values: KeysValues
    anchors: Tensor | None  # [B, M, 3] when the latents carry their anchors


class ShapeAutoencoder(nn.Module):
    def __init__(self, config: ShapeConfig) -> None:
        super().__init__()
        self.config = config
        self.learned = config.channels - 3 * config.explicit_anchor
        self.point_embedding = PointEmbedding(config.width)
        self.encoder = CrossAttentionLayer(config.width, config.expansion)
        self.to_mean = nn.Linear(config.width, self.learned)
        self.to_log_variance = nn.Linear(config.width, self.learned)
        self.from_latents = nn.Linear(self.learned, config.width)
        self.trunk = nn.ModuleList(
            SelfAttentionLayer(config.width, config.head_dim, config.expansion) for _ in range(config.layers)
        )
        if config.neighbours:
            self.local = LocalOccupancy(config)
        else:
            self.query_embedding = PointEmbedding(config.width)
            self.query_attention = CrossAttentionLayer(config.width, config.expansion, feed_forward=False, residual=False)
            self.to_occupancy = nn.Linear(config.width, 1)

    def encode(
        self, points: Float[Tensor, "B N 3"], anchors: Float[Tensor, "B M 3"]
    ) -> tuple[Float[Tensor, "B M Cs"], Float[Tensor, ""]]:
        """Latents (the mean; a sample of the posterior while training) and the KL divergence."""
        keys_values = self.encoder.keys_values(self.point_embedding(points))
        tokens = self.encoder(self.point_embedding(anchors), keys_values)
        posterior = DiagonalGaussian(self.to_mean(tokens), self.to_log_variance(tokens))
        learned = posterior.sample() if self.training else posterior.mean
        latents = torch.cat([anchors, learned], dim=-1) if self.config.explicit_anchor else learned
        return latents, posterior.kl()

    def context(self, latents: Float[Tensor, "B M Cs"]) -> ShapeContext:
        """Run the decoder's trunk once for a shape."""
        anchors = latents[..., :3] if self.config.explicit_anchor else None
        tokens = self.from_latents(latents[..., -self.learned :])
        if anchors is not None:
            tokens = tokens + self.point_embedding(anchors)
        for layer in self.trunk:
            tokens = layer(tokens)
        if self.config.neighbours:
            return ShapeContext(tokens, (tokens, tokens), anchors)
        return ShapeContext(tokens, self.query_attention.keys_values(tokens), anchors)

    def query(self, context: ShapeContext, points: Float[Tensor, "B Q 3"]) -> Float[Tensor, "B Q"]:
        """Occupancy logits at query points: positive inside."""
        if self.config.neighbours:
            assert context.anchors is not None
            return self.local(context.tokens, context.anchors, points)
        queries = self.query_embedding(points)
        return self.to_occupancy(self.query_attention(queries, context.keys_values)).squeeze(-1)


class LocalOccupancy(nn.Module):
    """Occupancy at a point from its k nearest latents: attention whose keys know the relative position."""

    def __init__(self, config: ShapeConfig) -> None:
        super().__init__()
        self.neighbours = config.neighbours
        half = config.width // 2
        self.relative = PointEmbedding(half)
        self.from_token = nn.Linear(config.width, half, bias=False)
        self.hidden = nn.Linear(half, half)
        self.score = nn.Linear(half, 1)
        self.value = nn.Linear(half, half)
        self.to_occupancy = nn.Linear(half, 1)

    def forward(self, tokens: Tensor, anchors: Tensor, points: Tensor) -> Tensor:
        count = min(self.neighbours, anchors.shape[1])
        distance, index = torch.cdist(points, anchors).topk(count, dim=-1, largest=False)  # [B, Q, k]
        batch, queries, _ = index.shape
        flat = index.flatten(1)
        near_tokens = gather_rows(self.from_token(tokens), flat).unflatten(1, (queries, count))
        offset = points[:, :, None] - gather_rows(anchors, flat).unflatten(1, (queries, count))
        features = nn.functional.silu(near_tokens + self.relative(offset))
        features = nn.functional.silu(self.hidden(features))
        # Nearer anchors win unless the network says otherwise; the spacing of anchors sets the scale.
        spacing = distance[..., -1:].square().clamp_min(1e-8)
        weights = torch.softmax(self.score(features).squeeze(-1) - 4.0 * distance.square() / spacing, dim=-1)
        blended = (weights[..., None] * self.value(features)).sum(dim=2)
        return self.to_occupancy(nn.functional.silu(blended)).squeeze(-1)
