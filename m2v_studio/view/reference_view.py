"""Shows the reference image on its plane behind or beside the creature, in step with the timeline."""

from __future__ import annotations

import math
from collections.abc import Hashable

import numpy as np
import polyscope as ps
from numpy.typing import NDArray

from m2v_studio.document.facing import facing_yaw, yaw_of_side
from m2v_studio.document.reference import Reference
from m2v_studio.document.state import Same, State, frame_shown
from m2v_studio.view import theme
from m2v_studio.view.viewport import Viewport

LARGEST = 1.5  # length of the image's longer side, in the shape's sizes
AWAY = 0.2  # of the size: between the shape's box and the plane
CORNER_UV = np.array([[0, 0], [1, 0], [1, 1], [0, 0], [1, 1], [0, 1]], dtype=np.float32)
FACES = np.array([[0, 1, 2], [0, 2, 3]])


class ReferenceView:
    """The reference image in Polyscope; only changes are sent."""

    def __init__(self) -> None:
        self._mesh: ps.SurfaceMesh | None = None
        self._place: Hashable = None
        self._image: Hashable = None

    def show(
        self, state: State, frames: NDArray[np.uint8] | None, heading: float | None, floor: float, viewport: Viewport
    ) -> None:
        """Show one of `frames` [N, H, W, 3]. `heading` is the creature's if known, `floor` a height."""
        reference = state.document.reference
        source = state.document.source
        if reference is None or frames is None or viewport.norm is None or source is None:
            self.clear()
            return
        facing = None if heading is None else facing_yaw(source, heading)
        height, width = frames.shape[1:3]
        place = (reference.plane, facing, height, width, round(floor, 4), Same(viewport.norm))
        if self._mesh is None or place != self._place:
            self.clear()
            box = viewport.norm.apply(source.vertices)
            self._mesh = self._stand(corners(reference, facing, (width, height), floor, box))
            self._place = place
        number = reference.image_at(frame_shown(state), len(frames))
        image = (number, reference.opacity, theme.BACKGROUND, Same(frames))
        if image != self._image:
            self._paint(frames[number], reference.opacity, first=self._image is None)
            self._image = image

    def clear(self) -> None:
        if self._mesh is not None:
            self._mesh.remove()
        self._mesh, self._place, self._image = None, None, None

    @staticmethod
    def _stand(points: NDArray[np.float64]) -> ps.SurfaceMesh:
        mesh = ps.register_surface_mesh("m2v reference", points, FACES, material="flat")
        mesh.set_back_face_policy("cull")  # from behind it would hide the creature
        mesh.set_selection_mode("faces_only")
        mesh.set_transform(np.eye(4))
        mesh.set_enabled(True)
        mesh.add_parameterization_quantity("uv", CORNER_UV, defined_on="corners")
        return mesh

    def _paint(self, image: NDArray[np.uint8], opacity: float, first: bool) -> None:
        """Paint the image mixed with the background's colour, as nothing else is behind the plane."""
        assert self._mesh is not None
        behind = np.array(theme.BACKGROUND, dtype=np.float32)
        colors = behind + np.float32(opacity) * (image.astype(np.float32) / 255 - behind)
        if first:
            self._mesh.add_color_quantity("image", colors, defined_on="texture", param_name="uv", enabled=True)
        else:
            self._mesh.get_quantity_buffer("image", "colors").update_data(colors.reshape(-1, 3))


def corners(
    reference: Reference, facing: float | None, size: tuple[int, int], floor: float, box: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The corners [4, 3] of the plane from the bottom left on, as seen from the creature's front or right.

    It stands on the floor behind `box`, points [N, 3] of the shape in the space of the view.
    """
    yaw = math.radians(yaw_of_side("front" if reference.plane == "back" else "right", facing))
    back = np.array([math.sin(yaw), 0.0, math.cos(yaw)])
    right = np.array([math.cos(yaw), 0.0, -math.sin(yaw)])
    width, height = (LARGEST * side / max(size) for side in size)
    middle = ((box @ right).min() + (box @ right).max()) / 2
    depth = (box @ back).min() - AWAY
    up = np.array([0.0, 1.0, 0.0])
    base = middle * right + depth * back + (floor + 0.002) * up
    left, far = base - width / 2 * right, base + width / 2 * right
    return np.stack([left, far, far + height * up, left + height * up])
