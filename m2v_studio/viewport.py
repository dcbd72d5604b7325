"""Shows figures in Polyscope by difference: only what changed since the last frame is sent."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace

import numpy as np
import polyscope as ps
from numpy.typing import NDArray

from core.sequence import Normalization, SourceMesh
from m2v_studio import theme
from m2v_studio.camera import Camera, Projection, Region, fit_distance, focal_length, grid
from m2v_studio.scene import Figure, content_box
from m2v_studio.state import Same, State, normalization, shown_samples

FLOOR_CELLS = 72
FLOOR_RADIUS = 1.7
SHADOW_POINTS = 1500
EASE_SECONDS = 0.10  # how quickly the camera follows when the content grows


@dataclass
class _Shown:
    """What Polyscope was last told about one mesh."""

    mesh: ps.SurfaceMesh
    faces: NDArray
    count: int
    stamp: Hashable
    color: theme.Color
    opacity: float
    offset: tuple[float, float, float]
    heat_stamp: Hashable = None
    heat_max: float = 0.0
    heat_on: bool = False


class Viewport:
    """Owns every Polyscope structure and the camera. All coordinates given to Polyscope are normalised."""

    def __init__(self) -> None:
        self.camera = Camera()
        self.projection: Projection | None = None
        self.offsets: dict[str, NDArray[np.float64]] = {}  # of the figures shown, normalised
        self.cells: dict[str, Region] = {}
        self.figures: tuple[Figure, ...] = ()
        self.norm: Normalization | None = None
        self._source: SourceMesh | None = None
        self._shown: dict[str, _Shown] = {}
        self._view: NDArray | None = None
        self._distance: float | None = None
        self.still = False  # a handle is being dragged: the camera must not answer to what it drags
        self._target: NDArray[np.float64] = np.zeros(3)
        self._box: tuple[Hashable, tuple[NDArray, NDArray]] | None = None
        self._transparent: bool | None = None
        self.dear = False  # transparency is too slow here (no graphics card): solid colours while playing
        self._floor: ps.SurfaceMesh | None = None
        self._floor_height = 0.0
        self._floor_stamp: Hashable = None
        self._blur = _blur_matrix(FLOOR_CELLS, 1.7)

    # ---- once ---------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Fix everything Polyscope would otherwise choose from the structures."""
        ps.set_automatically_compute_scene_extents(False)
        ps.set_length_scale(1.0)
        ps.set_bounding_box((-0.5, -0.5, -0.5), (0.5, 0.5, 0.5))
        ps.set_ground_plane_mode("none")
        ps.set_transparency_render_passes(4)
        ps.set_up_dir("y_up")
        ps.set_navigation_style("none")
        ps.set_do_default_mouse_interaction(False)
        ps.set_background_color(theme.background_input(theme.BACKGROUND))
        # The camera is turned by the studio; a narrow view keeps figures beside each other alike.
        from m2v_studio.camera import FIELD_OF_VIEW

        ps.set_vertical_fov_degrees(FIELD_OF_VIEW)

    # ---- every frame --------------------------------------------------------------------------------------

    def show(
        self, state: State, figures: tuple[Figure, ...], region: Region, window: tuple[int, int], dt: float
    ) -> None:
        source = state.document.source
        if source is not self._source:
            self._exchange(source)
        self.figures = figures
        if source is None or self.norm is None:
            self.projection = None
            return
        self._place_camera(state, source, figures, region, window, dt)
        for figure in figures:
            self._show_figure(figure, source)
        see_through = any(figure.opacity < 1.0 for figure in figures)
        self._set_transparency(see_through and not (self.dear and state.view.playing))
        visible = {figure.name for figure in figures}
        for name, shown in self._shown.items():
            if shown.mesh.is_enabled() != (name in visible):
                shown.mesh.set_enabled(name in visible)
        self._show_floor(figures)

    def clear(self) -> None:
        """Take everything out of Polyscope."""
        self._exchange(None)

    def forget_framing(self) -> None:
        """Frame the content afresh (key F): no pan, no zoom, at once."""
        self.camera = replace(self.camera, zoom=1.0, pan=(0.0, 0.0, 0.0))
        self._distance = None

    def settle(self) -> None:
        """End the camera's easing: the next frame shows the content framed as it will stay."""
        if not self.still:
            self._distance = None

    def position(self, figure: Figure, vertex: int) -> NDArray[np.float64]:
        """Where a vertex of a figure is shown, in normalised space with the figure's offset."""
        assert self.norm is not None
        return self.norm.apply(figure.positions[vertex]) + self.offsets.get(figure.name, np.zeros(3))

    def to_view(self, figure: Figure, points: NDArray) -> NDArray[np.float64]:
        """Source units [..., 3] to where they are shown beside this figure."""
        assert self.norm is not None
        return self.norm.apply(points) + self.offsets.get(figure.name, np.zeros(3))

    def to_source(self, figure: Figure, points: NDArray) -> NDArray[np.float64]:
        assert self.norm is not None
        return self.norm.invert(points - self.offsets.get(figure.name, np.zeros(3)))

    def _set_transparency(self, wanted: bool) -> None:
        """Polyscope turns depth peeling on by itself and never off again; it makes every frame several times dearer."""
        if wanted != self._transparent:
            ps.set_transparency_mode("pretty" if wanted else "none")
            self._transparent = wanted

    @property
    def transparent(self) -> bool:
        return bool(self._transparent)

    # ---- parts --------------------------------------------------------------------------------------------

    def _exchange(self, source: SourceMesh | None) -> None:
        for shown in self._shown.values():
            shown.mesh.remove()
        self._shown.clear()
        if self._floor is not None:
            self._floor.remove()
            self._floor, self._floor_stamp = None, None
        self._source, self.norm = source, None if source is None else normalization(source)
        self.camera = Camera()
        self._distance, self._box, self._view = None, None, None
        if source is not None and self.norm is not None:
            self._floor_height = float(self.norm.apply(source.vertices)[:, 1].min()) - 0.002

    def _place_camera(
        self,
        state: State,
        source: SourceMesh,
        figures: tuple[Figure, ...],
        region: Region,
        window: tuple[int, int],
        dt: float,
    ) -> None:
        assert self.norm is not None
        keys = tuple(Same(handle.keys) for handle in state.document.handles)
        key = (Same(source), Same(state.results), shown_samples(state), keys)
        if self._box is None or self._box[0] != key:
            low, high = (self.norm.apply(corner) for corner in content_box(state, source))
            self._box = (key, (np.minimum(low, high), np.maximum(low, high)))
        low, high = self._box[1]
        focal = focal_length(window[1])
        side = [figure for figure in figures if figure.cell is not None]
        columns, rows = 1, 1
        if side:
            spread = (high - low) @ np.abs(self.camera.axes()).T
            columns, rows = grid(len(side), region, float(spread[0] / max(spread[1], 1e-6)))
        cell = region.width / columns, region.height / rows
        shift = region.center[0] - window[0] / 2, region.center[1] - window[1] / 2
        wanted = fit_distance(self.camera, low, high, cell, focal, shift) * self.camera.zoom
        target = (low + high) / 2
        if self._distance is None:
            self._distance, self._target = wanted, target
        share = 0.0 if self.still else 1.0 - float(np.exp(-dt / EASE_SECONDS))
        self._distance += (wanted - self._distance) * share
        self._target = self._target + (target - self._target) * share
        projection = Projection.of(self.camera, self._target, self._distance, region.center, (window[0], window[1]))
        self.projection = projection
        if self._view is None or not np.allclose(self._view, projection.view, atol=1e-6):
            self._view = projection.view
            ps.set_camera_view_matrix(projection.view)
        self._place_cells(figures, region, columns, cell)

    def _place_cells(
        self, figures: tuple[Figure, ...], region: Region, columns: int, cell: tuple[float, float]
    ) -> None:
        assert self.projection is not None and self._distance is not None
        self.offsets, self.cells = {}, {}
        for index, figure in enumerate(figures):
            if figure.cell is None:
                self.cells[figure.name] = region
                continue
            box = Region(
                region.x + (index % columns) * cell[0], region.y + (index // columns) * cell[1], cell[0], cell[1]
            )
            self.cells[figure.name] = box
            dx, dy = box.center[0] - region.center[0], box.center[1] - region.center[1]
            self.offsets[figure.name] = self.projection.in_plane(self._target + np.asarray(self.camera.pan), dx, dy)

    def _show_figure(self, figure: Figure, source: SourceMesh) -> None:
        assert self.norm is not None
        raw = self.offsets.get(figure.name, np.zeros(3))
        offset = (round(float(raw[0]), 6), round(float(raw[1]), 6), round(float(raw[2]), 6))
        shown = self._shown.get(figure.name)
        if shown is None or shown.faces is not source.faces:
            mesh = ps.register_surface_mesh(
                f"m2v {figure.name}", self._vertices(figure), source.faces, smooth_shade=True, material="clay"
            )
            mesh.set_selection_mode("vertices_only")
            mesh.set_back_face_policy("identical")
            mesh.set_color(figure.color)
            # Polyscope keeps these by name, from a mesh of this name that was removed before.
            mesh.set_transparency(1.0)
            mesh.set_transform(np.eye(4))
            mesh.set_enabled(True)
            shown = _Shown(mesh, source.faces, len(source.vertices), figure.stamp, figure.color, 1.0, (0.0, 0.0, 0.0))
            self._shown[figure.name] = shown
        if shown.stamp != figure.stamp:
            shown.mesh.update_vertex_positions(self._vertices(figure))
            shown.stamp = figure.stamp
        if shown.color != figure.color:
            shown.mesh.set_color(figure.color)
            shown.color = figure.color
        if shown.opacity != figure.opacity:
            shown.mesh.set_transparency(figure.opacity)
            shown.opacity = figure.opacity
        if shown.offset != offset:
            matrix = np.eye(4)
            matrix[:3, 3] = offset
            shown.mesh.set_transform(matrix)
            shown.offset = offset
        self._show_heat(shown, figure)

    def _vertices(self, figure: Figure) -> NDArray[np.float32]:
        """[V, 3] normalised, in single precision: this runs for every frame that is played."""
        return self._fast(figure.positions)

    def _fast(self, points: NDArray) -> NDArray[np.float32]:
        assert self.norm is not None
        turn = (self.norm.rotation.T / self.norm.scale).astype(np.float32)
        return (points - self.norm.center.astype(np.float32)) @ turn

    def _show_heat(self, shown: _Shown, figure: Figure) -> None:
        if figure.heat is None:
            if shown.heat_on:
                shown.mesh.remove_quantity("heat")
                shown.heat_on, shown.heat_stamp = False, None
            return
        if shown.heat_on and shown.heat_stamp == figure.heat_stamp:
            return
        values = np.ascontiguousarray(figure.heat, dtype=np.float32)
        if not shown.heat_on or shown.heat_max != figure.heat_max:
            shown.mesh.add_scalar_quantity(
                "heat", values, enabled=True, cmap="viridis", vminmax=(0.0, max(figure.heat_max, 1e-6))
            )
            shown.heat_on, shown.heat_max = True, figure.heat_max
        else:
            shown.mesh.get_quantity_buffer("heat", "values").update_data(values)
        shown.heat_stamp = figure.heat_stamp

    # ---- the floor ----------------------------------------------------------------------------------------

    def _show_floor(self, figures: tuple[Figure, ...]) -> None:
        """A round floor that fades into the background, with a soft contact shadow. Polyscope's own ground and
        shadow cost 90 ms a frame in software rendering; this costs well under 1 ms."""
        visible = bool(figures) and all(figure.cell is None for figure in figures)
        if self._floor is None:
            corners, faces = _floor_mesh(self._floor_height)
            self._floor = ps.register_surface_mesh("m2v floor", corners, faces, material="flat", smooth_shade=True)
            self._floor.set_back_face_policy("cull")
            self._floor.add_color_quantity("shade", _floor_colors(None), enabled=True)
        if self._floor.is_enabled() != visible:
            self._floor.set_enabled(visible)
        stamp = tuple(figure.stamp for figure in figures)
        if not visible or stamp == self._floor_stamp:
            return
        self._floor_stamp = stamp
        colors = _floor_colors(self._shadow(figures)).astype(np.float32)
        self._floor.get_quantity_buffer("shade", "colors").update_data(colors)

    def _shadow(self, figures: tuple[Figure, ...]) -> NDArray[np.float64]:
        assert self.norm is not None
        total = np.zeros((FLOOR_CELLS, FLOOR_CELLS))
        for figure in figures:
            every = max(1, len(figure.positions) // SHADOW_POINTS)
            points = self._fast(figure.positions[::every])
            cell = (points[:, [0, 2]] + FLOOR_RADIUS) * (FLOOR_CELLS / (2 * FLOOR_RADIUS))
            cell = cell.astype(np.int64)
            inside = ((cell >= 0) & (cell < FLOOR_CELLS)).all(1)
            weight = np.exp(-3.0 * np.maximum(points[inside, 1] - self._floor_height, 0.0))
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


def _floor_colors(shadow: NDArray[np.float64] | None) -> NDArray[np.float64]:
    x, z = _floor_grid()
    edge = np.clip((FLOOR_RADIUS * 0.97 - np.hypot(x, z)) / (0.75 * FLOOR_RADIUS), 0.0, 1.0)
    share = (edge * edge * (3 - 2 * edge))[..., None]
    color = np.array(theme.BACKGROUND) * (1 - share) + np.array(theme.FLOOR) * share
    if shadow is not None:
        color = color * (1.0 - 0.42 * (share * shadow[..., None]))
    return color.reshape(-1, 3)
