"""Estimates the surface between tracked points: their normals in every frame, and voxel shells without gaps."""

from __future__ import annotations

import torch
from torch import Tensor

from core.precision import distances
from core.sequence import BOX_SIDE

NEIGHBOURS = 6
GRID_SIDE = 32  # cells a side of a voxel grid
CANDIDATES = 512  # neighbours are sought among the first of the points, in random order, since the search is quadratic


def neighbours(points0: Tensor, normals0: Tensor | None, count: int = NEIGHBOURS) -> tuple[Tensor, Tensor]:
    """The nearest other points of points0 [B, N, 3] in frame 0: indices [B, N, count], and bool whether they are valid.

    Points across a gap are not valid, nor, with outward `normals0` [B, N, 3], those on the far side of a thin part.
    """
    candidates = min(CANDIDATES, points0.shape[1])
    distance = distances(points0, points0[:, :candidates])
    distance.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    near = distance.topk(min(count, candidates - 1), dim=2, largest=False)
    # A neighbour much farther than usual is across a gap.
    usual = near.values[..., 0].mean(dim=1)[:, None, None]
    valid = near.values < 4.0 * usual
    if normals0 is not None:
        other = _rows(normals0[:, None], near.indices)[:, 0]
        valid = valid & ((other * normals0[:, :, None]).sum(-1) > 0.2)
    return near.indices, valid


def tracked_normals(points: Tensor, normals0: Tensor) -> Tensor:
    """Outward unit normals [B, T, N, 3] in every frame, from points [B, T, N, 3] and frame 0's normals [B, N, 3].

    Each is the mean cross product of edges to neighbours, with the sign of frame 0; those of frame 0 are kept.
    """
    index, valid = neighbours(points[:, 0], normals0)
    # Axis by axis: products over a last axis of three are several times slower.
    x, y, z = ((_along(points[..., axis], index) - points[..., axis, None]) for axis in range(3))  # [B, T, N, K]
    u, v, w = (part.roll(1, dims=3) for part in (x, y, z))
    crossed = (y * w - z * v, z * u - x * w, x * v - y * u)
    agreement = sum(part[:, 0] * normals0[..., axis, None] for axis, part in enumerate(crossed))
    sign = torch.sign(torch.as_tensor(agreement)) * (valid & valid.roll(1, dims=2))  # [B, N, K]
    total = torch.stack([(part * sign[:, None]).sum(dim=3) for part in crossed], dim=-1)
    length = total.norm(dim=-1, keepdim=True)
    rest = normals0[:, None].expand_as(total)
    normals = torch.where(length > 1e-9, total / length.clamp(min=1e-12), rest)
    return torch.cat([normals0[:, None], normals[:, 1:]], dim=1)


def _along(values: Tensor, index: Tensor) -> Tensor:
    """values [B, T, N] at index [B, N, K] -> [B, T, N, K]."""
    batch, frames = values.shape[:2]
    flat = index.reshape(batch, 1, -1).expand(-1, frames, -1)
    return values.gather(2, flat).view(batch, frames, *index.shape[1:])


def _rows(values: Tensor, index: Tensor) -> Tensor:
    """values [B, T, N, 3] at index [B, N, K] -> [B, T, N, K, 3]."""
    batch, frames = values.shape[:2]
    flat = index.reshape(batch, 1, -1, 1).expand(-1, frames, -1, 3)
    return values.gather(2, flat).view(batch, frames, *index.shape[1:], 3)


def surface_voxels(points: Tensor, normals0: Tensor | None = None) -> Tensor:
    """Cells [B, T, R, R, R] (bool, index order x, y, z) crossed by the surface through points [B, T, N, 3].

    These are the cells that hold a point or the midpoint of two neighbours of frame 0.
    """
    batch, frames = points.shape[:2]
    index, valid = neighbours(points[:, 0], normals0)
    between = (points[..., None, :] + _rows(points, index)) / 2
    between = torch.where(valid[:, None, ..., None], between, points[..., None, :])
    return voxel_grid(torch.cat([points, between.reshape(batch, frames, -1, 3)], dim=2))


def voxel_grid(points: Tensor, resolution: int = GRID_SIDE, side: float = BOX_SIDE) -> Tensor:
    """Cells [B, T, R, R, R] (bool, index order x, y, z) of the origin-centred box that hold a point of [B, T, N, 3].

    Sparse points leave holes in the surface's shell; `surface_voxels` closes them.
    """
    batch, frames, total, _ = points.shape
    index = ((points / side + 0.5) * resolution).floor().long()
    inside = ((index >= 0) & (index < resolution)).all(dim=-1)
    flat = (index[..., 0] * resolution + index[..., 1]) * resolution + index[..., 2]
    # Points outside the box go to one spare cell at the end.
    flat = torch.where(inside, flat, resolution**3).view(batch * frames, total)
    grid = torch.zeros(batch * frames, resolution**3 + 1, dtype=torch.bool, device=points.device)
    grid.scatter_(1, flat, True)
    return grid[:, :-1].reshape(batch, frames, resolution, resolution, resolution)
