"""A round floor that fades into the background, with a soft contact shadow under the figures.

Polyscope's own ground and shadow cost 90 ms a frame in software rendering; this costs well under 1 ms.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

import numpy as np
import polyscope as ps
from numpy.typing import NDArray

from m2v_studio.view import theme
from m2v_studio.view.figure import Figure

FLOOR_CELLS = 72
FLOOR_RADIUS = 1.7
SHADOW_POINTS = 1500
KEPT = 256  # floors of a motion, 62 KB each


class Floor:
    """The floor in Polyscope, from the first `show` until `remove`. `height` is in normalised space."""

    def __init__(self) -> None:
        self.height = 0.0
        self._mesh: ps.SurfaceMesh | None = None
        self._stamp: Hashable = None
        self._kept: dict[Hashable, NDArray[np.float32]] = {}  # colours by stamp, of the motions that are shown now
        self._tracks: tuple[NDArray, ...] = ()
        self._visible = True
        self._blur = _blur_matrix(FLOOR_CELLS, 1.7)
        self._lit, self._darkening = _floor_shades()

    def recolor(self) -> None:
        """Use the current theme's colours at the next `show`."""
        self.remove()
        self._lit, self._darkening = _floor_shades()

    def remove(self) -> None:
        if self._mesh is not None:
            self._mesh.remove()
            self._mesh, self._stamp = None, None
            self._kept.clear()
            self._tracks = ()

    def show(self, figures: tuple[Figure, ...], normalize: Callable[[NDArray], NDArray[np.float32]]) -> None:
        """Draw the floor with the figures' shadow, unless they are side by side. `normalize` maps source units to the
        scene."""
        visible = all(figure.cell is None for figure in figures)
        if self._mesh is None:
            corners, faces = _floor_mesh(self.height)
            self._mesh = ps.register_surface_mesh("m2v floor", corners, faces, material="flat", smooth_shade=True)
            self._mesh.set_back_face_policy("cull")
            self._mesh.add_color_quantity("shade", self._lit, enabled=True)
            self._mesh.set_enabled(visible)
            self._visible = visible
        if self._visible != visible:
            self._mesh.set_enabled(visible)
            self._visible = visible
        stamp = tuple(figure.stamp for figure in figures)
        if not visible or stamp == self._stamp:
            return
        self._stamp = stamp
        self._mesh.get_quantity_buffer("shade", "colors").update_data(self._colors(stamp, figures, normalize))

    def _colors(
        self, stamp: Hashable, figures: tuple[Figure, ...], normalize: Callable[[NDArray], NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        """Computed once for each frame of a motion, as a looping motion shows it again and again."""
        tracks = tuple(figure.track for figure in figures)
        if len(tracks) != len(self._tracks) or any(a is not b for a, b in zip(tracks, self._tracks, strict=True)):
            self._kept.clear()  # which also frees motions that were replaced
            self._tracks = tracks
        colors = self._kept.get(stamp)
        if colors is None:
            shadow = self._shadow(figures, normalize).astype(np.float32).reshape(-1, 1)
            colors = self._lit * (1.0 - self._darkening * shadow)
            if len(self._kept) < KEPT:
                self._kept[stamp] = colors
        return colors

    def _shadow(
        self, figures: tuple[Figure, ...], normalize: Callable[[NDArray], NDArray[np.float32]]
    ) -> NDArray[np.float64]:
        total = np.zeros((FLOOR_CELLS, FLOOR_CELLS))
        for figure in figures:
            every = max(1, len(figure.positions) // SHADOW_POINTS)
            points = normalize(figure.positions[::every])
            cell = (points[:, [0, 2]] + FLOOR_RADIUS) * (FLOOR_CELLS / (2 * FLOOR_RADIUS))
            cell = cell.astype(np.int64)
            inside = ((cell >= 0) & (cell < FLOOR_CELLS)).all(1)
            weight = np.exp(-3.0 * np.maximum(points[inside, 1] - self.height, 0.0))
            flat = cell[inside] @ np.array([FLOOR_CELLS, 1])
            total += np.bincount(flat, weights=every * weight, minlength=FLOOR_CELLS**2).reshape(
                FLOOR_CELLS, FLOOR_CELLS
            )
        covered = 1.0 - np.exp(-total / max(len(figures), 1))
        return self._blur @ covered @ self._blur.T


def _blur_matrix(count: int, sigma: float) -> NDArray[np.float64]:
    index = np.arange(count)
    kernel = np.exp(-0.5 * ((index[:, None] - index[None]) / sigma) ** 2)
    return kernel / kernel.sum(1, keepdims=True)


def _floor_grid() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    line = (np.arange(FLOOR_CELLS) + 0.5) * (2 * FLOOR_RADIUS / FLOOR_CELLS) - FLOOR_RADIUS
    x, z = np.meshgrid(line, line, indexing="ij")
    return x, z


def _floor_mesh(height: float) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    x, z = _floor_grid()
    corners = np.stack([x, np.full_like(x, height), z], -1).reshape(-1, 3)
    row, column = np.meshgrid(np.arange(FLOOR_CELLS - 1), np.arange(FLOOR_CELLS - 1), indexing="ij")
    first = (row * FLOOR_CELLS + column).ravel()
    faces = np.concatenate(
        [
            np.stack([first, first + 1, first + FLOOR_CELLS + 1], -1),
            np.stack([first, first + FLOOR_CELLS + 1, first + FLOOR_CELLS], -1),
        ]
    )
    keep = (np.hypot(corners[faces, 0], corners[faces, 2]) < FLOOR_RADIUS).all(1)
    return corners, faces[keep]


def _floor_shades() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Colours [cells, 3] without a shadow, and how much a full shadow darkens them [cells, 1]."""
    x, z = _floor_grid()
    edge = np.clip((FLOOR_RADIUS * 0.97 - np.hypot(x, z)) / (0.75 * FLOOR_RADIUS), 0.0, 1.0)
    share = (edge * edge * (3 - 2 * edge)).reshape(-1, 1)
    color = np.array(theme.BACKGROUND) * (1 - share) + np.array(theme.FLOOR) * share
    return color.astype(np.float32), (0.42 * share).astype(np.float32)
