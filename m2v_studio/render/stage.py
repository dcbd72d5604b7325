"""Draws one figure of a film: Polyscope renders the surface off-screen, ground and shadow are computed here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polyscope as ps
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.sparse import csr_matrix, diags

from core.errors import ExportError
from core.geometry.creases import split_at_creases
from core.io.appearance import displayed, linear
from core.sequence import Normalization
from m2v_studio.render.framing import FIELD_OF_VIEW, Eye
from m2v_studio.render.shot import Actor
from m2v_studio.render.soft_light import SoftLight

FINE = 2  # pixels drawn along a side for each one kept
GROUND_CELLS = 128
SHADOW_ROOM = 0.75  # sizes around the motion that have a shadow
SHADOW_SOFTNESS = 0.8  # cells
SHADOW_DEPTH = (0.84, 0.82, 0.78)  # by colour: shadows have the sky's colour
FLOOR, BACKDROP_TOP, BACKDROP_BOTTOM = (0.953, 0.957, 0.965), (0.862, 0.879, 0.902), (0.925, 0.934, 0.947)
STANDING = 0.3  # fraction of frames that may reach below the ground
SMOOTHING = 2  # smoothing rounds over neighbours, which hide the grids of the light directions
BRIGHTEST = 1.3  # of light in an 8-bit image
LAYERS = 6  # layers of transparent surfaces
GAMMA = 2.2  # Polyscope blends transparent surfaces in linear light: values to this power


class Stage:
    """The one off-screen window of a process. `size` is that of a figure's image in pixels.

    `see_through` is for figures with transparent parts; it makes every image several times slower.
    """

    def __init__(self, size: tuple[int, int], see_through: bool = False) -> None:
        self.size = size
        ps.set_verbosity(0)
        ps.set_use_prefs_file(False)
        ps.set_errors_throw_exceptions(True)
        ps.set_build_default_gui_panels(False)
        ps.set_window_size(FINE * size[0], FINE * size[1])
        try:
            ps.init("openGL3_egl")
        except RuntimeError as error:
            raise ExportError(
                f"This machine cannot draw without a display ({error}); install Mesa's EGL, on Debian "
                "`apt-get install libegl1 libgl1 libgl1-mesa-dri`."
            ) from error
        ps.set_ground_plane_mode("none")
        ps.set_automatically_compute_scene_extents(False)
        ps.set_length_scale(1.0)
        ps.set_bounding_box((-0.5, -0.5, -0.5), (0.5, 0.5, 0.5))
        ps.set_vertical_fov_degrees(FIELD_OF_VIEW)
        ps.set_background_color((0.0, 0.0, 0.0, 0.0))
        ps.set_transparency_render_passes(LAYERS)
        ps.set_transparency_mode("pretty" if see_through else "none")

    def look(self, eye: Eye) -> None:
        ps.set_camera_view_matrix(eye.view)

    def painted(self) -> NDArray[np.uint8]:
        """[FINE H, FINE W, 4] the current drawing on a transparent background; premultiplied in linear light."""
        return ps.screenshot_to_buffer(transparent_bg=True)


class Scene:
    """An actor's placement: size 1, centred on the Y axis, standing on the ground.

    The ground is at the lowest point of most frames, so that one dipping foot does not lift the others.
    """

    def __init__(self, actor: Actor) -> None:
        norm = Normalization.of(actor.track[0], actor.up_axis)
        turn, center = (norm.rotation.T / norm.scale).astype(np.float32), norm.center.astype(np.float32)
        track = (actor.track - center) @ turn
        middle = (track.reshape(-1, 3).min(axis=0) + track.reshape(-1, 3).max(axis=0)) / 2
        ground = np.quantile(track[..., 1].min(axis=1), STANDING)
        self.track: NDArray[np.float32] = (track - np.array([middle[0], ground, middle[2]])).astype(np.float32)


def turned(points: NDArray[np.float32], degrees: float) -> NDArray[np.float32]:
    """Points [..., 3] turned about Y, so that the side at `degrees` is in front."""
    angle = -np.radians(degrees)
    cosine, sine = np.cos(angle), np.sin(angle)
    matrix = np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]], dtype=np.float32)
    return points @ matrix.T


@dataclass(frozen=True, eq=False)
class RenderedFigure:
    """One rendered figure, values from 0 to 1."""

    body: NDArray[np.float32]  # [H, W, 4], colours not multiplied by alpha
    light: NDArray[np.float32]  # [H, W, 3] on the ground, 1 where unobstructed
    ground: NDArray[np.float32]  # [H, W, 1] visibility of the ground

    def over_backdrop(self) -> NDArray[np.float32]:
        """[H, W, 3] on a ground that fades into a bright room."""
        height = len(self.body)
        fade = np.linspace(0.0, 1.0, height, dtype=np.float32)[:, None, None]
        room = np.array(BACKDROP_TOP, np.float32) * (1 - fade) + np.array(BACKDROP_BOTTOM, np.float32) * fade
        floor = displayed(linear(FLOOR) * self.light).astype(np.float32)
        image: NDArray[np.float32] = room * (1 - self.ground) + floor * self.ground
        alpha = self.body[..., 3]
        image[alpha == 1] = self.body[alpha == 1][:, :3]
        part = (alpha > 0) & (alpha < 1)
        share, body = alpha[part][:, None], self.body[part][:, :3]
        image[part] = (image[part] ** GAMMA * (1 - share) + body**GAMMA * share) ** np.float32(1 / GAMMA)
        return image

    def alone(self) -> NDArray[np.float32]:
        """[H, W, 4] the figure with its shadow and nothing else; colours not multiplied by alpha."""
        dark = self.ground[..., 0] * (1 - displayed(self.light).min(axis=-1)).astype(np.float32)
        alpha = self.body[..., 3]
        total = alpha + (1 - alpha) * dark
        share = (alpha / np.maximum(total, 1e-6))[..., None]
        return np.concatenate([self.body[..., :3] * share, total[..., None]], axis=-1)


class FilmedFigure:
    """One actor on a stage, seen by one eye."""

    def __init__(self, actor: Actor, scene: Scene, stage: Stage, eye: Eye) -> None:
        self._looks, self._color = actor.looks, actor.color
        self._stage, self._eye = stage, eye
        self._origin, self._faces = split_at_creases(actor.track[0], actor.faces)
        rest = scene.track[0][self._origin]
        self._opacity = None if actor.looks is None else actor.looks.opacity
        self._soft_light = SoftLight(rest, self._faces, self._opacity)
        corners = self._faces.ravel()
        shape = (len(self._origin), len(self._faces))
        self._around = csr_matrix((np.ones(len(corners), np.float32), (corners, np.arange(len(corners)) // 3)), shape)
        self._even = diags(1 / np.asarray(self._around.sum(axis=1)).ravel()) @ self._around  # means of faces around
        self._reach = float(np.hypot(scene.track[..., 0], scene.track[..., 2]).max()) + SHADOW_ROOM
        line = np.linspace(-self._reach, self._reach, GROUND_CELLS, dtype=np.float32)
        x, z = np.meshgrid(line, line, indexing="ij")
        self._ground = np.stack([x, np.zeros_like(x), z], axis=-1).reshape(-1, 3)
        self._below, self._cells, self._seen = self._ground_in_image()
        self._colors = self._vertex_colors()
        self._light = self._mesh("light", rest)
        self._light.add_color_quantity("light", np.ones_like(rest), enabled=True)
        self._albedo = None if self._colors is not None else self._mesh("looks", rest)
        if self._albedo is not None:
            self._paint(self._albedo)

    def _mesh(self, name: str, rest: NDArray[np.float32]) -> ps.SurfaceMesh:
        mesh = ps.register_surface_mesh(f"{name} {id(self)}", rest, self._faces, smooth_shade=True, material="flat")
        mesh.set_back_face_policy("identical")
        if self._opacity is not None:
            mesh.add_scalar_quantity("opacity", self._opacity, defined_on="faces")
            mesh.set_transparency_quantity("opacity")
        mesh.set_enabled(False)
        return mesh

    def _paint(self, mesh: ps.SurfaceMesh) -> None:
        looks = self._looks
        assert looks is not None
        if looks.image is not None and looks.corner_uv is not None:
            mesh.add_parameterization_quantity("uv", looks.corner_uv, defined_on="corners")
            colors = looks.image / np.float32(255)
            mesh.add_color_quantity("looks", colors, defined_on="texture", param_name="uv", enabled=True)
        elif looks.face_colors is not None:
            mesh.add_color_quantity("looks", looks.face_colors, defined_on="faces", enabled=True)

    def _vertex_colors(self) -> NDArray[np.float32] | None:
        """[V', 3] linear, where the looks are by vertex or all the same."""
        looks, count = self._looks, len(self._origin)
        if looks is None:
            return np.tile(linear(self._color), (count, 1)).astype(np.float32)
        if looks.vertex_colors is not None:
            return linear(looks.vertex_colors)[self._origin].astype(np.float32)
        if looks.face_colors is not None and np.ptp(looks.face_colors, axis=0).max() < 1e-3:
            return np.tile(linear(looks.face_colors[0]), (count, 1)).astype(np.float32)
        return None

    def _ground_in_image(self) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float32]]:
        """Pixels [H, W] in which the ground is seen, their places on its grid [2, P], and how much of it [H, W, 1]."""
        rays, eye = self._eye.rays(), self._eye.place
        down = rays[..., 1] < -1e-4
        far = np.where(down, -eye[1] / np.where(down, rays[..., 1], -1.0), 0.0)
        place = eye + far[..., None] * rays
        edge = (0.97 - np.hypot(place[..., 0], place[..., 2]) / self._reach).clip(0.0, 0.55) / 0.55
        seen = np.where(down, edge * edge * (3 - 2 * edge), 0.0)
        below = seen > 0
        cells = (place[below][:, [0, 2]].T + self._reach) / (2 * self._reach) * (GROUND_CELLS - 1)
        return below, cells, seen[..., None].astype(np.float32)

    def draw(self, positions: NDArray[np.float32]) -> RenderedFigure:
        """The figure with its vertices at scene positions [V, 3]."""
        vertices = np.ascontiguousarray(positions[self._origin])
        corners = vertices[self._faces]
        normals = self._around @ np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-20)
        light, floor = self._soft_light.on(vertices, normals, self._ground, 1.0)
        for _ in range(SMOOTHING):
            light = self._even @ light[self._faces].mean(axis=1)
        body = self._shaded(vertices, light)
        grid = gaussian_filter(floor.mean(axis=1).reshape(GROUND_CELLS, GROUND_CELLS), SHADOW_SOFTNESS)
        dark = np.zeros(self._seen.shape, dtype=np.float32)
        dark[self._below] = 1 - map_coordinates(grid, self._cells, order=1, mode="nearest")[:, None].clip(0.0, 1.0)
        return RenderedFigure(body, 1 - dark * np.array(SHADOW_DEPTH, np.float32), self._seen)

    def _shaded(self, vertices: NDArray[np.float32], light: NDArray[np.float32]) -> NDArray[np.float32]:
        """[H, W, 4] the surface alone, colours not multiplied by alpha."""
        shade = light / BRIGHTEST if self._colors is None else light * self._colors
        self._light.get_quantity_buffer("light", "colors").update_data(displayed(shade).astype(np.float32))
        painted = self._painted(self._light, vertices)
        part = _drawn(painted[..., 3] > 0)
        fine = _unmixed(painted[part])
        if self._albedo is not None:
            # Screen values are nearly a power of the light, so their products correspond.
            albedo = _unmixed(self._painted(self._albedo, vertices)[part])[..., :3]
            fine[..., :3] *= albedo * np.float32(BRIGHTEST ** (1 / GAMMA))
        fine[..., :3] *= fine[..., 3:]
        small = np.zeros_like(fine[::FINE, ::FINE])
        for row in range(FINE):
            for column in range(FINE):
                small += fine[row::FINE, column::FINE] / np.float32(FINE**2)
        small[..., :3] /= np.maximum(small[..., 3:], 1e-6)
        whole = np.zeros((self._stage.size[1], self._stage.size[0], 4), dtype=np.float32)
        whole[tuple(slice(side.start // FINE, side.stop // FINE) for side in part)] = small.clip(0.0, 1.0)
        return whole

    def _painted(self, mesh: ps.SurfaceMesh, vertices: NDArray[np.float32]) -> NDArray[np.uint8]:
        mesh.update_vertex_positions(vertices)
        mesh.set_enabled(True)
        painted = self._stage.painted()
        mesh.set_enabled(False)
        return painted


def _unmixed(painted: NDArray[np.uint8]) -> NDArray[np.float32]:
    """[..., 4] from 0 to 1, its light no longer multiplied by alpha."""
    values: NDArray[np.float32] = painted.astype(np.float32) / np.float32(255)
    part = (painted[..., 3] > 0) & (painted[..., 3] < 255)
    if part.any():
        values[part, :3] *= values[part, 3:] ** np.float32(-1 / GAMMA)
    return values


def _drawn(inside: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The rows and columns of a fine image [FINE H, FINE W] that hold everything inside, in whole kept pixels."""
    sides = []
    for axis in (1, 0):
        places = np.flatnonzero(inside.any(axis=axis))
        first, last = (places[0], places[-1]) if len(places) else (0, 0)
        sides.append(slice(int(first) // FINE * FINE, (int(last) // FINE + 1) * FINE))
    return sides[0], sides[1]
