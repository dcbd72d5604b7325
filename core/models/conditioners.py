"""Conditioners: an observation becomes tokens per frame for a denoiser's condition cross-attention (paper 3.3)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from core.models.layers import CrossAttentionLayer, PointEmbedding
from core.models.warm_start import FilledTracks, HandleCondition, fill_tracks

EXACT_VARIANCE = 1e-6  # an estimated handle of at most this variance counts as exact


class ConditionTokens(NamedTuple):
    """Tokens of one observation; T counts the denoiser's time tokens (frames / frames_per_token)."""

    tokens: Tensor  # [B, T, L, C]
    visible: Tensor  # [B, T, L] bool: False for padding
    affinity: Tensor | None = None  # [B, M, L] in 0..1: how closely each anchor moves with each token's position


class HandleConditioner(nn.Module):
    """Handle tracks as corresponding points (paper Eq. 4): where each handle is in frame 0 and where it must be.

    Tracks are filled linearly in time. The keyframe mask, and the distances to the keyframes before and after, are
    further inputs, so that the network can tell a keyframe from an in-between. There is one token per handle and time
    token; a learned token that is always visible stands for "no observation".
    """

    def __init__(self, width: int, frames_per_token: int, expansion: int, estimated: bool = False) -> None:
        super().__init__()
        self.frames_per_token = frames_per_token
        self.source_embedding = PointEmbedding(width // 2)
        features = PointEmbedding.FEATURES + 3 + 3
        self.track_embedding = nn.Linear(frames_per_token * features, width - width // 2)
        self.encoder = CrossAttentionLayer(width, expansion)
        self.nothing = nn.Parameter(torch.zeros(width))
        nn.init.normal_(self.nothing, std=0.02)
        # Marks handles that were estimated from a scan rather than set by a person.
        self.estimated = nn.Parameter(torch.zeros(width)) if estimated else None

    def forward(self, handles: HandleCondition, tracks: FilledTracks | None = None) -> ConditionTokens:
        """Tokens [B, T / frames_per_token, 1 + K, C]."""
        tracks = fill_tracks(handles) if tracks is None else tracks
        batch, frames, _ = handles.keyframe_mask.shape
        patch = self.frames_per_token
        targets = handles.positions[:, None] + tracks.displacements
        phases = (targets[..., None] * self.source_embedding.frequencies).flatten(-2)
        per_frame = torch.cat(
            [
                targets,
                phases.sin(),
                phases.cos(),
                tracks.displacements * 10.0,
                handles.keyframe_mask[..., None],
                tracks.before[..., None] / 16.0,
                tracks.after[..., None] / 16.0,
            ],
            dim=-1,
        )  # [B, T, K, F]
        grouped = per_frame.unflatten(1, (frames // patch, patch)).transpose(2, 3).flatten(-2)
        source = self.source_embedding(handles.positions)[:, None].expand(-1, frames // patch, -1, -1)
        tokens = torch.cat([source, self.track_embedding(grouped)], dim=-1)
        if handles.variance is not None and self.estimated is not None:
            doubt = (handles.variance / EXACT_VARIANCE + 1.0).log()
            tokens = tokens + doubt[:, None, :, None] * self.estimated
        nothing = self.nothing.expand(batch, frames // patch, 1, -1)
        tokens = torch.cat([nothing.to(tokens.dtype), tokens], dim=2)
        visible = torch.cat([handles.present.new_ones(batch, 1), handles.present], dim=1)
        visible = visible[:, None].expand(-1, frames // patch, -1)
        tokens = self.encoder(tokens, self.encoder.keys_values(tokens), visible)
        return ConditionTokens(tokens, visible)


class PointConditioner(nn.Module):
    """An unordered point set of one frame: embedding, one cross-attention and feed-forward, L tokens (paper 3.3)."""

    def __init__(self, width: int, expansion: int) -> None:
        super().__init__()
        self.embedding = PointEmbedding(width)
        self.encoder = CrossAttentionLayer(width, expansion)
        self.nothing = nn.Parameter(torch.zeros(width))
        nn.init.normal_(self.nothing, std=0.02)

    def forward(self, points: Tensor, present: Tensor | None = None) -> ConditionTokens:
        """Points [B, L, 3] -> tokens [B, 1, 1 + L, C]; points that are not `present` [B, L] are hidden."""
        batch, count, _ = points.shape
        tokens = self.embedding(points)
        tokens = torch.cat([self.nothing.expand(batch, 1, -1).to(tokens.dtype), tokens], dim=1)
        if present is None:
            present = torch.ones(batch, count, dtype=torch.bool, device=points.device)
        visible = torch.cat([torch.ones_like(present[:, :1]), present], dim=1)
        tokens = self.encoder(tokens, self.encoder.keys_values(tokens), visible)
        return ConditionTokens(tokens[:, None], visible[:, None])
