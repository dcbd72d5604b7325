"""Classical answers to "where do the other points go", as further inputs of the motion denoiser.

Each is [B, T, M, 3], a displacement per anchor and moving frame from the handles' filled tracks. None is right
everywhere; which to believe where is easier to learn than the motion itself.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from core.shapes import Bool, Float

ITERATIONS = 10
MOMENTUM = 0.7  # with it ten iterations are as close to the truth as sixty without, on held-out clips
HOLD = 100.0  # weight of a handle's target, in units of the mean degree of the graph
NEWTON_STEPS = 5


def common_motion(known: Float[Tensor, "B T K 3"], present: Bool[Tensor, "B K"]) -> Float[Tensor, "B T 1 3"]:
    """The mean displacement of all handles."""
    count = present.sum(dim=1).clamp_min(1)[:, None, None, None]
    return known.sum(dim=2, keepdim=True) / count


def nearest_motion(known: Float[Tensor, "B T K 3"], affinity: Float[Tensor, "B M K"]) -> Float[Tensor, "B T M 3"]:
    """The displacement of the handles that an anchor hangs together with most closely."""
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
    """Local-global iterations on the neighbourhood graph (Sorkine and Alexa 2007), the handles being the last K points.

    `start` is the displacement to begin with. Returns the displacement of all points.
    """
    if not present.shape[1]:
        return start
    count = points.shape[1]
    held = torch.cat([torch.zeros_like(points[:, : count - present.shape[1], 0]), present.to(points.dtype)], dim=1)
    average = weight.sum(dim=-1).sum(dim=-1, keepdim=True) / count
    # The last term ties points without neighbours to where they start.
    system = RigidSystem.of(points, weight, HOLD * average * held + 1e-4 * average)
    targets = torch.cat([start[:, :, : count - present.shape[1]], known], dim=2).transpose(1, 2)
    rest = points[:, :, None]
    moved = ahead = rest + start.transpose(1, 2)
    for _ in range(ITERATIONS):
        before, moved = moved, system.step(ahead, rest + targets)
        ahead = moved + MOMENTUM * (moved - before)
    return (moved - rest).transpose(1, 2)


class RigidSystem(NamedTuple):
    """The factored linear system of as-rigid-as-possible steps on a graph; frames are columns, [B, P, T, 3].

    Products with the graph are then few and large.
    """

    rest: Tensor  # [B, P, 1, 3]
    near_rest: Tensor  # [B, P, 1, 3] weighted sum of each point's neighbours
    weight: Tensor  # [B, P, P]
    degree: Tensor  # [B, P]
    hold: Tensor  # [B, P] how hard each point is pulled to its target
    inverse: Tensor  # [B, P, P]

    @classmethod
    def of(
        cls, points: Float[Tensor, "B P 3"], weight: Float[Tensor, "B P P"], hold: Float[Tensor, "B P"]
    ) -> RigidSystem:
        degree = weight.sum(dim=-1)
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(torch.diag_embed(degree + hold) - weight))
        return cls(points[:, :, None], (weight @ points)[:, :, None], weight, degree, hold, inverse)

    def rotations(self, moved: Float[Tensor, "B P T 3"]) -> Float[Tensor, "B P T 3 3"]:
        """How each point's neighbourhood is turned (the local step)."""
        rest, degree = self.rest, self.degree[:, :, None, None]
        pairs = (moved[..., :, None] * rest[..., None, :]).flatten(-2)
        covariance = (
            (degree * pairs + self._spread(pairs)).unflatten(-1, (3, 3))
            - moved[..., :, None] * self.near_rest[..., None, :]
            - self._spread(moved)[..., :, None] * rest[..., None, :]
        )
        return polar_rotation(covariance)

    def step(self, moved: Float[Tensor, "B P T 3"], targets: Float[Tensor, "B P T 3"]) -> Float[Tensor, "B P T 3"]:
        """One local step (rotations from `moved`) and one global step."""
        rest, degree = self.rest, self.degree[:, :, None, None]
        rotation = self.rotations(moved)
        turn = lambda x: torch.einsum("bptij,bpj->bpti", rotation, x[:, :, 0])  # noqa: E731
        turned = turn(rest)  # R_i x_i
        mixed = self._spread(rotation.flatten(-2)).unflatten(-1, (3, 3))
        theirs = torch.einsum("bptij,bpj->bpti", mixed, rest[:, :, 0]) - self._spread(turned)
        right = 0.5 * (degree * turned - turn(self.near_rest) + theirs) + self.hold[:, :, None, None] * targets
        return (self.inverse @ right.flatten(2)).unflatten(2, (moved.shape[2], 3))

    def _spread(self, x: Tensor) -> Tensor:
        return (self.weight @ x.flatten(2)).unflatten(2, (x.shape[2], -1))


def polar_rotation(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
    """An approximate rotation factor by Newton's iteration X <- (X + X^-T) / 2, started near the identity's side."""
    # Entry by entry, each contiguous over all matrices: there are tens of thousands of tiny ones.
    entries = matrix.reshape(-1, 9).t().contiguous()
    entries = entries * (1.7 / entries.square().sum(dim=0).sqrt().clamp_min(1e-12))
    x = list(entries.unbind(0))
    flipped = _determinant(x, _cofactors(x)) <= 1e-3
    shift = torch.where(flipped, 2.0, 0.05)
    x = [entry + shift if number in (0, 4, 8) else entry for number, entry in enumerate(x)]
    for _ in range(NEWTON_STEPS):
        cofactors = _cofactors(x)
        determinant = _determinant(x, cofactors)
        half = 0.5 / torch.where(determinant.abs() < 1e-6, 1e-6, determinant)
        x = [torch.addcmul(0.5 * entry, cofactor, half) for entry, cofactor in zip(x, cofactors, strict=True)]
    return torch.stack(x, dim=-1).reshape(matrix.shape)


def _cofactors(x: list[Tensor]) -> list[Tensor]:
    a, b, c, d, e, f, g, h, i = x
    return [
        e * i - f * h, f * g - d * i, d * h - e * g,
        c * h - b * i, a * i - c * g, b * g - a * h,
        b * f - c * e, c * d - a * f, a * e - b * d,
    ]  # fmt: skip


def _determinant(x: list[Tensor], cofactors: list[Tensor]) -> Tensor:
    return x[0] * cofactors[0] + x[1] * cofactors[1] + x[2] * cofactors[2]
