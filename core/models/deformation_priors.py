"""Classical deformations from handles, as additional inputs of the motion denoiser.

Each is a displacement [B, T, M, 3] per anchor and moving frame, from the handles' filled tracks. None is right
everywhere, but learning which one to trust where is easier than learning the motion itself.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from core.geometry.rigid import polar_rotation
from core.geometry.rigid_edges import edge_covariances, turned_edges
from core.shapes import Bool, Float

ITERATIONS = 16
MOMENTUM = 0.7  # of the iterations; on unseen motions, ten with 0.8 are nearly as good as twenty with 0.5
HOLD = 100.0  # weight of a handle's target, in units of the mean degree of the graph


def common_motion(known: Float[Tensor, "B T K 3"], present: Bool[Tensor, "B K"]) -> Float[Tensor, "B T 1 3"]:
    """The mean displacement of all handles."""
    count = present.sum(dim=1).clamp_min(1)[:, None, None, None]
    return known.sum(dim=2, keepdim=True) / count


def nearest_motion(known: Float[Tensor, "B T K 3"], affinity: Float[Tensor, "B M K"]) -> Float[Tensor, "B T M 3"]:
    """The displacement of the handles most correlated with an anchor."""
    sharp = affinity.clamp_min(0.0) ** 8
    share = sharp / sharp.sum(dim=-1, keepdim=True).clamp_min(1e-9)
    return torch.einsum("bmk,btkd->btmd", share, known)


def as_rigid_as_possible(
    points: Float[Tensor, "B P 3"],
    weight: Float[Tensor, "B P P"],
    start: Float[Tensor, "B T P 3"],
    known: Float[Tensor, "B T K 3"],
    present: Bool[Tensor, "B K"],
) -> Float[Tensor, "B T P 3"]:
    """Local-global iterations on the neighbourhood graph (Sorkine and Alexa 2007); the last K points are the handles.

    They begin with the displacement `start`. Returns the displacement of all points.
    """
    if not present.shape[1]:
        return start
    count = points.shape[1]
    held = torch.cat([torch.zeros_like(points[:, : count - present.shape[1], 0]), present.to(points.dtype)], dim=1)
    average = weight.sum(dim=-1).sum(dim=-1, keepdim=True) / count
    # The last term holds points without neighbours at their start.
    system = ArapSystem.of(points, weight, HOLD * average * held + 1e-4 * average)
    targets = torch.cat([start[:, :, : count - present.shape[1]], known], dim=2).transpose(1, 2)
    rest = points[:, :, None]
    moved = ahead = rest + start.transpose(1, 2)
    for _ in range(ITERATIONS):
        before, moved = moved, system.step(ahead, rest + targets)
        ahead = moved + MOMENTUM * (moved - before)
    return (moved - rest).transpose(1, 2)


class ArapSystem(NamedTuple):
    """The factored linear system of as-rigid-as-possible steps on a graph; frames are columns, [B, P, T, 3].

    Products with the graph are then few and large.
    """

    rest: Tensor  # [B, P, 3]
    near_rest: Tensor  # [B, P, 3] weighted sum of each point's neighbours
    weight: Tensor  # [B, P, P]
    degree: Tensor  # [B, P]
    hold: Tensor  # [B, P] weight of each point's target
    inverse: Tensor  # [B, P, P]

    @classmethod
    def of(
        cls, points: Float[Tensor, "B P 3"], weight: Float[Tensor, "B P P"], hold: Float[Tensor, "B P"]
    ) -> ArapSystem:
        degree = weight.sum(dim=-1)
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(torch.diag_embed(degree + hold) - weight))
        return cls(points, weight @ points, weight, degree, hold, inverse)

    def step(self, moved: Float[Tensor, "B P T 3"], targets: Float[Tensor, "B P T 3"]) -> Float[Tensor, "B P T 3"]:
        """One local step (rotations from `moved`) and one global step."""
        return rigid_step(self, moved, targets)

    def as_written(self, moved: Tensor, targets: Tensor) -> Tensor:
        """The step itself, uncompiled; `rigid_step` may be a compiled version of it."""
        graph = self.rest, self.near_rest, self.weight, self.degree
        rotation = polar_rotation(edge_covariances(moved, *graph))
        right = turned_edges(rotation, *graph) + self.hold[:, :, None, None] * targets
        return (self.inverse @ right.flatten(2)).unflatten(2, (moved.shape[2], 3))


class RigidStep(nn.Module):
    """A step as a module, so that training can compile it in place: hundreds of products become a few loops."""

    def forward(self, system: ArapSystem, moved: Tensor, targets: Tensor) -> Tensor:
        return system.as_written(moved, targets)


rigid_step = RigidStep()
