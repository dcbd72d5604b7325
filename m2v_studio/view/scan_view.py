"""Shows measured points and images in Polyscope; only changes are sent."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import polyscope as ps
from numpy.typing import NDArray

from m2v_studio.view import theme
from m2v_studio.view.scan_scene import Cloud
from m2v_studio.view.viewport import Viewport


@dataclass
class _ShownCloud:
    """What was last sent to Polyscope for one cloud."""

    cloud: ps.PointCloud
    count: int
    stamp: Hashable
    radius: float
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    enabled: bool = True


@dataclass
class _ShownImage:
    mesh: ps.SurfaceMesh
    shape: tuple[int, ...]
    pixels: NDArray[np.float32] | None  # None while it is hidden


def image_mesh(height: int, width: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Corners [(H+1)(W+1), 3] and one face [H W, 4] per pixel, row by row from the top left.

    The image fills the back of the box, in the space of the view.
    """
    unit = 1.0 / max(height, width)
    x = (np.arange(width + 1) - width / 2) * unit
    y = (height / 2 - np.arange(height + 1)) * unit
    across, down = np.meshgrid(x, y)
    corners = np.stack([across, down, np.full_like(across, -0.5)], -1).reshape(-1, 3)
    row, column = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    first = (row * (width + 1) + column).ravel()
    below = first + width + 1
    return corners, np.stack([first, below, below + 1, first + 1], -1)


class ScanView:
    def __init__(self) -> None:
        self._shown: dict[str, _ShownCloud] = {}
        self._image: _ShownImage | None = None

    def show(self, clouds: tuple[Cloud, ...], image: NDArray[np.float32] | None, viewport: Viewport) -> None:
        """Call after the viewport has placed its figures. `image` [H, W, 3] stands at the back of the box."""
        if viewport.norm is None:
            self.clear()
            return
        self._show_image(image)
        for cloud in clouds:
            self._show_cloud(cloud, viewport)
        visible = {cloud.name for cloud in clouds}
        for name, shown in self._shown.items():
            if shown.enabled != (name in visible):
                shown.enabled = name in visible
                shown.cloud.set_enabled(shown.enabled)

    def clear(self) -> None:
        for shown in self._shown.values():
            shown.cloud.remove()
        self._shown.clear()
        if self._image is not None:
            self._image.mesh.remove()
            self._image = None

    def _show_image(self, pixels: NDArray[np.float32] | None) -> None:
        shown = self._image
        if pixels is None:
            if shown is not None and shown.pixels is not None:
                shown.mesh.set_enabled(False)
                shown.pixels = None
            return
        if shown is not None and shown.pixels is pixels:
            return
        colors = pixels.reshape(-1, 3)
        if shown is None or shown.shape != pixels.shape:
            corners, faces = image_mesh(pixels.shape[0], pixels.shape[1])
            mesh = ps.register_surface_mesh("m2v image", corners, faces, material="flat", smooth_shade=True)
            mesh.set_back_face_policy("identical")
            mesh.set_selection_mode("faces_only")
            mesh.add_color_quantity("pixels", colors, defined_on="faces", enabled=True)
            shown = self._image = _ShownImage(mesh, pixels.shape, None)
        else:
            shown.mesh.get_quantity_buffer("pixels", "colors").update_data(colors)
        if shown.pixels is None:
            shown.mesh.set_enabled(True)
        shown.pixels = pixels

    def _show_cloud(self, cloud: Cloud, viewport: Viewport) -> None:
        assert viewport.norm is not None
        stamp = (cloud.stamp, viewport.norm.up_axis)
        shown = self._shown.get(cloud.name)
        if shown is None or shown.count != len(cloud.points):
            registered = ps.register_point_cloud(
                f"m2v {cloud.name}",
                viewport.norm.apply(cloud.points),
                radius=cloud.radius,
                color=theme.POINTS,
                material="clay",
                point_render_mode="sphere",
            )
            registered.set_radius(cloud.radius, relative=False)
            # Polyscope keeps these by name, from a cloud of this name that was removed before.
            registered.set_transform(np.eye(4))
            registered.set_enabled(True)
            shown = _ShownCloud(registered, len(cloud.points), stamp, cloud.radius)
            self._shown[cloud.name] = shown
        if shown.stamp != stamp:
            shown.cloud.update_point_positions(viewport.norm.apply(cloud.points))
            shown.stamp = stamp
        raw = viewport.offsets.get(cloud.figure, np.zeros(3))
        offset = (round(float(raw[0]), 6), round(float(raw[1]), 6), round(float(raw[2]), 6))
        if shown.offset != offset:
            matrix = np.eye(4)
            matrix[:3, 3] = offset
            shown.cloud.set_transform(matrix)
            shown.offset = offset
