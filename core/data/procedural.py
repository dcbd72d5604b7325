"""Procedural training data: batches of tracked clips of creatures and articulated objects, made on any device.

An identity seed fixes kind, proportions and rest pose, a motion seed the motion; a seed gives the same clip in any
batch. In frame 0 the surface is the smooth union of the posed parts, an exact implicit function. Later frames follow
by linear blend skinning.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from core.data.clips import ClipBatch, ClipRequest, ClipSource, uniform
from core.data.creatures import appliances, biped, legged, rig_surface, swimmers
from core.data.creatures.rig import CreaturePose, CreatureRig, skinning_transforms
from core.data.creatures.seeds import SeededDraw, uniforms
from core.errors import DataError
from core.sequence import BOX_SIDE, MeshSequence

Maker = Callable[[SeededDraw, SeededDraw, int], tuple[CreatureRig, CreaturePose]]

# Kind: its maker and its share of the mix. The position in this table is the clip's `category`.
KINDS: dict[str, tuple[Maker, float]] = {
    "quadruped": (legged.quadruped, 0.26),
    "biped": (biped.biped, 0.24),
    "bird": (swimmers.bird, 0.08),
    "fish": (swimmers.fish, 0.06),
    "snake": (swimmers.snake, 0.04),
    "spider": (legged.spider, 0.07),
    "laptop": (appliances.laptop, 0.035),
    "door": (appliances.door, 0.035),
    "stapler": (appliances.stapler, 0.035),
    "eyeglasses": (appliances.eyeglasses, 0.035),
    "washing_machine": (appliances.washing_machine, 0.035),
    "refrigerator": (appliances.refrigerator, 0.035),
    "oven": (appliances.oven, 0.035),
}

# Seeds below HELD_OUT are for training; those from HELD_OUT to 2 HELD_OUT never occur there.
HELD_OUT = 1 << 24
_FRAME_RATES = [12.0, 16.0, 24.0, 24.0, 30.0]
_IDENTITY, _MOTION, _KIND = 11, 23, 37  # salts of the hash


@dataclass
class _Posed:
    """B posed clips, in the builder's units."""

    rig: CreatureRig
    rotation: Tensor  # [B, T, J, 3, 3] from the rest pose
    translation: Tensor  # [B, T, J, 3]
    table: Tensor  # [17, B, J] the parts in frame 0
    category: Tensor  # [B]
    fps: Tensor  # [B]

    def skinning(self) -> Tensor:
        """Transforms from frame 0 to every frame [B, J, T, 12], rows of 3x4 matrices."""
        back = self.rotation[:, :1].transpose(-1, -2)
        rotation = self.rotation @ back
        translation = self.translation - (rotation @ self.translation[:, :1, ..., None])[..., 0]
        return torch.cat([rotation, translation[..., None]], -1).flatten(-2).transpose(1, 2)


class ProceduralSource(ClipSource):
    """A `ClipSource` without files. `kinds` restricts the mix (names of `KINDS`)."""

    def __init__(self, device: str | torch.device = "cpu", kinds: Sequence[str] | None = None) -> None:
        unknown = [kind for kind in kinds or () if kind not in KINDS]
        if unknown or (kinds is not None and not kinds):
            raise DataError(f"The kinds {unknown} do not exist; choose from {', '.join(KINDS)}.")
        self.device = torch.device(device)
        self.kinds = tuple(KINDS) if kinds is None else tuple(kinds)
        shares = torch.tensor([KINDS[kind][1] for kind in self.kinds])
        self._cumulative = (shares / shares.sum()).cumsum(0).to(self.device)

    def draw(self, request: ClipRequest, generator: torch.Generator) -> ClipBatch:
        identity, motion = self.draw_seeds(request.batch, generator, request.split)
        return self.clips(identity, motion, request.frames, request.points, generator, request.queries)

    def draw_seeds(self, batch: int, generator: torch.Generator, split: str) -> tuple[Tensor, Tensor]:
        """Identity and motion seeds [B] of a split."""
        seeds = torch.randint(HELD_OUT, (2, batch), generator=generator, device=generator.device).to(self.device)
        return seeds[0] + HELD_OUT * (split == "unseen_identity"), seeds[1] + HELD_OUT * (split != "train")

    @torch.no_grad()
    def clips(
        self,
        identity: Tensor,
        motion: Tensor,
        frames: int,
        points: int,
        generator: torch.Generator,
        occupancy_queries: int = 0,
        kind: str | None = None,
    ) -> ClipBatch:
        """The clips of given seeds [B]; the generator only chooses which surface points and queries are drawn."""
        posed = self._pose(identity, motion, frames, kind)
        batch = len(identity)
        draws = uniform(generator, self.device, 9, batch, max(2 * points + 64, 1024))
        found = rig_surface.sample_surface(posed.rig, posed.table, points, draws)
        centre, scale = (found.lower + found.upper) / 2, 1 / (found.upper - found.lower).amax(-1)
        transforms = (found.weights @ posed.skinning().flatten(2)).unflatten(-1, (frames, 3, 4))
        moved = (transforms[..., :3] @ found.points[:, :, None, :, None])[..., 0] + transforms[..., 3]
        moved = (moved.transpose(1, 2) - centre[:, None, None]) * scale[:, None, None, None]
        clips = ClipBatch(moved, found.normals, posed.fps, posed.category)
        if occupancy_queries:
            anywhere = (uniform(generator, self.device, batch, occupancy_queries // 2, 3) - 0.5) * BOX_SIDE
            rest = occupancy_queries - anywhere.shape[1]
            row = (uniform(generator, self.device, batch, rest) * points).long().clamp(max=points - 1)
            near = moved[:, 0].gather(1, row[..., None].expand(-1, -1, 3))
            sigma = torch.where(uniform(generator, self.device, batch, rest, 1) < 0.5, 0.01, 0.04)
            noise = torch.randn(batch, rest, 3, generator=generator, device=generator.device).to(self.device)
            queries = torch.cat([anywhere, near + sigma * noise], 1)
            raw = queries / scale[:, None, None] + centre[:, None]
            clips.occupancy_points = queries
            clips.occupancy = (_union(posed, raw) < 0).float()
        return clips

    @torch.no_grad()
    def mesh_sequence(
        self, identity_seed: int, motion_seed: int, frames: int = 17, resolution: int = 128, kind: str | None = None
    ) -> MeshSequence:
        """One clip as a moving watertight mesh, in normalised space (frame 0's box: centre 0, longest side 1).

        `resolution` is the number of grid cells along the longest side. `kind` overrides the seed's own kind.
        Needs scikit-image. Raises DataError for an unknown kind and impossible numbers.
        """
        from skimage.measure import marching_cubes

        if kind is not None and kind not in KINDS:
            raise DataError(f"Unknown kind {kind!r}; choose from {', '.join(KINDS)}.")
        if frames < 1 or resolution < 8:
            raise DataError("A mesh sequence needs at least one frame and a resolution of 8.")
        identity, motion = (torch.tensor([seed], device=self.device) for seed in (identity_seed, motion_seed))
        posed = self._pose(identity, motion, frames, kind)
        generator = torch.Generator().manual_seed(0)
        draws = torch.rand(9, 1, 4096, generator=generator).to(self.device)
        rough = rig_surface.sample_surface(posed.rig, posed.table, 1024, draws)
        # The margin keeps the surface off the grid's border, so that the mesh is closed.
        lower, upper = rough.lower[0], rough.upper[0]
        margin = 0.04 * (upper - lower).amax()
        lower, upper = lower - margin, upper + margin
        step = float((upper - lower).amax()) / resolution
        xs, ys, zs = (
            torch.arange(int((high - low) / step) + 2, device=self.device) * step + low
            for low, high in zip(lower.tolist(), upper.tolist(), strict=True)
        )
        plane = torch.stack(torch.meshgrid(ys, zs, indexing="ij"), -1).view(1, -1, 2)
        layers = [
            _union(posed, torch.cat([x.expand(1, plane.shape[1], 1), plane], -1)).view(len(ys), len(zs)) for x in xs
        ]
        vertices, faces, _, _ = marching_cubes(torch.stack(layers).cpu().numpy(), 0.0)
        at = torch.from_numpy(vertices.copy()).to(self.device, torch.float32) * step + lower
        weights = rig_surface.dense_weights(posed.rig, posed.table, at)
        transforms = (weights @ posed.skinning()[0].flatten(1)).unflatten(-1, (frames, 3, 4))
        moved = ((transforms[..., :3] @ at[:, None, :, None])[..., 0] + transforms[..., 3]).transpose(0, 1)
        low, high = at.amin(0), at.amax(0)
        moved = (moved - (low + high) / 2) / (high - low).amax()
        name = list(KINDS)[int(posed.category[0])]
        return MeshSequence(moved.cpu().numpy(), faces.astype("int32"), fps=float(posed.fps[0]), name=name)

    def _pose(self, identity: Tensor, motion: Tensor, frames: int, kind: str | None = None) -> _Posed:
        """Build the rigs kind by kind, restore the order of the seeds and compute the transforms."""
        identity, motion = identity.to(self.device), motion.to(self.device)
        shape = uniforms(identity * 8191, _IDENTITY)
        # The motion's randomness is independent of the identity, so that several identities can share one motion.
        act = uniforms(motion * 8191, _MOTION)
        choice = uniforms(identity * 8191, _KIND, 1)[:, 0]
        which = torch.searchsorted(self._cumulative, choice.contiguous()).clamp(max=len(self.kinds) - 1)
        rigs, poses, order, category = [], [], [], []
        for index, name in enumerate(self.kinds if kind is None else (kind,)):
            rows = torch.arange(len(identity), device=self.device) if kind else (which == index).nonzero()[:, 0]
            if len(rows) == 0:
                continue
            rig, pose = KINDS[name][0](SeededDraw(shape[rows]), SeededDraw(act[rows, 4:]), frames)
            rigs.append(rig)
            poses.append(pose)
            order.append(rows)
            category.append(torch.full_like(rows, list(KINDS).index(name)))
        back = torch.cat(order).argsort()
        rig = CreatureRig(*(torch.cat([getattr(r, column.name) for r in rigs])[back] for column in fields(CreatureRig)))
        turns, root, heading = (
            torch.cat([getattr(pose, name) for pose in poses])[back] for name in ("turns", "root", "heading")
        )
        heading, root = _face(act, heading, root)
        rotation, translation = skinning_transforms(rig, turns, root, heading)
        table = rig_surface.place(rig, rotation[:, 0], translation[:, 0])
        rates = torch.tensor(_FRAME_RATES, device=self.device)
        fps = rates[(act[:, 3] * len(rates)).long().clamp(max=len(rates) - 1)]
        return _Posed(rig, rotation, translation, table, torch.cat(category)[back], fps)


def _face(act: Tensor, heading: Tensor, root: Tensor) -> tuple[Tensor, Tensor]:
    """Turn whole clips about the vertical: half of them any way, half along an axis, as most models stand."""
    quarter = (act[:, 1] * 4).floor() * (torch.pi / 2)
    yaw = torch.where(act[:, 0] < 0.5, act[:, 2] * 2 * torch.pi, quarter)[:, None]
    sine, cosine = yaw.sin(), yaw.cos()
    x, y, z = root.unbind(-1)
    return heading + yaw, torch.stack([cosine * x + sine * z, y, cosine * z - sine * x], -1)


def _union(posed: _Posed, points: Tensor) -> Tensor:
    """Signed distance [B, Q] of raw points [B, Q, 3] in frame 0 to the smooth union of all parts."""
    used = int(posed.rig.valid.sum(-1).max())
    # On a CPU one clip at a time stays in the cache; a GPU takes them all at once.
    step = 1 if points.device.type == "cpu" else len(points)
    values = []
    for first in range(0, len(points), step):
        rows = slice(first, first + step)
        table = posed.table[:, rows, None, :used]
        values.append(
            rig_surface.union_distance(points[rows].movedim(-1, 0), table, posed.rig.smooth[rows, None, None])
        )
    return torch.cat(values)
