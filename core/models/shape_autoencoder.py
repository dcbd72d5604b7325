"""Shape autoencoder: encodes a surface as a latent set that decodes to occupancy (paper 3.1.1).

    points [B, N, 3] --embed--> keys;  anchors [B, M, 3] --embed--> queries;  one cross-attention
    -> latents [B, M, C_s] -> self-attention layers -> context -> one cross-attention per query point -> logit

What can differ from the published network, each by a config field: `explicit_anchor` stores the anchor's position in
the first three channels of its latent; `encoder_neighbours` and `neighbours` restrict attention to the nearest points
and anchors, with relative positions, which is cheaper and sharper. `normals` stores the anchor's outward normal
beside its position, and the decoder learns the difference from the surface of their tangent planes.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from core.config import ShapeConfig
from core.errors import ConfigError
from core.models.layers import (
    CrossAttentionLayer,
    DiagonalGaussian,
    KeysValues,
    PointEmbedding,
    SelfAttentionLayer,
    gather_rows,
)
from core.models.local_attention import LocalAttention
from core.precision import distances
from core.shapes import Float


class ShapeContext(NamedTuple):
    """Decoder state of one shape: computed once, queried many times."""

    tokens: Tensor  # [B, M, C]
    keys_values: KeysValues | None  # of the tokens, for queries that attend to all of them
    anchors: Tensor | None  # [B, M, 3] when the latents carry their anchors
    normals: Tensor | None  # [B, M, 3] when they carry normals


class ShapeAutoencoder(nn.Module):
    def __init__(self, config: ShapeConfig) -> None:
        super().__init__()
        self.config = config
        self.explicit = 3 * config.explicit_anchor + 3 * config.normals
        self.learned = config.channels - self.explicit
        if bool(config.neighbours) != bool(config.encoder_neighbours) or (
            config.neighbours and not config.explicit_anchor
        ):
            raise ConfigError("shape.neighbours and shape.encoder_neighbours go together, and with explicit_anchor.")
        self.point_embedding = PointEmbedding(config.width)
        half = config.width // 2
        if config.encoder_neighbours:
            self.local_encoder = LocalAttention(config.encoder_neighbours, half, 3 if config.normals else 0)
            self.from_local = nn.Linear(half, config.width)
        else:
            self.encoder = CrossAttentionLayer(config.width, config.expansion)
        self.to_mean = nn.Linear(config.width, self.learned)
        self.to_log_variance = nn.Linear(config.width, self.learned)
        # Start with little noise: at unit variance it would drown the untrained means for hundreds of steps.
        nn.init.constant_(self.to_log_variance.bias, -4.0)
        self.from_latents = nn.Linear(config.channels - 3 * config.explicit_anchor, config.width)
        self.trunk = nn.ModuleList(
            SelfAttentionLayer(config.width, config.head_dim, config.expansion) for _ in range(config.layers)
        )
        if config.neighbours:
            self.local = LocalAttention(config.neighbours, half, config.width)
            self.to_occupancy = nn.Linear(half, 1)
            if config.normals:  # start from the tangent planes alone
                nn.init.zeros_(self.to_occupancy.weight)
                nn.init.zeros_(self.to_occupancy.bias)
            self.log_sharpness = nn.Parameter(torch.tensor(4.0))  # of the tangent planes' occupancy
        else:
            self.query_embedding = PointEmbedding(config.width)
            self.query_layer = CrossAttentionLayer(config.width, config.expansion, feed_forward=False, residual=False)
            self.to_occupancy = nn.Linear(config.width, 1)

    def encode(
        self,
        points: Float[Tensor, "B N 3"],
        anchors: Float[Tensor, "B M 3"],
        normals: Float[Tensor, "B N 3"] | None = None,
    ) -> tuple[Float[Tensor, "B M Cs"], Float[Tensor, ""]]:
        """Latents (the mean; a sample of the posterior while training) and the KL divergence.

        `normals` are outward unit normals of the points, required by `shape.normals`.
        """
        tokens = self.point_embedding(anchors)
        if self.config.encoder_neighbours:
            assert normals is not None or not self.config.normals, "this autoencoder encodes points with normals"
            # Relative positions only: the anchor itself is an explicit channel.
            tokens = self.from_local(self.local_encoder(anchors, points, normals if self.config.normals else None))
        else:
            tokens = self.encoder(tokens, self.encoder.keys_values(self.point_embedding(points)))
        posterior = DiagonalGaussian(self.to_mean(tokens), self.to_log_variance(tokens))
        learned = posterior.sample() if self.training else posterior.mean
        parts = [anchors] if self.config.explicit_anchor else []
        if self.config.normals and normals is not None:
            parts.append(smoothed_normals(anchors, points, normals))
        return torch.cat([*parts, learned], dim=-1), posterior.kl()

    def proper(self, latents: Float[Tensor, "B M Cs"]) -> Float[Tensor, "B M Cs"]:
        """Generated latents with their normal channels rescaled to unit vectors, as in encoded ones."""
        if not self.config.normals:
            return latents
        normals = nn.functional.normalize(latents[..., 3:6], dim=-1)
        return torch.cat([latents[..., :3], normals, latents[..., 6:]], dim=-1)

    def context(self, latents: Float[Tensor, "B M Cs"]) -> ShapeContext:
        """Run the decoder's trunk once for a shape."""
        anchors = latents[..., :3] if self.config.explicit_anchor else None
        normals = latents[..., 3:6] if self.config.normals else None
        tokens = self.from_latents(latents[..., 3 * self.config.explicit_anchor :])
        if anchors is not None:
            tokens = tokens + self.point_embedding(anchors)
        for layer in self.trunk:
            tokens = layer(tokens)
        if self.config.neighbours:
            return ShapeContext(tokens, None, anchors, normals)
        return ShapeContext(tokens, self.query_layer.keys_values(tokens), anchors, normals)

    def query(self, context: ShapeContext, points: Float[Tensor, "B Q 3"]) -> Float[Tensor, "B Q"]:
        """Occupancy logits at query points: positive inside."""
        if self.config.neighbours:
            assert context.anchors is not None
            logits = self.to_occupancy(self.local(points, context.anchors, context.tokens)).squeeze(-1)
            if context.normals is None:
                return logits
            return logits - self.log_sharpness.exp() * tangent_distance(points, context.anchors, context.normals)
        assert context.keys_values is not None
        queries = self.query_embedding(points)
        return self.to_occupancy(self.query_layer(queries, context.keys_values)).squeeze(-1)


def smoothed_normals(anchors: Tensor, points: Tensor, normals: Tensor) -> Tensor:
    """Unit normals [B, M, 3] at the anchors: the mean over the nearest points."""
    index = distances(anchors, points).topk(min(4, points.shape[1]), dim=-1, largest=False).indices
    near = gather_rows(normals, index.flatten(1)).unflatten(1, index.shape[1:])
    return nn.functional.normalize(near.mean(dim=2), dim=-1)


def tangent_distance(queries: Tensor, anchors: Tensor, normals: Tensor) -> Tensor:
    """Signed distance [B, Q] (positive outside) to the blended tangent planes of the nearest anchors.

    An implicit moving least squares surface (Kolluri 2008): already a fair shape before anything is learned.
    """
    distance, index = distances(queries, anchors).topk(min(8, anchors.shape[1]), dim=-1, largest=False)
    flat, shape = index.flatten(1), index.shape[1:]
    offset = queries[:, :, None] - gather_rows(anchors, flat).unflatten(1, shape)
    height = (offset * gather_rows(normals, flat).unflatten(1, shape)).sum(dim=-1)
    squared = distance.square()
    weights = torch.softmax(-12.0 * squared / squared[..., -1:].clamp_min(1e-8), dim=-1)
    return (weights * height).sum(dim=-1)
