"""Shows measured points in Polyscope by difference, beside what `viewport` shows."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import polyscope as ps

from m2v_studio.scan_scene import POINT_COLOR, Cloud
from m2v_studio.viewport import Viewport


@dataclass
class _Shown:
    """What Polyscope was last told about one cloud."""

    cloud: ps.PointCloud
    count: int
    stamp: Hashable
    radius: float
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    enabled: bool = True


class ScanView:
    def __init__(self) -> None:
        self._shown: dict[str, _Shown] = {}

    def show(self, clouds: tuple[Cloud, ...], viewport: Viewport) -> None:
        """Call after the viewport has placed its figures."""
        if viewport.norm is None:
            self.clear()
            return
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

    def _show_cloud(self, cloud: Cloud, viewport: Viewport) -> None:
        assert viewport.norm is not None
        stamp = (cloud.stamp, viewport.norm.up_axis)
        shown = self._shown.get(cloud.name)
        if shown is None or shown.count != len(cloud.points):
            registered = ps.register_point_cloud(
                f"m2v {cloud.name}",
                viewport.norm.apply(cloud.points),
                radius=cloud.radius,
                color=POINT_COLOR,
                material="clay",
                point_render_mode="sphere",
            )
            registered.set_radius(cloud.radius, relative=False)
            # Polyscope keeps these by name, from a cloud of this name that was removed before.
            registered.set_transform(np.eye(4))
            registered.set_enabled(True)
            shown = _Shown(registered, len(cloud.points), stamp, cloud.radius)
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
