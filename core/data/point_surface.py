"""Derives from tracked points what lies between them: moving normals, closed voxel shells, small shaded images."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from core.data.cameras import Cameras, random_cameras
from core.geometry.image_camera import VIEW_SIDE

NEIGHBOURS = 6
CANDIDATES = 512  # only that many points can be neighbours: points come in random order, and the search is quadratic
FOOTPRINT = 1.6  # standard deviation of a splat, in mean distances between nearest neighbours
DISC = 1.6  # radius of a splat, in standard deviations
STEEPEST = 0.25  # cosine to the view axis that limits how thin a splat is drawn
FULL = 0.7  # weight of splats that covers a pixel; less is mixed with the background
SAME_SURFACE = 0.06  # points this far behind the front of a pixel still colour it
AMBIENT = 0.25
LIGHT = (0.35, -0.70, -0.62)  # towards the light in camera axes: from above, a little to the right, behind the camera


def neighbours(points0: Tensor, normals0: Tensor | None, count: int = NEIGHBOURS) -> tuple[Tensor, Tensor]:
    """Nearest other points in frame 0: indices [B, N, count] and which lie on the same side of the surface (bool).

    points0 [B, N, 3]; with outward normals0 [B, N, 3] the far side of a thin part does not count.
    """
    candidates = min(CANDIDATES, points0.shape[1])
    distance = torch.cdist(points0, points0[:, :candidates])
    distance.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    near = distance.topk(min(count, candidates - 1), dim=2, largest=False)
    # A neighbour much farther than usual is across a gap.
    usual = near.values[..., 0].mean(dim=1)[:, None, None]
    valid = near.values < 4.0 * usual
    if normals0 is not None:
        other = _rows(normals0[:, None], near.indices)[:, 0]
        valid = valid & ((other * normals0[:, :, None]).sum(-1) > 0.2)
    return near.indices, valid


def spacing(points0: Tensor) -> Tensor:
    """Mean distance [B] of points0 [B, N, 3] to their nearest neighbours; infinite for a single point."""
    total = points0.shape[1]
    some = points0[:, :CANDIDATES]
    distance = torch.cdist(some, some)
    distance.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    # On a surface, distances shrink with the root of the number of points.
    return distance.amin(dim=2).mean(dim=1) * math.sqrt(some.shape[1] / total)


def tracked_normals(points: Tensor, normals0: Tensor) -> Tensor:
    """Outward unit normals [B, T, N, 3] in every frame, from points [B, T, N, 3] and frame 0's normals [B, N, 3].

    Each is the mean of the cross products of edges to neighbours, signed as in frame 0; frame 0's own are kept.
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


def surface_voxels(points: Tensor, normals0: Tensor | None = None, resolution: int = 32, side: float = 1.1) -> Tensor:
    """Cells [B, T, R, R, R] (bool, x, y, z) of the origin-centred box that the surface through points [B, T, N, 3]
    passes: those with a point or with the middle between two neighbours in frame 0."""
    batch, frames = points.shape[:2]
    index, valid = neighbours(points[:, 0], normals0)
    between = (points[..., None, :] + _rows(points, index)) / 2
    between = torch.where(valid[:, None, ..., None], between, points[..., None, :])
    return voxel_grid(torch.cat([points, between.reshape(batch, frames, -1, 3)], dim=2), resolution, side)


def voxel_grid(points: Tensor, resolution: int = 32, side: float = 1.1) -> Tensor:
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


def shaded_images(
    points: Tensor,
    normals0: Tensor,
    cameras: Cameras | None = None,
    generator: torch.Generator | None = None,
    size: int = 64,
) -> Tensor:
    """Grey images [B, T, size, size] (0 background, 0.25 to 1 surface) of points [B, T, N, 3] drawn as surface discs.

    Lambert shading by the moving normals with a light fixed to the camera. `normals0` [B, N, 3] are frame 0's outward
    normals; the camera is random, one per clip, unless given. An image shows a square of side 1.5 around the origin.
    """
    batch, frames, total, _ = points.shape
    if cameras is None:
        if generator is None:
            raise ValueError("give cameras or a generator to draw them with")
        cameras = random_cameras(batch, frames, generator, moving_share=0.0)
    normals = tracked_normals(points, normals0)
    seen = cameras.view(points)
    depth = seen[..., 2].clamp(min=1e-3)
    distance = cameras.position.norm(dim=-1)[:, :, None]
    pixel = (seen[..., :2] * (distance / depth)[..., None] / VIEW_SIDE + 0.5) * size - 0.5
    turned = normals @ cameras.rotation.transpose(-1, -2)
    light = torch.tensor(LIGHT, device=points.device)
    shade = AMBIENT + (1 - AMBIENT) * (turned @ (light / light.norm())).clamp(min=0.0)
    front = (turned * seen).sum(-1) < 0
    image = torch.arange(batch * frames, device=points.device).view(batch, frames, 1).expand(-1, -1, total)[front]
    width = (FOOTPRINT * spacing(points[:, 0]) * size / VIEW_SIDE).clamp(0.7, size / 24)
    width = width[:, None, None].expand_as(depth)[front]
    discs = _Discs(pixel[front], depth[front], turned[front], shade[front], width, image)
    return _draw(discs, batch * frames, size).view(batch, frames, size, size)


class _Discs(NamedTuple):
    """Front points in their images: `pixel` [P, 2], `depth` [P], `normal` [P, 3] in camera axes, grey `shade` [P],
    `width` [P] in pixels, number of the `image` [P]."""

    pixel: Tensor
    depth: Tensor
    normal: Tensor
    shade: Tensor
    width: Tensor
    image: Tensor


def _draw(discs: _Discs, images: int, size: int) -> Tensor:
    """Pixels [images * size * size]: discs mix with those around them and hide those well behind."""
    empty = torch.zeros(images * size * size, device=discs.depth.device)
    reach = (DISC * discs.width).ceil().long()
    # Clips differ in how dense their points are: looking at the pixels of the largest disc for every point is slow.
    parts = [_splats(_Discs(*(value[reach == r] for value in discs)), int(r), size) for r in reach.unique().tolist()]
    if not parts:
        return empty
    flat, far, weight, shade = (torch.cat(values) for values in zip(*parts, strict=True))
    nearest = torch.full_like(empty, torch.inf).scatter_reduce_(0, flat, far, "amin")
    weight = weight * (far <= nearest[flat] + SAME_SURFACE)
    mass = empty.scatter_add(0, flat, weight)
    colour = empty.scatter_add(0, flat, weight * shade) / mass.clamp(min=1e-6)
    # A pixel at the rim, reached by the skirt of one disc only, is partly background.
    return colour * (mass / FULL).clamp(max=1.0)


def _splats(discs: _Discs, reach: int, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Pixel number, depth, weight and shade of every pixel of every disc, all within `reach` of the disc's middle."""
    pixel, depth, normal, shade, width, image = discs
    steps = torch.arange(-reach, reach + 1, device=pixel.device)
    step = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1).view(-1, 2)
    step = step[step.square().sum(-1) <= (reach + 0.71) ** 2]
    place = pixel.round().long()[:, None] + step  # [P, taps, 2]
    away = place - pixel[:, None]
    # How far a disc falls back at an offset on the screen: its plane is inclined, so its outline is an ellipse.
    slope = normal[:, :2] / -normal[:, 2:].clamp(max=-STEEPEST)
    back = away[..., 0] * slope[:, None, 0] + away[..., 1] * slope[:, None, 1]
    square = away[..., 0].square() + away[..., 1].square() + back.square()
    # A disc smaller than a pixel still marks the pixel it is in.
    reached = (square <= (DISC * width[:, None]).square()) | (step == 0).all(dim=-1)
    which, tap = (reached & ((place >= 0) & (place < size)).all(dim=-1)).nonzero(as_tuple=True)
    flat = (image[which] * size + place[which, tap, 1]) * size + place[which, tap, 0]
    far = depth[which] + back[which, tap] * VIEW_SIDE / size
    weight = (-square[which, tap] / (2 * width[which].square())).exp()
    return flat, far, weight, shade[which]
