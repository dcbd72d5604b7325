"""Conditioners of observations other than handles (paper 3.3).

Dense observations (voxel grids) become tokens beside the handles' tokens. Points are looked up around each anchor's
warm-start position in each frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.config import ConditionConfig
from core.models.conditioners import ConditionTokens
from core.models.layers import PointEmbedding
from core.models.local_attention import LocalAttention
from core.models.point_normals import FAR
from core.precision import distances
from core.sequence import BOX_SIDE
from core.shapes import Bool, Float

SEEN_WITHIN = 0.15  # distance to the nearest scan point at which features fall to e^-1
NOTHING_DENSE: Mapping[str, Tensor] = MappingProxyType({})


class ScanCondition(NamedTuple):
    """Observations of a batch in normalised space; points are of the moving frames 1..T-1, dense ones of all."""

    points: Tensor | None = None  # [B, T, L, 3]
    present: Tensor | None = None  # [B, T, L] bool: False for padding
    # By its conditioner's name. voxels: [B, 1 + T, 32, 32, 32] in 0..1, index order x, y, z, in the box of side 1.1
    dense: Mapping[str, Tensor] = NOTHING_DENSE

    def extended(self, frames: int) -> ScanCondition:
        """Padded to `frames` moving frames with the last one, marked absent."""

        def repeat(x: Tensor, extra: int) -> Tensor:
            return x if extra <= 0 else torch.cat([x, x[:, -1:].expand(-1, extra, *x.shape[2:])], dim=1)

        dense = {name: repeat(x, frames + 1 - x.shape[1]) for name, x in self.dense.items()}
        if self.points is None or self.present is None:
            return self._replace(dense=dense)
        known = self.points.shape[1]
        present = repeat(self.present, frames - known).clone()
        present[:, known:] = False
        return ScanCondition(repeat(self.points, frames - known), present, dense)


class ScanFeatures(nn.Module):
    """Local scan features at places: attention to the nearest scan points by relative position."""

    def __init__(self, channels: int, neighbours: int) -> None:
        super().__init__()
        self.local = LocalAttention(neighbours, channels)

    def forward(
        self,
        places: Float[Tensor, "B *rest M 3"],
        points: Float[Tensor, "B *rest L 3"],
        present: Bool[Tensor, "B *rest L"],
    ) -> Float[Tensor, "B *rest M C"]:
        """Features [B, ..., M, C] that vanish where no scan point is near."""
        visible = torch.where(present[..., None], points, FAR).flatten(0, -3)
        flat = places.flatten(0, -3)
        nearest = distances(flat, visible).amin(dim=-1, keepdim=True)
        features = self.local(flat, visible) * torch.exp(-(nearest / SEEN_WITHIN).square())
        return features.unflatten(0, places.shape[:-2])


class VoxelConditioner(nn.Module):
    """Surface occupancy 32^3 through 3D convolutions to 8^3 = 512 tokens; the frames of a time token are channels."""

    def __init__(self, width: int, frames: int) -> None:
        super().__init__()
        self.first = nn.Conv3d(frames, 24, 3, stride=2, padding=1)
        self.second = nn.Conv3d(24, 48, 3, stride=2, padding=1)
        self.third = nn.Conv3d(48, width, 1)
        self.position = PointEmbedding(width)
        centres = (torch.arange(8) + 0.5) / 8 * BOX_SIDE - BOX_SIDE / 2
        grid = torch.stack(torch.meshgrid(centres, centres, centres, indexing="ij"), dim=-1).reshape(-1, 3)
        self.register_buffer("places", grid, persistent=False)

    def forward(self, voxels: Float[Tensor, "B frames 32 32 32"]) -> Float[Tensor, "B 512 C"]:
        features = F.silu(self.second(F.silu(self.first(voxels))))
        return self.third(features).flatten(2).transpose(1, 2) + self.position(self.get_buffer("places"))


def add_dense_conditioners(module: nn.Module, conditions: ConditionConfig, width: int, frames: int) -> tuple[str, ...]:
    """Add the configured conditioners of dense observations to a denoiser's module.

    Each encodes [B, frames, ...] to tokens [B, L, C] and is a submodule with the observation's name; returns the names.
    """
    found = {"voxels": VoxelConditioner(width, frames)} if conditions.voxels else {}
    for name, conditioner in found.items():
        module.add_module(name, conditioner)
    return tuple(found)


def with_tokens(tokens: ConditionTokens, more: Float[Tensor, "B T L C"]) -> ConditionTokens:
    """Append tokens to those of a condition."""
    seen = torch.ones(more.shape[:3], dtype=torch.bool, device=more.device)
    return ConditionTokens(
        torch.cat([tokens.tokens, more.to(tokens.tokens.dtype)], dim=2), torch.cat([tokens.visible, seen], dim=2)
    )


def by_time_token(frames: Float[Tensor, "B T *rest"], patch: int) -> Float[Tensor, "BT F *rest"]:
    """The rest frame and `patch` moving frames of each time token, folded into the batch."""
    rest, moving = frames[:, :1], frames[:, 1:]
    tokens = moving.shape[1] // patch
    groups = moving.unflatten(1, (tokens, patch))
    first = rest[:, None].expand(-1, tokens, *(-1,) * (rest.dim() - 1))
    return torch.cat([first, groups], dim=2).flatten(0, 1)
