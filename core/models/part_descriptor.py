"""Part descriptor: a small network that gives corresponding surface points of different bodies similar descriptors.

Self-attention over the points of one shape gives each a unit vector (`descriptor`) in which the left fore hoof of a
horse lies near that of a dog, whatever their poses and proportions; the shape as a whole gets its heading and its up
axis. It learns from joint names and skin weights of rigs (see `core.training.parts_objective`).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from core.config import Config, PartsConfig
from core.models.layers import SelfAttentionLayer
from core.shapes import Float

OCTAVES = 3  # of the position embedding; finer ones would tell shapes apart, not parts
EXPANSION = 2  # hidden size of a feed-forward layer over its width
AROUND = 8  # headings tried for a surface


class DescribedParts(NamedTuple):
    """The network's output for surfaces turned to face +Z."""

    descriptor: Tensor  # [B, N, D] unit vectors
    heading: Tensor  # [B] angle about Y from +Z to where each surface faces, in (-pi, pi]


class Parts(NamedTuple):
    descriptor: Tensor  # [B, N, D] unit vectors
    logits: Tensor  # [B, N, C] of the named parts, sides apart
    frame: Tensor  # [B, 3, 3] rotation whose columns are the body's left, up and forward


class PartDescriptor(nn.Module):
    """Points and outward normals of a surface in normalised space to `Parts`."""

    def __init__(self, config: PartsConfig) -> None:
        super().__init__()
        width, channels = config.width, config.channels
        self.input = nn.Linear(6 + 6 * OCTAVES, width)
        self.blocks = nn.ModuleList(SelfAttentionLayer(width, config.head_dim, EXPANSION) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(width)
        self.to_descriptor = nn.Linear(width, channels)
        self.prototypes = nn.Parameter(torch.randn(config.classes, channels) / channels**0.5)
        self.to_frame = nn.Linear(width, 6)
        self.log_scale = nn.Parameter(torch.tensor(2.3))

    def forward(self, points: Float[Tensor, "B N 3"], normals: Float[Tensor, "B N 3"]) -> Parts:
        phases = torch.cat([points * (torch.pi * 2**octave) for octave in range(OCTAVES)], dim=-1)
        x = self.input(torch.cat([points, normals, phases.sin(), phases.cos()], dim=-1))
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        descriptor = nn.functional.normalize(self.to_descriptor(x), dim=-1)
        logits = self.logits(descriptor)
        up, forward = self.to_frame(x.mean(dim=1)).unflatten(-1, (2, 3)).unbind(dim=1)
        return Parts(descriptor, logits, body_frame(up, forward))

    def logits(self, descriptor: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch C"]:
        """Logits of the named parts for these descriptors."""
        return self.log_scale.exp() * descriptor @ nn.functional.normalize(self.prototypes, dim=-1).T


def describe_parts(
    network: PartDescriptor, points: Float[Tensor, "B N 3"], normals: Float[Tensor, "B N 3"]
) -> DescribedParts:
    """Describe surfaces of unknown heading.

    Several headings are tried, and the one kept in which the network is most certain of the parts. Each surface is then
    turned to face +Z, where parts are distinguished best, and described again.
    """
    batch, device = len(points), points.device
    angles = torch.arange(AROUND, device=device) * (2 * torch.pi / AROUND)
    turns = about_y(angles)
    views = [torch.einsum("bni,aij->abnj", x, turns).flatten(0, 1) for x in (points, normals)]
    seen = network(boxed(views[0]), views[1])
    chances = seen.logits.float().log_softmax(dim=-1)
    doubt = -(chances.exp() * chances).sum(dim=-1).mean(dim=-1).view(AROUND, batch)
    surest = doubt.argmin(dim=0)
    forward = seen.frame[:, :, 2].view(AROUND, batch, 3)[surest, torch.arange(batch, device=device)]
    heading = angles[surest] + torch.atan2(forward[:, 0], forward[:, 2])
    heading = torch.pi - (torch.pi - heading) % (2 * torch.pi)
    back = about_y(heading)
    faced = network(boxed(points @ back), normals @ back)
    return DescribedParts(faced.descriptor, heading)


def about_y(angle: Float[Tensor, " B"]) -> Float[Tensor, "B 3 3"]:
    """Rotations about Y that take +Z to the heading `angle`; `points @ rotation` turns points back to face +Z."""
    sine, cosine, zero, one = angle.sin(), angle.cos(), torch.zeros_like(angle), torch.ones_like(angle)
    rows = [(cosine, zero, sine), (zero, one, zero), (-sine, zero, cosine)]
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def boxed(points: Float[Tensor, "B N 3"]) -> Float[Tensor, "B N 3"]:
    """Points with each bounding box centred at 0 and scaled to a longest side of 1."""
    low, high = points.amin(dim=1, keepdim=True), points.amax(dim=1, keepdim=True)
    return (points - (low + high) / 2) / (high - low).amax(dim=-1, keepdim=True).clamp_min(1e-9)


def build_part_descriptor(config: Config) -> PartDescriptor:
    """A fresh network of the configuration's `parts`."""
    return PartDescriptor(config.parts)


def body_frame(up: Float[Tensor, "B 3"], forward: Float[Tensor, "B 3"]) -> Float[Tensor, "B 3 3"]:
    """The rotation with columns left, up and forward; forward is made orthogonal to up."""
    up = nn.functional.normalize(up, dim=-1, eps=1e-6)
    forward = forward - (forward * up).sum(dim=-1, keepdim=True) * up
    forward = nn.functional.normalize(forward, dim=-1, eps=1e-6)
    return torch.stack([torch.linalg.cross(up, forward), up, forward], dim=-1)
