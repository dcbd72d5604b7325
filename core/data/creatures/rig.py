"""Rigs: parts joined in a tree, each part one tapered rounded box, and their poses over time.

In the rest pose every joint frame is aligned with the world: X to the creature's left, Y up, Z forward. A
positive turn about X tips the nose down and swings a leg backwards.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

PARTS = 30  # every rig is padded to this many parts


@dataclass
class Rig:
    """`n` rigs of one kind, or of mixed kinds once padded to J parts.

    Part j is the set of points within `radius` of a box of half sides `half`, centred at `centre`, whose axes are
    the rows of `axes`; its cross-section shrinks by `taper` from the start to the end of the first axis.
    """

    parents: Tensor  # [n, J] int64, -1 for the root
    joint: Tensor  # [n, J, 3] the pivot of each part in the rest pose
    centre: Tensor  # [n, J, 3]
    axes: Tensor  # [n, J, 3, 3]
    half: Tensor  # [n, J, 3]
    radius: Tensor  # [n, J]
    taper: Tensor  # [n, J]
    valid: Tensor  # [n, J] bool
    smooth: Tensor  # [n] width of the smooth union
    rigid: Tensor  # [n] bool: no blending of the skinning weights between parts


@dataclass
class RigBuilder:
    """Collects the parts of `count` rigs of one kind. Lengths are roughly in units of the creature's size."""

    count: int
    device: torch.device
    names: list[str] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    rows: list[tuple[Tensor, ...]] = field(default_factory=list)

    def number(self, value: Tensor | float) -> Tensor:
        """[n] float."""
        if isinstance(value, Tensor):
            return value.expand(self.count)
        return torch.full((self.count,), float(value), device=self.device)

    def vector(self, x: Tensor | float, y: Tensor | float, z: Tensor | float) -> Tensor:
        """[n, 3]."""
        return torch.stack([self.number(x), self.number(y), self.number(z)], -1)

    def limb(
        self,
        name: str,
        parent: str | None,
        start: Tensor,
        end: Tensor,
        radius: Tensor | float,
        end_radius: Tensor | float | None = None,
        tall: Tensor | float = 0.0,
        wide: Tensor | float = 0.0,
        joint: Tensor | None = None,
    ) -> Tensor:
        """A tapered capsule from `start` to `end` [n, 3]; `tall` and `wide` stretch its cross-section. Gives `end`."""
        along = end - start
        length = along.norm(dim=-1, keepdim=True).clamp(min=1e-4)
        first = along / length
        up = torch.where(first[:, 1:2].abs() > 0.9, self.vector(0, 0, 1.0), self.vector(0, 1.0, 0))
        third = torch.nn.functional.normalize(torch.linalg.cross(first, up), dim=-1)
        second = torch.linalg.cross(third, first)
        radius = self.number(radius)
        taper = self.number(1.0) if end_radius is None else self.number(end_radius) / radius
        half = torch.stack([length[:, 0] / 2, self.number(tall), self.number(wide)], -1)
        axes = torch.stack([first, second, third], 1)
        self._add(name, parent, start if joint is None else joint, (start + end) / 2, axes, half, radius, taper)
        return end

    def box(
        self,
        name: str,
        parent: str | None,
        centre: Tensor,
        size: Tensor,
        joint: Tensor | None = None,
        rounding: float = 0.006,
    ) -> None:
        """An axis-aligned box of full sides `size` [n, 3] with rounded edges."""
        rounding_of = torch.minimum(self.number(rounding), size.amin(-1) * 0.45)
        half = size / 2 - rounding_of[:, None]
        axes = torch.eye(3, device=self.device).expand(self.count, 3, 3)
        one = self.number(1.0)
        self._add(name, parent, centre if joint is None else joint, centre, axes, half, rounding_of, one)

    def _add(self, name: str, parent: str | None, *row: Tensor) -> None:
        self.parents.append(-1 if parent is None else self.names.index(parent))
        self.names.append(name)
        self.rows.append(row)

    def build(self, smooth: Tensor | float, rigid: bool = False) -> Rig:
        """The padded rig; `smooth` is the width of the smooth union of its parts."""
        used = len(self.names)
        if used > PARTS:
            raise ValueError(f"A rig of {used} parts does not fit into {PARTS}.")
        stacked = []
        for column in zip(*self.rows, strict=True):
            value = torch.stack([part.expand(self.count, *part.shape[1:]) for part in column], 1)
            padding = value.new_zeros(self.count, PARTS - used, *value.shape[2:])
            if value.dim() == 4:  # the axes: padding needs a frame too, or its distances would be zero everywhere
                padding = padding + torch.eye(3, device=self.device)
            stacked.append(torch.cat([value, padding], 1))
        parents = torch.tensor(self.parents + [-1] * (PARTS - used), device=self.device).expand(self.count, PARTS)
        valid = (torch.arange(PARTS, device=self.device) < used).expand(self.count, PARTS)
        rigid_of = torch.full((self.count,), rigid, device=self.device)
        return Rig(parents, *stacked, valid, self.number(smooth), rigid_of)


class Pose:
    """Joint turns [n, T, J, 3] (axis times angle, radians) and root motion of `n` clips, filled part by part."""

    def __init__(self, builder: RigBuilder, frames: int) -> None:
        self._index = {name: row for row, name in enumerate(builder.names)}
        shape = (builder.count, frames)
        self.turns = torch.zeros(*shape, PARTS, 3, device=builder.device)
        self.root = torch.zeros(*shape, 3, device=builder.device)
        self.heading = torch.zeros(*shape, device=builder.device)

    def turn(self, name: str, x: Tensor | float = 0.0, y: Tensor | float = 0.0, z: Tensor | float = 0.0) -> None:
        """Adds a turn [n, T] (or broadcastable) about the axes to a joint."""
        joint = self.turns[:, :, self._index[name]]
        for axis, value in enumerate((x, y, z)):
            joint[..., axis] += value

    def move(self, x: Tensor | float = 0.0, y: Tensor | float = 0.0, z: Tensor | float = 0.0) -> None:
        """Adds a translation [n, T] to the root."""
        for axis, value in enumerate((x, y, z)):
            self.root[..., axis] += value


def rotation_matrices(turns: Tensor) -> Tensor:
    """Rotation matrices [..., 3, 3] of axis-times-angle vectors [..., 3] (Rodrigues)."""
    angle = turns.norm(dim=-1).clamp(min=1e-8)
    x, y, z = (turns / angle[..., None]).unbind(-1)
    sine, cosine = angle.sin(), angle.cos()
    rest = 1 - cosine
    rows = [
        cosine + x * x * rest, x * y * rest - z * sine, x * z * rest + y * sine,
        y * x * rest + z * sine, cosine + y * y * rest, y * z * rest - x * sine,
        z * x * rest - y * sine, z * y * rest + x * sine, cosine + z * z * rest,
    ]  # fmt: skip
    return torch.stack(rows, -1).unflatten(-1, (3, 3))


def yaw_matrices(angle: Tensor) -> Tensor:
    """Turns about Y [..., 3, 3]."""
    zero = torch.zeros_like(angle)
    return rotation_matrices(torch.stack([zero, angle, zero], -1))


def skinning_transforms(rig: Rig, turns: Tensor, root: Tensor, heading: Tensor) -> tuple[Tensor, Tensor]:
    """Rotations [B, T, J, 3, 3] and translations [B, T, J, 3] that take the rest pose to each frame.

    The tree is composed by pointer doubling: each round multiplies every joint by its current ancestor's transform
    and then looks twice as far up, so that clips with different trees share one batch.
    """
    batch, frames, count = turns.shape[:3]
    rotation = rotation_matrices(turns)
    # About its own pivot: x -> R (x - joint) + joint; all in rest coordinates, so composition needs no offsets.
    joint = rig.joint[:, None]
    translation = joint - (rotation @ joint[..., None])[..., 0]
    identity = torch.eye(3, device=turns.device).expand(batch, frames, 1, 3, 3)
    rotation = torch.cat([rotation, identity], 2)
    translation = torch.cat([translation, translation.new_zeros(batch, frames, 1, 3)], 2)
    ancestor = torch.where(rig.parents < 0, count, rig.parents)
    ancestor = torch.cat([ancestor, ancestor.new_full((batch, 1), count)], 1)
    rows = torch.arange(batch, device=turns.device)[:, None]
    for _ in range(4):  # deep enough for chains of 16 parts
        above_rotation = rotation.transpose(1, 2)[rows, ancestor].transpose(1, 2)
        above_translation = translation.transpose(1, 2)[rows, ancestor].transpose(1, 2)
        translation = (above_rotation @ translation[..., None])[..., 0] + above_translation
        rotation = above_rotation @ rotation
        ancestor = ancestor.gather(1, ancestor)
    facing = yaw_matrices(heading)[:, :, None]
    rotation = facing @ rotation[:, :, :count]
    translation = (facing @ translation[:, :, :count, :, None])[..., 0] + root[:, :, None]
    return rotation, translation
