"""Places the camera so that the whole motion fills the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FIELD_OF_VIEW = 24.0  # degrees, vertical
SIDE, ABOVE, BELOW = 0.07, 0.08, 0.10  # fractions of the image left free
TURNS = 24  # directions in which a turning figure is fitted
MOST_POINTS = 400_000
BANDS = 96  # heights


@dataclass(frozen=True, eq=False)
class Eye:
    """A camera that looks along -Z, tilted down: `view` [4, 4] from the scene to it, `focal` in pixels."""

    view: NDArray[np.float64]
    focal: float
    size: tuple[int, int]

    @property
    def place(self) -> NDArray[np.float64]:
        """The camera's position [3]."""
        return -self.view[:3, :3].T @ self.view[:3, 3]

    def rays(self) -> NDArray[np.float64]:
        """[H, W, 3] directions through the middles of the pixels."""
        width, height = self.size
        x, y = np.meshgrid(np.arange(width) + 0.5 - width / 2, height / 2 - np.arange(height) - 0.5)
        return np.stack([x / self.focal, y / self.focal, -np.ones_like(x)], axis=-1) @ self.view[:3, :3]


def frame_motion(tracks: Sequence[NDArray], pitch: float, size: tuple[int, int], turning: bool) -> Eye:
    """The camera for motions [T, V, 3] in scene space, each in an image of `size` (width, height), all in one scale.

    `turning` says that they turn about the scene's Y axis.
    """
    points = np.concatenate([_sparse(track) for track in tracks]).astype(np.float64)
    if turning:
        points = _turned(points)
    tilt = np.radians(pitch)
    back = np.array([0.0, np.sin(tilt), np.cos(tilt)])
    axes = np.stack([np.array([1.0, 0.0, 0.0]), np.cross(back, (1.0, 0.0, 0.0)), back])
    x, y, z = (points @ axis for axis in axes)
    width, height = size
    focal = height / 2 / np.tan(np.radians(FIELD_OF_VIEW) / 2)
    # A point is inside when |x - cx| <= h (cz - z): four planes through the eye, each touched by one point.
    across = (1 - 2 * SIDE) * width / 2 / focal
    along = (1 - ABOVE - BELOW) * height / 2 / focal
    right, left = (x + across * z).max(), (-x + across * z).max()
    over, under = (y + along * z).max(), (-y + along * z).max()
    distance = max((right + left) / (2 * across), (over + under) / (2 * along))
    # More room below than above, for the shadow.
    center = np.array([(right - left) / 2, (over - under) / 2, distance])
    shift = (BELOW - ABOVE) / 2 * height / focal * (distance - float(z.max() + z.min()) / 2)
    center[1] -= shift
    view = np.eye(4)
    view[:3, :3] = axes
    view[:3, 3] = -center
    return Eye(view, float(focal), size)


def _sparse(track: NDArray) -> NDArray:
    """At most about MOST_POINTS of the positions, [N, 3]."""
    every = max(1, -(-track.shape[0] * track.shape[1] // MOST_POINTS))
    return track[:, ::every].reshape(-1, 3)


def _turned(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The extent of points [N, 3] over a full turn about Y: at each height the farthest from the axis."""
    radius, height = np.hypot(points[:, 0], points[:, 2]), points[:, 1]
    low, step = height.min(), max(float(np.ptp(height)), 1e-9) / BANDS
    band = ((height - low) / step).astype(np.int64).clip(0, BANDS - 1)
    farthest = np.zeros(BANDS)
    np.maximum.at(farthest, band, radius)
    used = np.flatnonzero(np.bincount(band, minlength=BANDS))
    angles = 2 * np.pi * np.arange(TURNS) / TURNS
    rings = [
        np.stack([farthest[used] * np.cos(a), low + edge * step, farthest[used] * np.sin(a)], axis=1)
        for a in angles
        for edge in (used, used + 1)
    ]
    return np.concatenate(rings)
