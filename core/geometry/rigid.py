"""Motion of a surface that does not stretch: rotations at the nodes of a graph, and the positions they imply.

As-rigid-as-possible deformation (Sorkine and Alexa 2007) in two halves that can be used apart: the local step finds
each node's rotation from positions, the global step, a Poisson solve, finds positions from rotations. With rotations
of another animal, the global step alone transfers a motion. Handles are met exactly, as constraints and not by a
penalty; soft targets hold the other nodes near where they are expected.

Everything is batched: `B` shapes, each with `P` nodes; the columns `T` are frames, or samples times frames.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import torch
from torch import Tensor

from core.geometry.rigid_edges import edge_covariances, turned_edges
from core.geometry.surroundings import DEPENDENT
from core.precision import distances
from core.shapes import Float

NEWTON_STEPS = 9
TOWARDS_IDENTITY = 1e-5  # added to a normalised covariance: picks the identity where it does not fix a rotation
SOFT = 0.01  # weight of soft targets, in units of the graph's mean degree
PULL = 0.2  # share of the `given` rotations in each step
STEPS = 8
REMEMBERED = 6  # earlier steps that Anderson acceleration extrapolates from


class RigidSurface(NamedTuple):
    """The factored system of one graph; frames are columns, [B, P, T, 3], so that products are few and large."""

    rest: Tensor  # [B, P, 3]
    weight: Tensor  # [B, P, P] symmetric edge weights, zero on the diagonal
    degree: Tensor  # [B, P]
    near_rest: Tensor  # [B, P, 3] weighted sum of each node's neighbours
    hold: Tensor  # [B, P] how hard each node is pulled to its target
    inverse: Tensor  # [B, P, P] of the Laplacian plus `hold`
    handles: Tensor  # [B, K, P] shares of the nodes that carry each handle
    offsets: Tensor  # [B, K, P, 3] from these nodes to the handle at rest, times their shares
    lift: Tensor  # [B, P, K] how the nodes move with a handle's residual
    together: Tensor | None = None  # [B, P, P] 1 between nodes that turn as one

    @classmethod
    def of(
        cls,
        rest: Float[Tensor, "B P 3"],
        weight: Float[Tensor, "B P P"],
        hold: Float[Tensor, "B P"] | float = SOFT,
        handles: Float[Tensor, "B K P"] | None = None,
        places: Float[Tensor, "B K 3"] | None = None,
    ) -> RigidSurface:
        """`hold` per node, or one number in units of the mean degree.

        A handle at `places` rides on the nodes by its shares in `handles`, as a vertex does, and is met exactly.
        """
        degree = weight.sum(dim=-1)
        if isinstance(hold, float):
            hold = (hold * degree.mean(dim=-1, keepdim=True)).expand_as(degree)
        system = (torch.diag_embed(degree + hold) - weight).double()
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(system))
        surface = cls(
            rest, weight, degree, weight @ rest, hold, inverse.to(rest.dtype), rest[:, :0, :1], rest[:, :0, :1], rest
        )
        if handles is None or places is None:
            handles, places = torch.zeros_like(weight[:, :0]), torch.zeros_like(rest[:, :0])
        return surface.with_handles(handles, places)

    @classmethod
    def floating(cls, rest: Float[Tensor, "B P 3"], weight: Float[Tensor, "B P P"]) -> RigidSurface:
        """A surface that nothing holds: its positions have mean zero, whatever the targets.

        The pseudo-inverse, in double precision: with a tiny hold instead, single precision loses a thousandth.
        """
        surface, exact = cls.of(rest, weight), weight.double()
        mean = torch.full_like(exact, 1.0 / rest.shape[1])
        inverse = torch.linalg.inv(torch.diag_embed(exact.sum(dim=-1)) - exact + mean) - mean
        return surface._replace(hold=torch.zeros_like(surface.hold), inverse=inverse.to(rest.dtype))

    def with_handles(self, handles: Float[Tensor, "B K P"], places: Float[Tensor, "B K 3"]) -> RigidSurface:
        """The same surface with other handles; the factored system is shared."""
        shares = handles.double()
        columns = self.inverse.double() @ shares.transpose(1, 2)
        among = shares @ columns
        count = among.shape[-1]
        if count:
            # A handle that hangs on nothing moves nothing: its row is zero, but may not make the system singular.
            size = among.diagonal(dim1=-2, dim2=-1).mean(dim=-1)[:, None, None].clamp_min(1e-9)
            among = among + size * dependence(shares)
            columns = torch.linalg.solve(among, columns, left=False)
        offsets = handles[..., None] * (places[:, :, None] - self.rest[:, None])
        return self._replace(handles=handles, offsets=offsets, lift=columns.to(self.rest.dtype))

    def rotations(self, moved: Float[Tensor, "B P T 3"]) -> Float[Tensor, "B P T 3 3"]:
        """Local step: how each node's neighbourhood is turned."""
        covariances = self.covariances(moved)
        if self.together is not None:
            covariances = (self.together @ covariances.flatten(2)).unflatten(2, covariances.shape[2:])
        return polar_rotation(covariances)

    def covariances(self, moved: Float[Tensor, "B P T 3"]) -> Float[Tensor, "B P T 3 3"]:
        """Weighted covariances of each node's edges, moved against rest."""
        return edge_covariances(moved, self.rest, self.near_rest, self.weight, self.degree)

    def positions(
        self,
        rotation: Float[Tensor, "B P T 3 3"],
        targets: Float[Tensor, "B P T 3"],
        handle_targets: Float[Tensor, "B K T 3"] | None = None,
    ) -> Float[Tensor, "B P T 3"]:
        """Global step: the positions whose edges best follow the given rotations, near `targets`, handles exact."""
        right = turned_edges(rotation, self.rest, self.near_rest, self.weight, self.degree)
        right = right + self.hold[:, :, None, None] * targets
        moved = (self.inverse @ right.flatten(2)).unflatten(2, right.shape[2:])
        return moved if handle_targets is None else self.meet(moved, rotation, handle_targets)

    def meet(
        self,
        moved: Float[Tensor, "B P T 3"],
        rotation: Float[Tensor, "B P T 3 3"],
        handle_targets: Float[Tensor, "B K T 3"],
    ) -> Float[Tensor, "B P T 3"]:
        """The constrained minimiser from the free one: exact, since constraints enter the system linearly."""
        if not self.handles.shape[1]:
            return moved
        residual = handle_targets - self.carried(moved, rotation)
        return moved + (self.lift @ residual.flatten(2)).unflatten(2, moved.shape[2:])

    def carried(
        self, moved: Float[Tensor, "B P T 3"], rotation: Float[Tensor, "B P T 3 3"]
    ) -> Float[Tensor, "B K T 3"]:
        """Where the nodes carry the handles."""
        turned = torch.einsum("bptij,bkpj->bkti", rotation, self.offsets)
        return (self.handles @ moved.flatten(2)).unflatten(2, moved.shape[2:]) + turned

    def settle(
        self,
        moved: Float[Tensor, "B P T 3"],
        targets: Float[Tensor, "B P T 3"],
        handle_targets: Float[Tensor, "B K T 3"] | None = None,
        given: Float[Tensor, "B P T 3 3"] | None = None,
        pull: Tensor | float = PULL,
        steps: int = STEPS,
        turned: tuple[Tensor, Float[Tensor, "B N T 3 3"]] | None = None,
    ) -> tuple[Float[Tensor, "B P T 3"], Float[Tensor, "B P T 3 3"]]:
        """As-rigid steps from `moved`, rotations pulled by `pull` (0 to 1) to `given` ones.

        `turned` are nodes [N] with rotations that they have whatever the rest does. Returns positions and the
        rotations they were solved with, under which the handles are met.
        """
        rotation = self.rotations(moved) if given is None else given
        for _ in range(steps):
            rotation = self.rotations(moved)
            if given is not None:
                rotation = polar_rotation(rotation + pull * (given - rotation))
            if turned is not None:
                rotation = rotation.index_copy(1, *turned)
            moved = self.positions(rotation, targets, handle_targets)
        return moved, rotation

    def converge(
        self,
        moved: Float[Tensor, "B P T 3"],
        targets: Float[Tensor, "B P T 3"],
        handle_targets: Float[Tensor, "B K T 3"],
        steps: int,
    ) -> tuple[Float[Tensor, "B P T 3"], Float[Tensor, "B P T 3 3"]]:
        """Like `settle` without given rotations, but each step is extrapolated from earlier ones (Anderson 1965).

        Large turns need hundreds of plain steps, but only tens of these (Peng et al. 2018).
        """
        results: list[Tensor] = []
        misfits: list[Tensor] = []
        for step in range(steps):
            rotation = self.rotations(moved)
            found = self.positions(rotation, targets, handle_targets)
            if step == steps - 1:
                break
            results.append(found)
            misfits.append(found - moved)
            results, misfits = results[-REMEMBERED:], misfits[-REMEMBERED:]
            moved = _extrapolated(results, misfits)
        return found, rotation

    def energy(self, moved: Float[Tensor, "B P T 3"], rotation: Float[Tensor, "B P T 3 3"]) -> Float[Tensor, "B T"]:
        """As-rigid energy: weighted squared differences of the edges from those at rest, turned by their nodes."""
        turned = (rotation * self.covariances(moved)).sum(dim=(-1, -2)).double().sum(dim=1)
        weight, degree = self.weight.double(), self.degree.double()[..., None]
        squares = []
        for places in (moved.double(), self.rest.double()[:, :, None]):
            spread = (weight @ places.flatten(2)).unflatten(2, places.shape[2:])
            squares.append((places * (degree[..., None] * places - spread)).sum(dim=(1, 3)))
        return 2 * (squares[0] + squares[1] - turned)

    def stretch(self, moved: Float[Tensor, "B P T 3"]) -> Float[Tensor, "B P T"]:
        """Mean relative change of length of each node's edges."""
        size = lambda x: distances(x, x)  # noqa: E731
        rest = size(self.rest).clamp_min(1e-9)
        frames = moved.transpose(1, 2).flatten(0, 1)
        change = (size(frames).unflatten(0, (len(moved), -1)) / rest[:, None] - 1).abs()
        share = self.weight / self.degree[..., None].clamp_min(1e-12)
        return (change * share[:, None]).sum(dim=-1).transpose(1, 2)


def _extrapolated(results: list[Tensor], misfits: list[Tensor]) -> Tensor:
    """The combination of results [B, P, T, 3] whose misfits, combined likewise, are least; every frame on its own."""
    if len(results) < 2:
        return results[-1]
    frames = lambda x: x.transpose(1, 2).flatten(2)  # noqa: E731
    last = frames(misfits[-1]).double()
    steps = torch.stack([frames(b - a) for a, b in itertools.pairwise(results)], dim=-1)
    changes = torch.stack([frames(b - a) for a, b in itertools.pairwise(misfits)], dim=-1).double()
    normal = changes.transpose(-1, -2) @ changes
    trace = normal.diagonal(dim1=-2, dim2=-1).sum(dim=-1)[..., None, None]
    normal = normal + (1e-8 * trace + 1e-18) * torch.eye(normal.shape[-1], dtype=normal.dtype, device=normal.device)
    amounts = torch.linalg.solve(normal, changes.transpose(-1, -2) @ last[..., None]).to(steps.dtype)
    moved = frames(results[-1]) - (steps @ amounts)[..., 0]
    return moved.unflatten(2, (results[-1].shape[1], 3)).transpose(1, 2)


def dependence(shares: Float[Tensor, "B K P"]) -> Float[Tensor, "B K K"]:
    """What to add to the system of handles, in units of its diagonal, where several ride on the same few nodes.

    Such handles cannot all be met: their shares of the nodes hardly differ, so nodes would have to move far away. What
    remains is shared among them; handles on nodes of their own are still met exactly.
    """
    unit = shares / shares.norm(dim=-1, keepdim=True).clamp_min(1e-9)
    squared, directions = torch.linalg.eigh(unit @ unit.transpose(1, 2))
    damping = (DEPENDENT**2 / squared.clamp_min(1e-9) - 1).clamp_min(0) + 1e-7
    return (directions * damping[:, None]) @ directions.transpose(1, 2)


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
