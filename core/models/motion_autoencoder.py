"""Motion autoencoder: the motion from frame 0 to each frame as a set of latents that decodes to a flow field.

    source, target points [B, N, 3], [B, T, N, 3] --embed and concatenate--> one cross-attention from the anchors
    -> latents [B, T, M, C_d] -> self-attention layers per frame -> context -> position of any query point

What differs from the published network (paper 3.1.2), each by a config field:

`explicit_displacement`: the first three channels are the displacement of the anchor itself, which the shared
    farthest-point indices give exactly; the encoder learns only the remaining channels (none if there are three).
`flow_head`: `absolute` predicts the target position (as published), `offset` the displacement, `affine` gives each
    anchor a local affine map, a least-squares fit to its neighbours' displacements that the network corrects, and
    blends the maps of the nearest anchors with learned weights. The weights belong to the rest shape and are
    shared by all frames, so a decoded motion is as smooth in time as its latents, and a query costs a matrix product.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from core.config import MotionConfig
from core.models.layers import (
    CrossAttentionLayer,
    DiagonalGaussian,
    KeysValues,
    PointEmbedding,
    QueryLayers,
    SelfAttentionLayer,
    gather_rows,
)
from core.precision import full_precision
from core.shapes import Float, Int


class MotionContext(NamedTuple):
    """What all query points of one motion share: computed once, queried many times."""

    keys_values: tuple[KeysValues, ...] | None  # of the trunk's tokens, for the attention heads
    anchors: Tensor  # [B, M, 3]
    translation: Tensor | None  # [B, T, M, 3]: displacement of each anchor, for the affine head
    gradient: Tensor | None  # [B, T, M, 3, 3]: gradient of the displacement around each anchor
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
            self.head = AffineHead(config)
        else:
            self.query_embedding = PointEmbedding(width)
            self.query_layers = QueryLayers(width, config.expansion, config.latents, config.layers)
            self.to_flow = nn.Linear(width, 3)

    def encode(
        self,
        source: Float[Tensor, "B N 3"],
        target: Float[Tensor, "B T N 3"],
        anchor_index: Int[Tensor, "B M"],
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
            translation, gradient = self.head.maps(tokens, latents[..., :3], fit)
            return MotionContext(None, anchors, translation, gradient, tokens.mean(dim=1))
        return MotionContext(self.query_layers.keys_values(tokens), anchors, None, None, None)

    def query(self, context: MotionContext, points: Float[Tensor, "B Q 3"]) -> Float[Tensor, "B T Q 3"]:
        """Positions of frame-0 points in every frame."""
        if self.config.flow_head == "affine":
            return self.head.query(context, points)
        keys_values = context.keys_values
        assert keys_values is not None
        frames = keys_values[0][0].shape[1]
        queries = self.query_embedding(points)[:, None].expand(-1, frames, -1, -1)
        flow = self.to_flow(self.query_layers(queries, keys_values))
        return flow if self.config.flow_head == "absolute" else points[:, None] + flow


class AffineHead(nn.Module):
    """Local affine maps around anchors, blended at query points (an embedded deformation with learned weights)."""

    def __init__(self, config: MotionConfig) -> None:
        super().__init__()
        self.neighbours = config.neighbours
        half = max(32, config.width // 2)
        self.from_gradient = nn.Linear(9, config.width)
        self.norm = nn.LayerNorm(config.width)
        self.to_correction = nn.Linear(config.width, 12)
        nn.init.zeros_(self.to_correction.weight)
        nn.init.zeros_(self.to_correction.bias)
        self.relative = PointEmbedding(half)
        self.from_token = nn.Linear(config.width, half, bias=False)
        self.hidden = nn.Linear(half, half)
        self.score = nn.Linear(half, 1)
        nn.init.zeros_(self.score.weight)
        nn.init.zeros_(self.score.bias)

    @full_precision
    def fit_gradient(self, displacement: Tensor, anchors: Tensor) -> Tensor:
        """Least-squares displacement gradient [B, T, M, 3, 3] over each anchor's nearest neighbours.

        A small ridge keeps it finite where the neighbours lie on a line or in a plane.
        """
        frames, count = displacement.shape[1:3]
        neighbours = min(self.neighbours + 1, count)
        distance, index = torch.cdist(anchors, anchors).topk(neighbours, dim=-1, largest=False)
        flat = index.flatten(1)
        offset = gather_rows(anchors, flat).unflatten(1, (count, neighbours)) - anchors[:, :, None]
        scale = distance[..., -1].clamp_min(1e-6)[..., None, None]
        weight = torch.exp(-2.0 * (distance[..., None] / scale).square())
        moment = (weight * offset).transpose(-1, -2) @ offset
        ridge = 0.01 * scale.square() * torch.eye(3, device=anchors.device, dtype=anchors.dtype)
        projection = torch.linalg.solve(moment + ridge, (weight * offset).transpose(-1, -2))  # [B, M, 3, k]
        moved = gather_rows(displacement, flat[:, None].expand(-1, frames, -1)).unflatten(2, (count, neighbours))
        difference = moved - displacement[:, :, :, None]
        return torch.einsum("btmkd,bmgk->btmdg", difference, projection)

    def maps(self, tokens: Tensor, displacement: Tensor, fit: Tensor) -> tuple[Tensor, Tensor]:
        """Translation [B, T, M, 3] and displacement gradient [B, T, M, 3, 3], the fit with the learned correction."""
        correction = self.to_correction(self.norm(tokens))
        return displacement + 0.1 * correction[..., :3], fit + correction[..., 3:].unflatten(-1, (3, 3))

    def query(self, context: MotionContext, points: Tensor) -> Tensor:
        anchors, translation, gradient = context.anchors, context.translation, context.gradient
        assert translation is not None and gradient is not None and context.blend_tokens is not None
        weights = self.blend_weights(context.blend_tokens, anchors, points)  # [B, Q, M]
        return self._blend(weights, anchors, translation, gradient, points)

    @full_precision
    def _blend(self, weights: Tensor, anchors: Tensor, translation: Tensor, gradient: Tensor, points: Tensor) -> Tensor:
        """Positions [B, T, Q, 3] of the points under the weighted mean of the anchors' maps."""
        constant = translation - torch.einsum("btmdg,bmg->btmd", gradient, anchors)
        frames, count = translation.shape[1:3]
        maps = torch.cat([gradient.flatten(-2), constant], dim=-1)  # [B, T, M, 12]
        blended = weights @ maps.transpose(1, 2).reshape(len(maps), count, frames * 12)
        blended = blended.unflatten(-1, (frames, 12)).transpose(1, 2)  # [B, T, Q, 12]
        linear = blended[..., :9].unflatten(-1, (3, 3))
        return points[:, None] + (linear @ points[:, None, :, :, None]).squeeze(-1) + blended[..., 9:]

    def blend_weights(self, tokens: Tensor, anchors: Tensor, points: Tensor) -> Tensor:
        """Convex weights [B, Q, M], zero but for the nearest anchors."""
        count = min(self.neighbours, anchors.shape[1])
        distance, index = torch.cdist(points, anchors).topk(count, dim=-1, largest=False)
        flat = index.flatten(1)
        near_tokens = gather_rows(self.from_token(tokens), flat).unflatten(1, (points.shape[1], count))
        offset = points[:, :, None] - gather_rows(anchors, flat).unflatten(1, (points.shape[1], count))
        features = nn.functional.silu(near_tokens + self.relative(offset))
        features = nn.functional.silu(self.hidden(features))
        spacing = distance[..., -1:].square().clamp_min(1e-8)
        # The last neighbour's weight fades to zero, so that weights are continuous where neighbours change.
        fade = (1.0 - distance.square() / spacing).clamp_min(1e-4).log()
        logits = self.score(features).squeeze(-1) - 6.0 * distance.square() / spacing + fade
        weights = torch.softmax(logits, dim=-1)
        return torch.zeros(*points.shape[:2], anchors.shape[1], device=points.device, dtype=weights.dtype).scatter(
            -1, index, weights
        )
