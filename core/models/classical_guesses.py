"""Classical answers to "where do the other points go", as further inputs of the motion denoiser.

Each is [B, T, M, 3], a displacement per anchor and moving frame from the handles' filled tracks. None is right
everywhere; which to believe where is easier to learn than the motion itself.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from core.shapes import Bool, Float

ITERATIONS = 16
MOMENTUM = 0.7  # on unseen motions ten iterations with 0.8 came nearly as close to the truth as twenty with 0.5
HOLD = 100.0  # weight of a handle's target, in units of the mean degree of the graph
NEWTON_STEPS = 9
TOWARDS_IDENTITY = 1e-5  # added to a neighbourhood's normalised covariance: decides where it leaves a rotation open


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
        return rigid_step(self, moved, targets)

    def as_written(self, moved: Tensor, targets: Tensor) -> Tensor:
        """The step itself, which `rigid_step` may have compiled."""
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


class RigidStep(nn.Module):
    """A step as a module, which a long training can compile in place: hundreds of products become a few loops."""

    def forward(self, system: RigidSystem, moved: Tensor, targets: Tensor) -> Tensor:
        return system.as_written(moved, targets)


rigid_step = RigidStep()


def polar_rotation(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
    """The proper rotation R that maximises tr(R^T matrix), exact for flat neighbourhoods too (Horn 1987).

    It is the quaternion of the largest eigenvalue of a symmetric 4 x 4 matrix. That root of the characteristic
    polynomial is found by Newton's iteration from above (Theobald 2005), its eigenvector is a column of the adjugate.
    """
    # Entry by entry, each contiguous over all matrices: there are tens of thousands of tiny ones.
    entries = matrix.reshape(-1, 9).t().contiguous()
    entries = entries / entries.square().sum(dim=0).sqrt().clamp_min(1e-12)
    xx, yx, zx, xy, yy, zy, xz, yz, zz = entries.unbind(0)
    xx, yy, zz = xx + TOWARDS_IDENTITY, yy + TOWARDS_IDENTITY, zz + TOWARDS_IDENTITY
    upper = [
        [xx + yy + zz, yz - zy, zx - xz, xy - yx],
        [xx - yy - zz, xy + yx, zx + xz],
        [yy - xx - zz, yz + zy],
        [zz - xx - yy],
    ]
    rows = [[upper[min(i, j)][abs(i - j)] for j in range(4)] for i in range(4)]
    quadratic = -2 * sum(value.square() for value in (xx, xy, xz, yx, yy, yz, zx, zy, zz))
    linear = -8 * (xx * (yy * zz - yz * zy) - xy * (yx * zz - yz * zx) + xz * (yx * zy - yy * zx))
    first, second = _minors(rows[0], rows[1]), _minors(rows[2], rows[3])
    constant = sum(sign * first[pair] * second[other] for pair, other, sign in _COMPLEMENTS)
    root = torch.full_like(xx, math.sqrt(3) + 3 * TOWARDS_IDENTITY)  # no less than the sum of the singular values
    for _ in range(NEWTON_STEPS):
        inner = (root.square() + quadratic) * root
        slope = 2 * root.square() * root + 2 * inner + linear
        root = root - ((inner + linear) * root + constant) / slope.clamp_min(1e-9)
    quaternion = _largest_adjugate_column(
        [[value - root if i == j else value for j, value in enumerate(row)] for i, row in enumerate(rows)]
    )
    w, x, y, z = quaternion
    s = 2 / (w * w + x * x + y * y + z * z).clamp_min(1e-30)
    return torch.stack(
        [
            1 - s * (y * y + z * z), s * (x * y - w * z), s * (x * z + w * y),
            s * (x * y + w * z), 1 - s * (x * x + z * z), s * (y * z - w * x),
            s * (x * z - w * y), s * (y * z + w * x), 1 - s * (x * x + y * y),
        ],
        dim=-1,
    ).reshape(matrix.shape)  # fmt: skip


Row = list[Tensor]
# Pairs of columns of a 4 x 4 determinant with their complements and signs (Laplace's expansion by two rows).
_COMPLEMENTS = (
    ((0, 1), (2, 3), 1), ((0, 2), (1, 3), -1), ((0, 3), (1, 2), 1),
    ((1, 2), (0, 3), 1), ((1, 3), (0, 2), -1), ((2, 3), (0, 1), 1),
)  # fmt: skip


def _minors(a: Row, b: Row) -> dict[tuple[int, int], Tensor]:
    return {(i, j): a[i] * b[j] - a[j] * b[i] for i in range(4) for j in range(i + 1, 4)}


def _largest_adjugate_column(rows: list[Row]) -> Row:
    """The column of a symmetric 4 x 4 matrix's adjugate with the largest diagonal entry, matrix by matrix."""
    upper, lower = _minors(rows[0], rows[1]), _minors(rows[2], rows[3])
    best: Row = []
    for number in range(4):
        other, pairs = rows[number ^ 1], lower if number < 2 else upper
        sign = 1.0 if number % 2 == 0 else -1.0
        column = []
        for skipped in range(4):
            i, j, k = (index for index in range(4) if index != skipped)
            cofactor = other[i] * pairs[j, k] - other[j] * pairs[i, k] + other[k] * pairs[i, j]
            column.append(sign * cofactor if skipped % 2 == 0 else -sign * cofactor)
        if number == 0:
            best, size = column, column[0].abs()
            continue
        better = column[number].abs() > size
        size = torch.maximum(size, column[number].abs())
        best = [torch.where(better, new, old) for new, old in zip(column, best, strict=True)]
    return best
