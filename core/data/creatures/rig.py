"""Procedural rigs: tapered rounded boxes joined in a tree, and their poses over time.

In the rest pose every joint's axes are the world's: X to the creature's left, Y up, Z forward. A positive turn about X
tips the nose down and swings a leg backwards.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

PARTS = 30  # every rig is padded to this many parts


@dataclass
class CreatureRig:
    """`n` rigs, padded to J parts, so that kinds can be mixed.

    Part j is the set of points within `radius` of a box with half sides `half`, centre `centre` and the rows of `axes`
    as axes. Its cross-section shrinks by `taper` from the start to the end of the first axis.
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
class _Part:
    """One part as described by its maker; `RigBuilder.build` turns all of them into a `CreatureRig`."""

    start: Tensor  # [n, 3] one end of the first axis, or a box's centre
    end: Tensor  # [n, 3] the other end, or a box's full sides
    joint: Tensor  # [n, 3]
    radius: Tensor  # [n]
    end_radius: Tensor  # [n]
    tall: Tensor  # [n]
    wide: Tensor  # [n]


class RigBuilder:
    """Collects the parts of `count` rigs of one kind. Lengths are roughly in units of the creature's size.

    It runs for every batch, so it uses few small tensor operations.
    """

    def __init__(self, count: int, device: torch.device) -> None:
        self.count = count
        self.device = device
        self.names: list[str] = []
        self.parents: list[int] = []
        self._parts: list[_Part] = []
        self._boxes: list[bool] = []
        self._constants: dict[float, Tensor] = {}

    def number(self, value: Tensor | float) -> Tensor:
        """[n] float."""
        if isinstance(value, Tensor):
            return value
        if value not in self._constants:
            self._constants[value] = torch.full((self.count,), float(value), device=self.device)
        return self._constants[value]

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
        """Add a tapered capsule from `start` to `end` [n, 3], and return `end`; `tall` and `wide` stretch it."""
        first = self.number(radius)
        last = first if end_radius is None else self.number(end_radius)
        pivot = start if joint is None else joint
        self._add(name, parent, False, _Part(start, end, pivot, first, last, self.number(tall), self.number(wide)))
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
        """Add an axis-aligned box with full sides `size` [n, 3] and rounded edges."""
        soft, none = self.number(rounding), self.number(0.0)
        self._add(name, parent, True, _Part(centre, size, centre if joint is None else joint, soft, soft, none, none))

    def _add(self, name: str, parent: str | None, is_box: bool, part: _Part) -> None:
        self.parents.append(-1 if parent is None else self.names.index(parent))
        self.names.append(name)
        self._parts.append(part)
        self._boxes.append(is_box)

    def build(self, smooth: Tensor | float, rigid: bool = False) -> CreatureRig:
        """The padded rig; `smooth` is the width of the smooth union of its parts."""
        used = len(self.names)
        if used > PARTS:
            raise ValueError(f"A rig of {used} parts does not fit into {PARTS}.")
        columns = [torch.stack([getattr(part, f.name) for part in self._parts], 1) for f in fields(_Part)]
        start, end, joint, radius, end_radius, tall, wide = columns
        axes, half = _frames(start, end, tall, wide)
        centre = (start + end) / 2
        if any(self._boxes):
            is_box = torch.tensor(self._boxes, device=self.device)
            centre = torch.where(is_box[:, None], start, centre)
            radius = torch.where(is_box, torch.minimum(radius, end.amin(-1) * 0.45), radius)
            end_radius = torch.where(is_box, radius, end_radius)
            half = torch.where(is_box[:, None], end / 2 - radius[..., None], half)
            axes = torch.where(is_box[:, None, None], torch.eye(3, device=self.device), axes)
        empty = PARTS - used
        parents = torch.tensor(self.parents + [-1] * empty, device=self.device).expand(self.count, PARTS)
        valid = (torch.arange(PARTS, device=self.device) < used).expand(self.count, PARTS)
        # Padding needs orthonormal axes too, or its distances would be zero everywhere.
        frame = torch.eye(3, device=self.device).expand(self.count, empty, 3, 3)
        pad = torch.nn.functional.pad
        return CreatureRig(
            parents=parents,
            joint=pad(joint, (0, 0, 0, empty)),
            centre=pad(centre, (0, 0, 0, empty)),
            axes=torch.cat([axes, frame], 1),
            half=pad(half, (0, 0, 0, empty)),
            radius=pad(radius, (0, empty)),
            taper=pad(end_radius / radius, (0, empty)),
            valid=valid,
            smooth=self.number(smooth),
            rigid=torch.full((self.count,), rigid, device=self.device),
        )


def _frames(start: Tensor, end: Tensor, tall: Tensor, wide: Tensor) -> tuple[Tensor, Tensor]:
    """Axes [n, J, 3, 3] (along the limb, upwards, sideways) and half sides [n, J, 3] of limbs."""
    along = end - start
    length = along.norm(dim=-1).clamp(min=1e-4)
    first = along / length[..., None]
    basis = torch.eye(3, device=start.device)
    up = torch.where(first[..., 1:2].abs() > 0.9, basis[2], basis[1])
    third = torch.nn.functional.normalize(torch.linalg.cross(first, up), dim=-1)
    second = torch.linalg.cross(third, first)
    return torch.stack([first, second, third], -2), torch.stack([length / 2, tall, wide], -1)


class CreaturePose:
    """Joint turns [n, T, J, 3] (axis times angle, radians) and root motion of `n` clips, filled part by part."""

    def __init__(self, builder: RigBuilder, frames: int) -> None:
        self._index = {name: row for row, name in enumerate(builder.names)}
        shape = (builder.count, frames)
        self.turns = torch.zeros(*shape, PARTS, 3, device=builder.device)
        self.root = torch.zeros(*shape, 3, device=builder.device)
        self.heading = torch.zeros(*shape, device=builder.device)

    def turn(self, name: str, x: Tensor | float = 0.0, y: Tensor | float = 0.0, z: Tensor | float = 0.0) -> None:
        """Add a turn [n, T] (or broadcastable) about the axes to a joint."""
        joint = self.turns[:, :, self._index[name]]
        for axis, value in enumerate((x, y, z)):
            if isinstance(value, Tensor) or value != 0.0:
                joint[..., axis] += value

    def move(self, x: Tensor | float = 0.0, y: Tensor | float = 0.0, z: Tensor | float = 0.0) -> None:
        """Add a translation [n, T] to the root."""
        for axis, value in enumerate((x, y, z)):
            if isinstance(value, Tensor) or value != 0.0:
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
    """Rotations about Y [..., 3, 3]."""
    zero = torch.zeros_like(angle)
    return rotation_matrices(torch.stack([zero, angle, zero], -1))


def skinning_transforms(rig: CreatureRig, turns: Tensor, root: Tensor, heading: Tensor) -> tuple[Tensor, Tensor]:
    """Rotations [B, T, J, 3, 3] and translations [B, T, J, 3] that take the rest pose to each frame.

    The tree is composed by pointer doubling, so that clips with different trees share one batch: each round multiplies
    every joint by its current ancestor's transform and then doubles the distance to that ancestor.
    """
    batch, frames, count = turns.shape[:3]
    rotation = rotation_matrices(turns.transpose(1, 2))  # [B, J, T, 3, 3]: a joint's frames lie side by side
    # About its own pivot: x -> R (x - joint) + joint; all in rest coordinates, so composition needs no offsets.
    joint = rig.joint[:, :, None]
    translation = joint - (rotation @ joint[..., None])[..., 0]
    local = torch.cat([rotation, translation[..., None]], -1)
    identity = torch.eye(3, 4, device=turns.device).expand(batch, 1, frames, 3, 4)
    local = torch.cat([local, identity], 1).flatten(0, 1)  # [B (J + 1), T, 3, 4]
    ancestor = torch.nn.functional.pad(torch.where(rig.parents < 0, count, rig.parents), (0, 1), value=count)
    ancestor = (ancestor + torch.arange(batch, device=turns.device)[:, None] * (count + 1)).flatten()
    for _ in range(4):  # deep enough for chains of 16 parts
        above = local.index_select(0, ancestor)
        turned = above[..., :3] @ local
        local = torch.cat([turned[..., :3], turned[..., 3:] + above[..., 3:]], -1)
        ancestor = ancestor.index_select(0, ancestor)
    local = local.unflatten(0, (batch, count + 1))[:, :count]
    facing = yaw_matrices(heading)[:, None] @ local
    translation = facing[..., 3] + root[:, None]
    return facing[..., :3].transpose(1, 2), translation.transpose(1, 2)
