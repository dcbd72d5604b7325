"""Cameras that look at a shape in normalised space: fixed, orbiting, or drawn at random. Batched torch only.

Convention: image x to the right, y down, z forward (the direction of view), as in camera intrinsics files.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

LOWEST, HIGHEST = math.radians(-20.0), math.radians(50.0)  # elevation of random cameras
NEAREST, FARTHEST = 1.6, 2.8  # distance of random cameras from the origin, in sizes of the shape
LONGEST_ORBIT = math.radians(60.0)  # largest angle a random moving camera sweeps in one clip


class Cameras(NamedTuple):
    """One camera per clip and frame: a world point p is at `rotation @ (p - position)` in the camera's axes."""

    rotation: Tensor  # [B, T, 3, 3] rows: right, down, forward
    position: Tensor  # [B, T, 3]

    def view(self, points: Tensor) -> Tensor:
        """World points [B, T, N, 3] in camera coordinates; the last coordinate is depth."""
        return (points - self.position[:, :, None]) @ self.rotation.transpose(-1, -2)


def cameras_at(azimuth: Tensor, elevation: Tensor, distance: Tensor) -> Cameras:
    """Cameras that look at the origin, from angles in radians and distances, each [B, T].

    Azimuth 0 looks from +z, a quarter turn from +x; elevation is above the horizon and below a right angle.
    """
    level = elevation.cos()
    outward = torch.stack([level * azimuth.sin(), elevation.sin(), level * azimuth.cos()], dim=-1)
    forward = -outward
    # forward x up, written out: its length is cos(elevation)
    right = torch.stack([azimuth.cos(), torch.zeros_like(azimuth), -azimuth.sin()], dim=-1)
    down = torch.linalg.cross(forward, right)
    return Cameras(torch.stack([right, down, forward], dim=-2), outward * distance[..., None])


def random_cameras(batch: int, frames: int, generator: torch.Generator, moving_share: float = 0.3) -> Cameras:
    """A camera per clip from any side, `moving_share` of them on a slow orbit; on the generator's device."""
    device = generator.device

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(batch, 1, device=device, generator=generator)

    azimuth, elevation = uniform(-math.pi, math.pi), uniform(LOWEST, HIGHEST)
    distance, turn = uniform(NEAREST, FARTHEST), uniform(-LONGEST_ORBIT, LONGEST_ORBIT)
    moving = uniform(0.0, 1.0) < moving_share
    along = torch.linspace(0.0, 1.0, frames, device=device)[None]
    still = torch.zeros_like(along)
    return cameras_at(azimuth + moving * turn * along, elevation + still, distance + still)
