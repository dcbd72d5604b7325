"""The camera: orbit, pan, zoom, and the projection of points onto the screen. No Polyscope.

The creature is shown in the middle of the free part of the window, never behind a panel. So the studio keeps its own
camera and gives Polyscope the finished matrix: the scene is shifted sideways in view space, which moves the image
without turning it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

FIELD_OF_VIEW = 26.0  # degrees, vertical, of the whole window; narrow, so that off-centre figures look alike
MARGIN = 0.86  # share of the free region that the content fills
MIN_ZOOM, MAX_ZOOM = 0.08, 4.0


@dataclass(frozen=True)
class Region:
    """A rectangle of the window in pixels, origin at the top left."""

    x: float
    y: float
    width: float
    height: float

    @property
    def center(self) -> tuple[float, float]:
        return self.x + self.width / 2, self.y + self.height / 2

    def contains(self, point: tuple[float, float]) -> bool:
        return self.x <= point[0] < self.x + self.width and self.y <= point[1] < self.y + self.height


@dataclass(frozen=True)
class Camera:
    """Angles in degrees. `zoom` multiplies the distance at which the content just fits. `pan` moves the target."""

    yaw: float = 52.0
    pitch: float = 14.0
    zoom: float = 1.0
    pan: tuple[float, float, float] = (0.0, 0.0, 0.0)
    flat: bool = False  # orthographic: distance does not change size

    def turned(self, yaw: float, pitch: float) -> Camera:
        """Look from a fixed side."""
        return replace(self, yaw=yaw % 360.0, pitch=pitch)

    def orbit(self, dx: float, dy: float) -> Camera:
        """Turn by a mouse movement in pixels."""
        return replace(self, yaw=(self.yaw - 0.4 * dx) % 360.0, pitch=min(max(self.pitch + 0.4 * dy, -20.0), 89.0))

    def zoomed(self, steps: float) -> Camera:
        """Wheel steps; positive comes closer."""
        return replace(self, zoom=min(max(self.zoom * 0.9**steps, MIN_ZOOM), MAX_ZOOM))

    def panned(self, offset: ArrayLike) -> Camera:
        x, y, z = np.asarray(self.pan) + np.asarray(offset, dtype=float)
        return replace(self, pan=(float(x), float(y), float(z)))

    def axes(self) -> NDArray[np.float64]:
        """[3, 3] rows: right, up, towards the viewer."""
        yaw, pitch = math.radians(self.yaw), math.radians(self.pitch)
        back = np.array([math.sin(yaw) * math.cos(pitch), math.sin(pitch), math.cos(yaw) * math.cos(pitch)])
        right = np.array([math.cos(yaw), 0.0, -math.sin(yaw)])
        return np.stack([right, np.cross(back, right), back])


def focal_length(window_height: float) -> float:
    """The focal length in pixels."""
    return window_height / 2 / math.tan(math.radians(FIELD_OF_VIEW) / 2)


def fit_distance(
    camera: Camera,
    low: ArrayLike,
    high: ArrayLike,
    size: tuple[float, float],
    focal: float,
    shift: tuple[float, float] = (0.0, 0.0),
) -> float:
    """The distance from a box's middle at which all its corners lie within `size` pixels.

    The box is seen `shift` pixels off the window's middle, where near corners move further outwards.
    """
    low, high = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
    pick = np.array([[(i >> axis) & 1 for axis in range(3)] for i in range(8)])
    corners = np.where(pick, high, low) - (low + high) / 2
    right, up, back = (corners @ axis for axis in camera.axes())
    half_width, half_height = max(size[0], 40.0) * MARGIN / 2, max(size[1], 40.0) * MARGIN / 2
    across = np.abs(focal * right + shift[0] * back) / half_width
    along = np.abs(focal * up - shift[1] * back) / half_height
    return float(max((np.maximum(across, along) + back).max(), 0.2))


@dataclass(frozen=True, eq=False)
class Projection:
    """One frame's camera: the view matrix [4, 4] (world to view, looking along -z) and the window it fills."""

    view: NDArray[np.float64]
    focal: float
    window: tuple[float, float]
    flat: float | None = None  # orthographic: everything is drawn as large as at this distance

    @classmethod
    def of(
        cls,
        camera: Camera,
        target: ArrayLike,
        distance: float,
        center: tuple[float, float],
        window: tuple[float, float],
    ) -> Projection:
        """Look at `target` from `distance` so that it appears at `center` (pixels) of the window."""
        axes = camera.axes()
        focal = focal_length(window[1])
        view = np.eye(4)
        view[:3, :3] = axes
        view[:3, 3] = -axes @ (np.asarray(target, dtype=float) + np.asarray(camera.pan))
        view[2, 3] -= distance
        view[0, 3] += (center[0] - window[0] / 2) * distance / focal
        view[1, 3] -= (center[1] - window[1] / 2) * distance / focal
        return cls(view, focal, window, distance if camera.flat else None)

    def project(self, points: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Pixels [..., 2] and depth [...] (positive in front of the camera) of points [..., 3]."""
        seen = np.asarray(points, dtype=float) @ self.view[:3, :3].T + self.view[:3, 3]
        depth = -seen[..., 2]
        safe = np.where(np.abs(depth) < 1e-9, 1e-9, depth) if self.flat is None else self.flat
        x = self.window[0] / 2 + self.focal * seen[..., 0] / safe
        y = self.window[1] / 2 - self.focal * seen[..., 1] / safe
        return np.stack([x, y], axis=-1), depth

    def in_plane(self, point: ArrayLike, dx: float, dy: float) -> NDArray[np.float64]:
        """World offset [3] that moves `point` by pixels (dx, dy) in the plane parallel to the screen."""
        _, depth = self.project(point)
        scale = self.unit_at(float(depth))
        return self.view[0, :3] * dx * scale - self.view[1, :3] * dy * scale

    def unit_at(self, depth: float) -> float:
        """Length in the scene of one pixel at this depth."""
        return (depth if self.flat is None else self.flat) / self.focal

    @property
    def vertical_degrees(self) -> float:
        """The field of view in degrees to give Polyscope.

        Without perspective it shows what a camera at distance 2 would see (measured), whatever the camera's distance.
        """
        if self.flat is None:
            return FIELD_OF_VIEW
        half = self.window[1] / 2 * self.flat / self.focal
        return math.degrees(2.0 * math.atan(half / 2.0))

    @property
    def eye(self) -> NDArray[np.float64]:
        return -self.view[:3, :3].T @ self.view[:3, 3]


def grid(count: int, region: Region, aspect: float) -> tuple[int, int]:
    """The columns and rows of the grid that shows `count` boxes of this width / height largest in the region."""
    best, best_size = (1, count), 0.0
    for columns in range(1, count + 1):
        rows = math.ceil(count / columns)
        size = min(region.width / columns / aspect, region.height / rows)
        if size > best_size * 1.001:
            best, best_size = (columns, rows), size
    return best
