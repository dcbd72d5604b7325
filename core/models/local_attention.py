"""Attention from query points to their nearest source points, by relative position."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core.models.layers import PointEmbedding, gather_rows
from core.precision import distances
from core.shapes import Float


class LocalAttention(nn.Module):
    """Features [B, Q, C] at query points from their k nearest source points, by relative positions only.

    Nearer sources count more unless the network learns otherwise. The distance of the last neighbour sets the scale and
    gives it a weight near zero, so that features stay continuous where the neighbours change.
    """

    def __init__(self, neighbours: int, width: int, token_width: int = 0) -> None:
        super().__init__()
        self.neighbours = neighbours
        self.relative = PointEmbedding(width)
        self.from_token = nn.Linear(token_width, width, bias=False) if token_width else None
        self.hidden = nn.Linear(width, width)
        self.score = nn.Linear(width, 1)
        self.value = nn.Linear(width, width)

    def forward(
        self, queries: Float[Tensor, "B Q 3"], sources: Float[Tensor, "B N 3"], tokens: Tensor | None = None
    ) -> Float[Tensor, "B Q C"]:
        count = min(self.neighbours, sources.shape[1])
        distance, index = distances(queries, sources).topk(count, dim=-1, largest=False)  # [B, Q, k]
        flat, shape = index.flatten(1), (queries.shape[1], count)
        features = self.relative(queries[:, :, None] - gather_rows(sources, flat).unflatten(1, shape))
        if self.from_token is not None and tokens is not None:
            features = features + gather_rows(self.from_token(tokens), flat).unflatten(1, shape)
        features = nn.functional.silu(self.hidden(nn.functional.silu(features)))
        squared = distance.square()
        nearness = -4.0 * squared / squared[..., -1:].clamp_min(1e-8)
        weights = torch.softmax(self.score(features).squeeze(-1) + nearness, dim=-1)
        return nn.functional.silu((weights[..., None] * self.value(features)).sum(dim=2))
