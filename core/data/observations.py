"""Simulates scans of tracked surface points during training: batched torch on any device.

All is in normalised space (frame 0: longest side 1, Y up). The generator must live on the points' device. For
evaluation, `scan_simulation` simulates the same scans from meshes.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from core.data.cameras import Cameras, random_cameras
from core.data.point_surface import GRID_SIDE, tracked_normals
from core.sequence import BOX_SIDE

CELL = 1.0 / 28  # side of a z-buffer cell at the shape's distance; a few points of a 512-point cloud share one
TOLERANCE = 0.05  # points this far behind their cell's nearest are still visible, since surfaces are inclined
GRID_CELLS = 72  # along a side, around the points' centre: 2.5 sizes of the shape
GRAZING, CLEAR = 0.12, 0.40  # cosine to the view ray: never measured below the first, always above the second
MOST_TILT = math.radians(25.0)  # of a half body's cut plane
ANY_PLANE_SHARE = 0.15  # fraction of half bodies cut by a plane of any direction
NOISE = (0.0005, 0.01)  # standard deviation of a measured point, log-uniform
SCANS = (0.55, 0.3, 0.15)  # shares of one-sided scans, half bodies, and whole ones


class Observation(NamedTuple):
    """Observed points, padded: `points` [B, T, L, 3] (zero where absent) and `present` [B, T, L] bool."""

    points: Tensor
    present: Tensor


def noise_levels(batch: int, generator: torch.Generator) -> Tensor:
    """Standard deviations [B] of the points' noise."""
    low, high = (math.log(value) for value in NOISE)
    return (low + (high - low) * torch.rand(batch, device=generator.device, generator=generator)).exp()


def scan_of(
    points: Tensor, normals: Tensor, count: int, generator: torch.Generator, whole: bool = False
) -> Observation:
    """A scan of points [B, T, N, 3]: one-sided, cut in half or, if `whole`, sometimes complete."""
    sigma = noise_levels(len(points), generator)
    shares = torch.tensor(SCANS, device=generator.device)[: 3 if whole else 2]
    which = int(torch.multinomial(shares, 1, generator=generator))
    if which == 0:
        return depth_scan(points, normals, count, generator, sigma)
    return (half_body if which == 1 else tracked_points)(points, count, sigma, generator)


def quantised(points: Tensor) -> Tensor:
    """The centres of the voxels that points fall into."""
    return ((points / BOX_SIDE + 0.5) * GRID_SIDE).floor().add(0.5) / GRID_SIDE * BOX_SIDE - BOX_SIDE / 2


def tracked_points(points: Tensor, count: int, sigma: float | Tensor, generator: torch.Generator) -> Observation:
    """`count` random rows of points [B, T, N, 3], the same rows in every frame of a clip, with Gaussian noise.

    `sigma` is the noise's standard deviation, one number or [B]. Rows beyond N are absent.
    """
    batch, _, total, _ = points.shape
    order = torch.rand(batch, total, device=points.device, generator=generator)
    return _tracked(points, order, torch.ones_like(order, dtype=torch.bool), count, sigma, generator)


def half_body(points: Tensor, count: int, sigma: float | Tensor, generator: torch.Generator) -> Observation:
    """Tracked points of [B, T, N, 3] above a random plane: what lies below it in frame 0 is missing in every frame."""
    kept = above_plane(points[:, 0], generator)
    order = torch.rand(kept.shape, device=points.device, generator=generator)
    return _tracked(points, order, kept, count, sigma, generator)


def above_plane(points0: Tensor, generator: torch.Generator) -> Tensor:
    """[B, N] bool: which of points0 [B, N, 3] lie above a random plane that cuts away 30 to 65% of them.

    Most planes are close to horizontal.
    """
    batch, total, _ = points0.shape
    device = points0.device

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, device=device, generator=generator)

    azimuth, tilt = 2 * math.pi * uniform(batch), MOST_TILT * uniform(batch)
    normal = torch.stack([tilt.sin() * azimuth.cos(), tilt.cos(), tilt.sin() * azimuth.sin()], dim=-1)
    anywhere = torch.randn(batch, 3, device=device, generator=generator)
    normal = torch.where((uniform(batch) < ANY_PLANE_SHARE)[:, None], torch.nn.functional.normalize(anywhere), normal)
    height = (points0 * normal[:, None]).sum(-1)
    removed = ((0.3 + 0.35 * uniform(batch)) * total).long().clamp(max=total - 1)
    return height >= height.sort(dim=1).values.gather(1, removed[:, None])


def depth_scan(
    points: Tensor,
    normals0: Tensor | None,
    count: int,
    generator: torch.Generator,
    sigma: float | Tensor = 0.001,
    moving_camera_share: float = 0.3,
    cameras: Cameras | None = None,
) -> Observation:
    """What a depth camera sees of tracked surface points [B, T, N, 3]: up to `count` untracked points per frame.

    Without `cameras`, each clip gets a random one (any azimuth, elevation -20 to 50 degrees, some on a slow orbit).
    Points behind nearer ones on a coarse z-buffer are hidden, as are those that face away if frame 0's outward normals
    `normals0` [B, N, 3] are known. Points are as dense as a camera's pixels, with fewer at grazing angles. Noise of
    standard deviation `sigma` (a number or [B]) lies along the view ray. Every frame has at least one point.
    """
    batch, frames, total, _ = points.shape
    if cameras is None:
        cameras = random_cameras(batch, frames, generator, moving_camera_share)
    seen = cameras.view(points)
    depth = seen[..., 2].clamp(min=1e-3)
    cell = _cells(seen, depth)
    visible = _unhidden(seen, depth, cell)
    rays = torch.nn.functional.normalize(points - cameras.position[:, :, None], dim=-1)
    facing = _uncrowded(cell, visible) if normals0 is None else -(tracked_normals(points, normals0) * rays).sum(-1)
    chance = ((facing - GRAZING) / (CLEAR - GRAZING)).clamp(0.0, 1.0)
    draw = torch.rand(2, batch, frames, total, device=points.device, generator=generator).clamp(min=1e-7)
    visible = visible & (draw[0] < chance)
    # The nearest point is always measured, so that no frame is empty.
    visible = visible.scatter(2, depth.argmin(dim=2, keepdim=True), True)
    # The smallest of exponential variables: picks without replacement, in proportion to their rates.
    order = -draw[1].log() / facing.clamp(min=GRAZING) * depth.square()
    picked, present = _first(order.masked_fill(~visible, torch.inf), visible, count)
    noise = torch.randn(batch, frames, total, 1, device=points.device, generator=generator)
    noisy = points + rays * noise * _per_clip(sigma, noise)
    chosen = noisy.gather(2, picked[..., None].expand(-1, -1, -1, 3))
    return Observation(*_padded(chosen, present, count))


def _tracked(
    points: Tensor, order: Tensor, kept: Tensor, count: int, sigma: float | Tensor, generator: torch.Generator
) -> Observation:
    """The first `count` of the kept [B, N] rows by `order` [B, N], in all frames."""
    frames = points.shape[1]
    picked, present = _first(order.masked_fill(~kept, torch.inf), kept, count)
    chosen = points.gather(2, picked[:, None, :, None].expand(-1, frames, -1, 3))
    noise = torch.randn(chosen.shape, device=points.device, generator=generator)
    chosen = chosen + noise * _per_clip(sigma, noise)
    return Observation(*_padded(chosen, present[:, None].expand(-1, frames, -1), count))


def _first(order: Tensor, kept: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Indices of the `count` smallest along the last axis (or all there are), and which of them are kept."""
    picked = order.topk(min(count, order.shape[-1]), dim=-1, largest=False).indices
    return picked, kept.gather(-1, picked)


def _padded(points: Tensor, present: Tensor, count: int) -> tuple[Tensor, Tensor]:
    missing = count - points.shape[2]
    if missing > 0:
        points = torch.nn.functional.pad(points, (0, 0, 0, missing))
        present = torch.nn.functional.pad(present, (0, missing))
    return points * present[..., None], present


def _per_clip(sigma: float | Tensor, like: Tensor) -> Tensor:
    value = torch.as_tensor(sigma, dtype=like.dtype, device=like.device)
    return value.view(-1, *[1] * (like.dim() - 1)) if value.dim() else value


def _cells(seen: Tensor, depth: Tensor) -> Tensor:
    """Z-buffer cell coordinates [B, T, N, 2] (float, 0 to GRID_CELLS) of camera-space points, in perspective."""
    distance = depth.mean(dim=2, keepdim=True)
    plane = seen[..., :2] * (distance / depth)[..., None]
    plane = plane - (plane.amin(dim=2, keepdim=True) + plane.amax(dim=2, keepdim=True)) / 2
    return (plane / CELL + GRID_CELLS / 2).clamp(0.5, GRID_CELLS - 0.5)


def _unhidden(seen: Tensor, depth: Tensor, cell: Tensor) -> Tensor:
    """[B, T, N] bool: not hidden by nearer points. Each point fills the 2 x 2 cells around it, which closes gaps."""
    batch, frames, total, _ = seen.shape
    corner = (cell - 0.5).floor().long()
    nearest = torch.full((batch * frames, GRID_CELLS**2), torch.inf, device=seen.device, dtype=depth.dtype)
    flat_depth = depth.view(batch * frames, total)
    base = (corner[..., 1] * GRID_CELLS + corner[..., 0]).view(batch * frames, total)
    for step in (0, 1, GRID_CELLS, GRID_CELLS + 1):
        nearest.scatter_reduce_(1, (base + step).clamp(max=GRID_CELLS**2 - 1), flat_depth, "amin")
    own = cell.floor().long()
    front = nearest.gather(1, (own[..., 1] * GRID_CELLS + own[..., 0]).view(batch * frames, total))
    return (flat_depth <= front + TOLERANCE).view(batch, frames, total)


def _uncrowded(cell: Tensor, visible: Tensor) -> Tensor:
    """Estimate [B, T, N] of the cosine to the view ray, without normals: grazing surfaces crowd points in few cells."""
    batch, frames, total = visible.shape
    own = cell.floor().long()
    flat = (own[..., 1] * GRID_CELLS + own[..., 0]).view(batch * frames, total)
    ones = visible.view(batch * frames, total).float()
    crowd = torch.zeros(batch * frames, GRID_CELLS**2, device=cell.device).scatter_add_(1, flat, ones)
    mean = crowd.sum(1, keepdim=True) / (crowd > 0).sum(1, keepdim=True).clamp(min=1)
    return (mean / crowd.gather(1, flat).clamp(min=1.0)).clamp(max=1.0).view(batch, frames, total)
