"""Onion skins: pale cut-outs of the motion a few frames earlier and later, behind the shown figure.

They are solid, as transparency makes every frame several times slower without a graphics card. Each is moved back along
the lines of sight: it stays in its place in the image, but the figure covers it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

import numpy as np
import polyscope as ps
from numpy.typing import NDArray

from m2v_studio.document.state import Same
from m2v_studio.view import theme
from m2v_studio.view.camera import Projection
from m2v_studio.view.figure import Figure

EARLIER: theme.Color = (0.30, 0.42, 0.95)
LATER: theme.Color = (0.95, 0.50, 0.15)
PALEST, STRONGEST = 0.80, 0.45  # shares of the background in their colours
NEAREST, APART = 0.16, 0.04  # sizes between the figure and the first skin, and between skins
MOST, WIDEST = 5, 12  # skins on a side; frames between them


@dataclass(frozen=True)
class Skins:
    """How many frames are shown before and after the one under the playhead, and how far apart."""

    shown: bool = False
    before: int = 2
    after: int = 2
    spacing: int = 3


@dataclass(frozen=True, eq=False)
class Skin:
    """One skin: a frame of the figure's motion, and its rank, 1 for the one nearest to the playhead."""

    frame: int
    rank: int
    color: theme.Color

    @property
    def behind(self) -> float:
        return NEAREST + APART * (self.rank - 1) + (APART / 2 if self.color == EARLIER else 0.0)


def skins_of(skins: Skins, frame: int, frames: int) -> tuple[Skin, ...]:
    """The skins for a playhead at `frame` of `frames`; none lie beyond the ends."""
    wanted = [Skin(frame - rank * skins.spacing, rank, EARLIER) for rank in range(1, skins.before + 1)]
    wanted += [Skin(frame + rank * skins.spacing, rank, LATER) for rank in range(1, skins.after + 1)]
    return tuple(skin for skin in wanted if 0 <= skin.frame < frames) if skins.shown else ()


def tint(skin: Skin, skins: Skins) -> theme.Color:
    """The skin's colour, paler with distance from the playhead."""
    most = max(skins.before, skins.after, 2)
    share = STRONGEST + (PALEST - STRONGEST) * (skin.rank - 1) / (most - 1)
    return theme.mix(skin.color, theme.BACKGROUND, share)


def away(projection: Projection, flat: bool, distance: float) -> NDArray[np.float64]:
    """The matrix [4, 4] that moves things back by about `distance` without changing their image."""
    matrix = np.eye(4)
    if flat:
        matrix[:3, 3] = -distance * projection.view[2, :3]
        return matrix
    eye = projection.eye
    factor = 1.0 + distance / max(float(np.linalg.norm(eye)), 1e-6)
    matrix[:3, :3] *= factor
    matrix[:3, 3] = (1.0 - factor) * eye
    return matrix


class OnionSkins:
    """The skins in Polyscope. Meshes are reused, and hidden while they are not needed."""

    def __init__(self) -> None:
        self._meshes: list[ps.SurfaceMesh] = []
        self._faces: NDArray[np.int32] | None = None
        self._stamps: list[Hashable] = []
        self._places: list[Hashable] = []
        self._visible = 0

    def remove(self) -> None:
        for mesh in self._meshes:
            mesh.remove()
        self._meshes, self._stamps, self._places, self._faces, self._visible = [], [], [], None, 0

    def show(
        self,
        figure: Figure | None,
        skins: Skins,
        projection: Projection,
        flat: bool,
        normalize: Callable[[NDArray], NDArray[np.float32]],
    ) -> None:
        """Draw the skins of a figure; None draws none. `normalize` maps source units to the scene."""
        wanted = () if figure is None else skins_of(skins, figure.frame, len(figure.track))
        if figure is not None and wanted and figure.faces is not self._faces:
            self.remove()
            self._faces = figure.faces
        for number, skin in enumerate(wanted):
            assert figure is not None
            color = tint(skin, skins)
            if number == len(self._meshes):
                self._add(normalize(figure.track[skin.frame]), figure.faces, color)
            mesh = self._meshes[number]
            stamp = (Same(figure.track), skin.frame)
            if self._stamps[number] != stamp:
                mesh.update_vertex_positions(normalize(figure.track[skin.frame]))
                self._stamps[number] = stamp
            place = (color, skin.behind, flat, projection.view.tobytes())
            if self._places[number] != place:
                mesh.set_color(color)
                mesh.set_transform(away(projection, flat, skin.behind))
                self._places[number] = place
        if len(wanted) != self._visible:
            self._visible = len(wanted)
            for number, mesh in enumerate(self._meshes):
                mesh.set_enabled(number < self._visible)

    def _add(self, vertices: NDArray[np.float32], faces: NDArray[np.int32], color: theme.Color) -> None:
        name = f"onion {len(self._meshes)}"  # not a figure's name, so a click on it grabs nothing
        mesh = ps.register_surface_mesh(name, vertices, faces, material="flat", color=color)
        mesh.set_back_face_policy("identical")
        mesh.set_transparency(1.0)
        mesh.set_enabled(False)
        self._meshes.append(mesh)
        self._stamps.append(None)
        self._places.append(None)
        self._visible = -1
