"""Shows figures in Polyscope; only changes since the last frame are sent."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace

import numpy as np
import polyscope as ps
from numpy.typing import NDArray

from core.io.appearance import Appearance
from core.sequence import Handle, Normalization, SourceMesh
from m2v_studio.document.state import Same, State, view_key, view_normalization
from m2v_studio.view import style, theme
from m2v_studio.view.camera import Camera, Projection, Region, fit_distance, focal_length, grid
from m2v_studio.view.figure import Figure
from m2v_studio.view.floor import Floor
from m2v_studio.view.looks import hide_looks, show_looks
from m2v_studio.view.onion import OnionSkins, Skins
from m2v_studio.view.scan_scene import dot_radius
from m2v_studio.view.scene import content_box, content_stamp, floor_level, motion_box
from m2v_studio.view.screen import HandleOnScreen, handles_on_screen

NO_OFFSET = np.zeros(3)
CELL_TITLE = 26.0  # pixels at scale 1 that a figure's name takes at the top of its cell


def is_see_through(figure: Figure) -> bool:
    """True when the shown materials of the mesh are partly transparent."""
    shown = figure.looks is not None and figure.heat is None and figure.tint is None
    return shown and figure.looks is not None and figure.looks.opacity is not None


@dataclass
class _ShownMesh:
    """What was last sent to Polyscope for one mesh."""

    mesh: ps.SurfaceMesh
    faces: NDArray
    count: int
    stamp: Hashable
    color: theme.Color
    opacity: float
    offset: tuple[float, float, float]
    enabled: bool = True
    heat_stamp: Hashable = None
    heat_max: float = 0.0
    heat_on: bool = False
    looks: Appearance | None = None
    tint: NDArray[np.float32] | None = None


class Viewport:
    """Owns every Polyscope structure and the camera. All coordinates given to Polyscope are normalised."""

    def __init__(self) -> None:
        self.camera = Camera()
        self.projection: Projection | None = None
        self.offsets: dict[str, NDArray[np.float64]] = {}  # of the figures shown, normalised
        self.cells: dict[str, Region] = {}
        self.figures: tuple[Figure, ...] = ()
        self.norm: Normalization | None = None
        self._opened: Hashable = None
        self._source: SourceMesh | None = None
        self._shown: dict[str, _ShownMesh] = {}
        self._camera_stamp: Hashable = None  # what the camera was last placed for, once it was still
        self._on_screen: dict[str, tuple[Hashable, tuple[HandleOnScreen, ...]]] = {}
        self._target: NDArray[np.float64] = np.zeros(3)
        self._box: tuple[NDArray, NDArray] | None = None  # what the camera frames, until it is framed again
        self._floor_stamp: Hashable = None
        self._transparent: bool | None = None
        self.dear = False  # transparency is too slow here (no graphics card): solid colours while playing
        self._floor = Floor()
        self._onion, self.skins = OnionSkins(), Skins()
        self._turn, self._center = np.eye(3, dtype=np.float32), np.zeros(3, dtype=np.float32)

    # ---- once ---------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Set all that Polyscope would otherwise derive from its structures."""
        ps.set_automatically_compute_scene_extents(False)
        ps.set_length_scale(1.0)
        ps.set_bounding_box((-0.5, -0.5, -0.5), (0.5, 0.5, 0.5))
        ps.set_ground_plane_mode("none")
        ps.set_transparency_render_passes(4)
        ps.set_up_dir("y_up")
        ps.set_navigation_style("none")
        ps.set_do_default_mouse_interaction(False)
        self.recolor()
        # The camera is turned by the studio; a narrow view keeps figures beside each other alike.
        from m2v_studio.view.camera import FIELD_OF_VIEW

        ps.set_vertical_fov_degrees(FIELD_OF_VIEW)

    def recolor(self) -> None:
        """Use the current theme's colours."""
        ps.set_background_color(theme.background_input(theme.BACKGROUND))
        self._floor.recolor()

    # ---- every frame --------------------------------------------------------------------------------------

    def show(self, state: State, figures: tuple[Figure, ...], region: Region, window: tuple[int, int]) -> None:
        if view_key(state.document) != self._opened:
            self._exchange(state)
        self.figures = figures
        if self.norm is None:
            self.projection = None
            return
        self._place_floor(state, self.norm)
        self._place_camera(state, self.norm, figures, region, window)
        for figure in figures:
            self._show_figure(figure)
        see_through = any(figure.opacity < 1.0 or is_see_through(figure) for figure in figures)
        self._set_transparency(see_through and not (self.dear and state.view.playing))
        visible = {figure.name for figure in figures}
        for name, shown in self._shown.items():
            if shown.enabled != (name in visible):
                shown.enabled = name in visible
                shown.mesh.set_enabled(shown.enabled)
        self._floor.show(figures, self._fast)
        alone = figures[0] if state.view.layout == "one" and state.results is not None and figures else None
        if self.projection is not None:
            self._onion.show(alone, self.skins, self.projection, self.camera.flat, self._fast)

    def clear(self) -> None:
        """Remove everything from Polyscope."""
        self._exchange(State())

    def forget_framing(self) -> None:
        """Frame the content again, without pan and zoom (key F). Otherwise only the mouse moves the camera."""
        self.camera = replace(self.camera, zoom=1.0, pan=(0.0, 0.0, 0.0))
        self._box = None

    def frame(self, low: NDArray[np.float64], high: NDArray[np.float64]) -> None:
        """Fill the view with a box, given by its corners [3] in normalised space."""
        self.camera = replace(self.camera, zoom=1.0, pan=(0.0, 0.0, 0.0))
        self._box, self._camera_stamp = (low, high), None

    def position(self, figure: Figure, vertex: int) -> NDArray[np.float64]:
        """The position [3] of a figure's vertex in normalised space, with the figure's offset."""
        return self.to_view(figure, figure.positions[vertex])

    def to_view(self, figure: Figure, points: NDArray) -> NDArray[np.float64]:
        """Points [..., 3] in source units to normalised space, with the figure's offset."""
        assert self.norm is not None
        return self.norm.apply(points) + self.offsets.get(figure.name, NO_OFFSET)

    def on_screen(self, figure: Figure, handles: tuple[Handle, ...]) -> tuple[HandleOnScreen, ...]:
        """The pixels of the handles on this figure, cached until the camera, motion or handles change."""
        projection, source = self.projection, self._source
        if projection is None or source is None:
            return ()
        stamp = (Same(handles), Same(figure.track), Same(projection), Same(self.offsets.get(figure.name)))
        kept = self._on_screen.get(figure.name)
        if kept is None or kept[0] != stamp:
            found = handles_on_screen(
                handles, figure.track, source.vertices, projection, lambda points: self.to_view(figure, points)
            )
            kept = self._on_screen[figure.name] = (stamp, found)
        return kept[1]

    def to_source(self, figure: Figure, points: NDArray) -> NDArray[np.float64]:
        assert self.norm is not None
        return self.norm.invert(points - self.offsets.get(figure.name, NO_OFFSET))

    def _set_transparency(self, wanted: bool) -> None:
        """Polyscope turns depth peeling on by itself and never off; it makes every frame several times slower."""
        if wanted != self._transparent:
            ps.set_transparency_mode("pretty" if wanted else "none")
            self._transparent = wanted

    @property
    def floor_height(self) -> float:
        """Normalised."""
        return self._floor.height

    @property
    def transparent(self) -> bool:
        return bool(self._transparent)

    # ---- parts --------------------------------------------------------------------------------------------

    def _exchange(self, state: State) -> None:
        for shown in self._shown.values():
            shown.mesh.remove()
        self._shown.clear()
        self._floor.remove()
        self._onion.remove()
        document = state.document
        self._opened, self._source, self.norm = view_key(document), document.source, view_normalization(document)
        self.camera = Camera()
        self._box, self._camera_stamp, self._floor_stamp = None, None, None
        self._on_screen.clear()
        if self.norm is not None:
            self._turn = (self.norm.rotation.T / self.norm.scale).astype(np.float32)
            self._center = self.norm.center.astype(np.float32)

    def _place_floor(self, state: State, norm: Normalization) -> None:
        """Put the floor under the content; feet below it would look cut off."""
        stamp = content_stamp(state)
        if stamp == self._floor_stamp:
            return
        self._floor_stamp = stamp
        scans = state.document.scans
        # The dots of a scan have a size: the lowest ones lie on the floor, not half in it.
        level = floor_level(motion_box(state), norm) - (0.002 if scans is None else max(0.002, dot_radius(scans)))
        if abs(level - self._floor.height) > 1e-4:
            self._floor.remove()
            self._floor.height = level

    def _place_camera(
        self, state: State, norm: Normalization, figures: tuple[Figure, ...], region: Region, window: tuple[int, int]
    ) -> None:
        stamp = (self.camera, region, window, tuple((figure.name, figure.cell) for figure in figures))
        if self._box is not None and stamp == self._camera_stamp:
            return
        if self._box is None:
            corners = [norm.apply(corner) for corner in content_box(state, motion_box(state))]
            self._box = np.minimum(*corners), np.maximum(*corners)
        self._camera_stamp = stamp
        low, high = self._box
        focal = focal_length(window[1])
        side = [figure for figure in figures if figure.cell is not None]
        columns, rows = 1, 1
        if side:
            spread = (high - low) @ np.abs(self.camera.axes()).T
            columns, rows = grid(len(side), region, float(spread[0] / max(spread[1], 1e-6)))
        cell = region.width / columns, region.height / rows
        title = CELL_TITLE * style.current_scale if side else 0.0
        shift = region.center[0] - window[0] / 2, region.center[1] - window[1] / 2
        distance = fit_distance(self.camera, low, high, (cell[0], cell[1] - title), focal, shift) * self.camera.zoom
        self._target = (low + high) / 2
        self.projection = Projection.of(self.camera, self._target, distance, region.center, (window[0], window[1]))
        ps.set_view_projection_mode("orthographic" if self.camera.flat else "perspective")
        ps.set_vertical_fov_degrees(self.projection.vertical_degrees)
        ps.set_camera_view_matrix(self.projection.view)
        self._place_cells(figures, region, columns, cell, title)

    def _place_cells(
        self, figures: tuple[Figure, ...], region: Region, columns: int, cell: tuple[float, float], title: float
    ) -> None:
        assert self.projection is not None
        self.offsets, self.cells = {}, {}
        for index, figure in enumerate(figures):
            if figure.cell is None:
                self.cells[figure.name] = region
                continue
            box = Region(
                region.x + (index % columns) * cell[0], region.y + (index // columns) * cell[1], cell[0], cell[1]
            )
            self.cells[figure.name] = box
            dx, dy = box.center[0] - region.center[0], box.center[1] + title / 2 - region.center[1]
            self.offsets[figure.name] = self.projection.in_plane(self._target + np.asarray(self.camera.pan), dx, dy)

    def _show_figure(self, figure: Figure) -> None:
        assert self.norm is not None
        raw = self.offsets.get(figure.name, NO_OFFSET)
        offset = (round(float(raw[0]), 6), round(float(raw[1]), 6), round(float(raw[2]), 6))
        shown = self._shown.get(figure.name)
        if shown is None or shown.faces is not figure.faces:
            mesh = ps.register_surface_mesh(
                f"m2v {figure.name}", self._vertices(figure), figure.faces, smooth_shade=True, material="clay"
            )
            mesh.set_selection_mode("vertices_only")
            mesh.set_back_face_policy("identical")
            mesh.set_color(figure.color)
            # Polyscope keeps these by name, from a mesh of this name that was removed before.
            mesh.set_transparency(1.0)
            mesh.set_transform(np.eye(4))
            mesh.set_enabled(True)
            shown = _ShownMesh(
                mesh, figure.faces, len(figure.positions), figure.stamp, figure.color, 1.0, (0.0, 0.0, 0.0)
            )
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
        looks = figure.looks if figure.heat is None and figure.tint is None else None
        if looks is not shown.looks:
            if shown.looks is not None:
                hide_looks(shown.mesh)
            if looks is not None:
                show_looks(shown.mesh, looks)
            shown.looks = looks
        tint = figure.tint if figure.heat is None else None
        if tint is not shown.tint:
            if tint is None:
                shown.mesh.remove_quantity("regions")
            else:
                shown.mesh.add_color_quantity("regions", tint, enabled=True)
            shown.tint = tint
        self._show_heat(shown, figure)

    def _vertices(self, figure: Figure) -> NDArray[np.float32]:
        """[V, 3] normalised, in single precision: this runs for every frame that is played."""
        return self._fast(figure.positions)

    def _fast(self, points: NDArray) -> NDArray[np.float32]:
        return (points - self._center) @ self._turn

    def _show_heat(self, shown: _ShownMesh, figure: Figure) -> None:
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
