"""Conditioners of observations other than handles: scans, voxel grids, images (paper 3.3).

Voxels and images become tokens beside the handles' tokens. Scans are looked up where they matter: around the place
where the warm start puts each anchor in each frame.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import ConfigError
from core.models.layers import PointEmbedding
from core.models.local_attention import LocalAttention
from core.models.point_normals import FAR
from core.sequence import BOX_SIDE
from core.shapes import Bool, Float

SEEN_WITHIN = 0.15  # distance of the nearest scan point at which a scan feature has faded to e^-1
IMAGE_SIDE = 64  # pixels an image is resized to
VOXELS = 32
FEATURES = 768  # channels of DINOv2 ViT-B/14


class ScanCondition(NamedTuple):
    """Observations of a batch in normalised space; frames are the moving frames 1..T-1, grids and images have all T."""

    points: Tensor | None = None  # [B, T, L, 3]
    present: Tensor | None = None  # [B, T, L] bool: False for padding
    voxels: Tensor | None = None  # [B, 1 + T, 32, 32, 32] in 0..1, index order x, y, z, in the box of side 1.1
    images: Tensor | None = None  # [B, 1 + T, H, W] grey in 0..1, or features [B, 1 + T, L, 768]

    def extended(self, frames: int) -> ScanCondition:
        """With the last frame repeated, unseen, up to so many moving frames."""

        def repeat(x: Tensor | None, extra: int) -> Tensor | None:
            return None if x is None or extra <= 0 else torch.cat([x, x[:, -1:].expand(-1, extra, *x.shape[2:])], dim=1)

        free = 0 if self.points is None else frames - self.points.shape[1]
        grids = [x for x in (self.voxels, self.images) if x is not None]
        more = 0 if not grids else frames + 1 - grids[0].shape[1]
        points, present = repeat(self.points, free), repeat(self.present, free)
        if present is not None:
            present[:, -free:] = False
        return ScanCondition(
            self.points if points is None else points,
            self.present if present is None else present,
            self.voxels if more <= 0 else repeat(self.voxels, more),
            self.images if more <= 0 else repeat(self.images, more),
        )


class ScanFeatures(nn.Module):
    """What a scan looks like around given places: attention to the nearest scan points by relative position."""

    def __init__(self, channels: int, neighbours: int) -> None:
        super().__init__()
        self.local = LocalAttention(neighbours, channels)

    def forward(
        self,
        places: Float[Tensor, "B *rest M 3"],
        points: Float[Tensor, "B *rest L 3"],
        present: Bool[Tensor, "B *rest L"],
    ) -> Float[Tensor, "B *rest M C"]:
        """Features that vanish where no scan point is near."""
        visible = torch.where(present[..., None], points, FAR).flatten(0, -3)
        flat = places.flatten(0, -3)
        nearest = torch.cdist(flat, visible).amin(dim=-1, keepdim=True)
        features = self.local(flat, visible) * torch.exp(-(nearest / SEEN_WITHIN).square())
        return features.unflatten(0, places.shape[:-2])


class VoxelConditioner(nn.Module):
    """Surface occupancy 32^3 through 3D convolutions to 8^3 = 512 tokens; the frames of one token are its channels."""

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


class ImageConditioner(nn.Module):
    """Grey images through a small patch encoder to 8^2 = 64 tokens; the frames of one token are its channels."""

    def __init__(self, width: int, frames: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(frames, 64, 4, stride=4)
        self.second = nn.Conv2d(64, width, 3, stride=2, padding=1)
        self.position = nn.Parameter(torch.zeros(64, width))
        nn.init.normal_(self.position, std=0.02)

    def forward(self, images: Float[Tensor, "B frames H W"]) -> Float[Tensor, "B 64 C"]:
        if images.shape[-1] != IMAGE_SIDE or images.shape[-2] != IMAGE_SIDE:
            images = F.interpolate(images, (IMAGE_SIDE, IMAGE_SIDE), mode="bilinear", antialias=True)
        features = self.second(F.silu(self.first(images - 0.5)))
        return features.flatten(2).transpose(1, 2) + self.position


class FeatureConditioner(nn.Module):
    """Features of a pretrained image model, [B, frames, L, 768], to L tokens: mean and change over a token's frames."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mean = nn.Linear(FEATURES, width)
        self.change = nn.Linear(FEATURES, width, bias=False)

    def forward(self, features: Float[Tensor, "B frames L D"]) -> Float[Tensor, "B L C"]:
        return self.mean(features.mean(dim=1)) + self.change(features[:, -1] - features[:, 0])


def image_conditioner(kind: str, width: int, frames: int) -> ImageConditioner | FeatureConditioner | None:
    """The conditioner of `conditions.images`."""
    if kind == "none":
        return None
    if kind == "dinov2":
        return FeatureConditioner(width)
    if kind == "patches":
        return ImageConditioner(width, frames)
    raise ConfigError(f"conditions.images is {kind!r}; choose none, patches or dinov2.")


def by_time_token(frames: Float[Tensor, "B T *rest"], patch: int) -> Float[Tensor, "BT F *rest"]:
    """The rest frame and `patch` moving frames for each time token, folded into the batch."""
    rest, moving = frames[:, :1], frames[:, 1:]
    tokens = moving.shape[1] // patch
    groups = moving.unflatten(1, (tokens, patch))
    first = rest[:, None].expand(-1, tokens, *(-1,) * (rest.dim() - 1))
    return torch.cat([first, groups], dim=2).flatten(0, 1)
