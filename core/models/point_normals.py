"""Outward normals of a point set: local planes, oriented by the side on which the shape lies."""

from __future__ import annotations

import torch
from torch import Tensor

from core.models.layers import gather_rows
from core.precision import distances
from core.shapes import Bool, Float

PLANE_NEIGHBOURS = 8
SIDE_NEIGHBOURS = 12  # neighbours of a surface point; their centre lies on the inner side of it
VOTES = 6  # rounds in which neighbours on the same sheet agree on a side
AT_ONCE = 1 << 15  # matrices
FAR = 50.0  # where absent points are put


@torch.no_grad()
def estimate_normals(points: Float[Tensor, "B L 3"], present: Bool[Tensor, "B L"]) -> Float[Tensor, "B L 3"]:
    """Unit normals; zero for points that are not present."""
    with torch.autocast(points.device.type, enabled=False):
        points = torch.where(present[..., None], points.float(), FAR)
        count = points.shape[1]
        wide = min(SIDE_NEIGHBOURS, count)
        distance, index = distances(points, points).topk(wide, dim=-1, largest=False)
        near = gather_rows(points, index.flatten(1)).unflatten(1, index.shape[1:])  # [B, L, k, 3]
        there = gather_rows(present[..., None].float(), index.flatten(1)).unflatten(1, index.shape[1:])
        offset = (near - points[:, :, None]) * there
        some = min(PLANE_NEIGHBOURS, wide)
        scale = distance[..., some - 1 : some].clamp_min(1e-6)
        weight = torch.exp(-(distance / scale).square())[..., None] * there
        centred = offset - (weight * offset).sum(dim=2, keepdim=True) / weight.sum(dim=2, keepdim=True).clamp_min(1e-6)
        scatter = (weight * centred).transpose(-1, -2) @ centred
        # The scale does not matter for the planes, only for the solver's precision.
        every = (scatter / scale[..., None].square()).flatten(0, 1)
        # On a GPU the solver's workspace is a quarter of a megabyte for each matrix.
        vectors = torch.cat([torch.linalg.eigh(some)[1] for some in every.split(AT_ONCE)])
        normals = vectors[..., 0].view(points.shape)
        side = -(offset.sum(dim=2) * normals).sum(dim=-1) / (distance.mean(dim=-1) * wide).clamp_min(1e-9)
        height = (offset * normals[:, :, None]).sum(dim=-1).abs() / distance.clamp_min(1e-6)
        same_sheet = weight[..., 0] * (1 - height).clamp_min(0.0).square()
        agree = (gather_rows(normals, index.flatten(1)).unflatten(1, index.shape[1:]) * normals[:, :, None]).sum(-1)
        votes = same_sheet * agree
        sign = (4.0 * side).tanh()
        for _ in range(VOTES):
            theirs = gather_rows(sign[..., None], index.flatten(1)).unflatten(1, index.shape[1:])[..., 0]
            sign = (4.0 * side + 2.0 * (votes * theirs).sum(dim=-1)).tanh()
        return normals * torch.where(sign < 0, -1.0, 1.0)[..., None] * present[..., None]
