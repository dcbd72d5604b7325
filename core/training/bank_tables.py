"""Holds the bank on the training device, and finds shapes similar to the bodies of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from core.bank.library import MotionLibrary
from core.bank.matching import NEAREST, NORMAL, PLACE, SHARPNESS
from core.bank.search import ALIKE
from core.models.part_descriptor import PartDescriptor, about_y, describe_parts

COARSE = 48  # nodes of either shape used to find similar shapes
RESEMBLANCE = 2 * ALIKE  # weight of similarity when shapes are drawn
SHAPES = 8  # shapes of the bank compared with every clip


class Matches(NamedTuple):
    """Correspondences of B bodies with E shapes of the bank each."""

    entry: Tensor  # [B, E]
    cost: Tensor  # [B, E]
    parts: Tensor  # [B, E, P, J] weight of each part at each node
    turn: Tensor  # [B, E, 3, 3] from the body's world to the shape's
    pose: Tensor  # [B, E, J, 3, 3] agreement of a pose with the body's own, as a functional of the rotations


class BankTables:
    """A library's shapes and their mirror images, as padded tensors on one device."""

    def __init__(self, library: MotionLibrary, network: PartDescriptor, device: torch.device) -> None:
        entries, self.network = library.entries, network.to(device).eval().requires_grad_(False)
        stack = lambda arrays: torch.from_numpy(np.stack(arrays).astype(np.float32)).to(device)  # noqa: E731
        self.names = [entry.shape.name for entry in entries]
        self.packs = [entry.shape.pack for entry in entries]
        self.descriptors = stack([entry.descriptors for entry in entries])
        self.box, self.normals = stack([e.box for e in entries]), stack([e.normals for e in entries])
        self.nodes = stack([entry.shape.nodes for entry in entries])
        self.heading = torch.tensor([float(entry.shape.heading) for entry in entries], device=device)
        widest = max(entry.weights.shape[1] for entry in entries)
        wide = lambda array, axis: np.pad(  # noqa: E731
            array, [(0, widest - array.shape[axis] if a == axis else 0) for a in range(array.ndim)]
        )
        self.weights = stack([wide(entry.weights, 1) for entry in entries])
        self.rotations = torch.cat([torch.from_numpy(wide(e.rotations, 1).astype(np.float16)) for e in entries]).to(
            device
        )  # [R, J, 3, 3]
        self.places = torch.cat([torch.from_numpy(wide(e.places, 1).astype(np.float32)) for e in entries]).to(device)
        counts = [len(entry.clip) for entry in entries]
        first = np.cumsum([0, *counts[:-1]])
        self.count = torch.tensor(counts, device=device)
        self.first = torch.tensor(first, device=device)
        begins, lasts, periods = [], [], []
        for start, entry in zip(first, entries, strict=True):
            lengths = np.array([clip.frames for clip in entry.shape.clips])
            begins.append(start + entry.first[entry.clip])
            lasts.append(lengths[entry.clip] - 1)
            periods.append(np.array([round(clip.period) for clip in entry.shape.clips])[entry.clip])
        as_long = lambda arrays: torch.from_numpy(np.concatenate(arrays).astype(np.int64)).to(device)  # noqa: E731
        self.begin, self.last, self.period = as_long(begins), as_long(lasts), as_long(periods)  # of each row's clip

    def rows_after(self, row: Tensor, frames: Tensor) -> Tensor:
        """The row nearest to `frames` after each `row`; cyclic clips start again, others stay at their end."""
        begin, period = self.begin[row], self.period[row]
        later = (row - begin + frames).round().long()
        later = torch.where(period > 0, later % period.clamp_min(1), later)
        return begin + torch.minimum(later, self.last[row])

    def bar(self, rigs: Sequence[str]) -> Tensor:
        """[R + 1, 2, entries] bool: the shapes from which a clip of each rig must not borrow.

        They are those of the rig itself, or of its whole pack. The last row is for clips without a rig.
        """
        packs = dict(zip(self.names, self.packs, strict=True))
        own = [[name == rig for name in self.names] for rig in rigs] + [[False] * len(self.names)]
        pack = [[p == packs.get(rig) for p in self.packs] for rig in rigs] + [[False] * len(self.names)]
        own_pack = torch.tensor(own), torch.tensor(pack) | torch.tensor(own)
        return torch.stack(own_pack, dim=1).to(self.heading.device)


def match_bodies(
    tables: BankTables, nodes: Tensor, normals: Tensor, weight: Tensor, barred: Tensor, generator: torch.Generator
) -> Matches:
    """Similar shapes for every body, as in `core.bank.matching`, but drawn at random instead of the best ones."""
    described = describe_parts(tables.network, nodes, normals)
    facing = about_y(described.heading)
    upright, outward = nodes @ facing, normals @ facing
    low, high = upright.amin(dim=1, keepdim=True), upright.amax(dim=1, keepdim=True)
    box = (upright - low) / (high - low).clamp_min(1e-3) - 0.5
    mine = _features(described.descriptor, box, outward)
    theirs = _features(tables.descriptors, tables.box, tables.normals)
    rough = _costs(mine[:, None, :COARSE], theirs[None, :, :COARSE])  # [B, E, c, c]
    cost = rough.amin(dim=3).mean(dim=2) + rough.amin(dim=2).mean(dim=2)
    score = gumbel_noise(generator, cost.shape) - cost * RESEMBLANCE
    entry = score.masked_fill(barred, -torch.inf).topk(SHAPES, dim=1).indices
    exact = _costs(mine[:, None], theirs[entry])  # [B, E, P, N]
    cost = exact.amin(dim=3).mean(dim=2) + exact.amin(dim=2).mean(dim=2)
    near = exact.topk(NEAREST, dim=3, largest=False)
    share = torch.softmax(-near.values / SHARPNESS, dim=3)
    mixed = torch.zeros_like(exact).scatter_(3, near.indices, share)  # [B, E, P, N]
    parts = mixed @ tables.weights[entry]
    turn = about_y(tables.heading[entry].flatten()).view(*entry.shape, 3, 3) @ facing[:, None].transpose(-1, -2)
    pose = _pose_agreement(nodes, weight, parts, mixed @ tables.nodes[entry], turn)
    return Matches(entry, cost, parts, turn, pose)


def _features(descriptors: Tensor, box: Tensor, normals: Tensor) -> Tensor:
    """Vectors whose squared distance is the matching cost of two nodes (for unit vectors, 1 - a.b is half of it)."""
    return torch.cat([descriptors, box * PLACE**0.5, normals * (NORMAL / 2) ** 0.5], dim=-1)


def _costs(a: Tensor, b: Tensor) -> Tensor:
    lengths = a.square().sum(dim=-1)[..., :, None] + b.square().sum(dim=-1)[..., None, :]
    return (lengths - 2 * a @ b.transpose(-1, -2)).clamp_min(0)


def _pose_agreement(nodes: Tensor, weight: Tensor, parts: Tensor, theirs: Tensor, turn: Tensor) -> Tensor:
    """As in `core.bank.matching`, for E shapes of every body: [B, E, J, 3, 3]."""
    mine = nodes[:, None] @ turn.transpose(-1, -2)  # [B, E, P, 3]
    spread = weight[:, None]
    degree = weight.sum(dim=-1)[:, None]
    near_mine, near_theirs = spread @ mine, spread @ theirs
    pairs = mine[..., :, None] * theirs[..., None, :]
    covariance = (
        degree[..., None, None] * pairs
        + (spread @ pairs.flatten(-2)).unflatten(-1, (3, 3))
        - mine[..., :, None] * near_theirs[..., None, :]
        - near_mine[..., :, None] * theirs[..., None, :]
    )
    lengths = [
        degree * x.square().sum(-1) + (spread @ x.square().sum(-1, keepdim=True))[..., 0] - 2 * (x * near).sum(-1)
        for x, near in ((mine, near_mine), (theirs, near_theirs))
    ]
    whole = (lengths[0] * lengths[1]).clamp_min(0).sqrt().sum(dim=-1).clamp_min(1e-9)
    summed = (parts.transpose(-1, -2) @ covariance.flatten(-2)).unflatten(-1, (3, 3))
    return summed / whole[..., None, None, None]


def gumbel_noise(generator: torch.Generator, shape: Sequence[int]) -> Tensor:
    """Gumbel noise. Added to log-likelihoods, the largest sums are a sample without replacement."""
    return -torch.log(-torch.log(uniform(generator, shape).clamp(1e-9, 1 - 1e-7)))


def uniform(generator: torch.Generator, shape: Sequence[int]) -> Tensor:
    """Numbers between 0 and 1 on the generator's device."""
    return torch.rand(*shape, generator=generator, device=generator.device)
