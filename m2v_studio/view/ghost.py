"""Shows a reference motion as a pale cut-out behind the creature, in step with the timeline.

Like onion skins it is solid and moved back along the lines of sight, so it is visible where the motions differ.
"""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import polyscope as ps
from numpy.typing import NDArray

from m2v_studio.document.state import Same, State, frame_shown
from m2v_studio.view import theme
from m2v_studio.view.onion import away
from m2v_studio.view.viewport import Viewport

BEHIND = 0.05  # of the size; much more, and the floor hides its feet
COLOR: theme.Color = (0.10, 0.62, 0.52)
PALE = 0.45  # share of the background in its colour


class Ghost:
    """The reference motion in Polyscope; only changes are sent."""

    def __init__(self) -> None:
        self._mesh: ps.SurfaceMesh | None = None
        self._faces: Hashable = None
        self._stamp: Hashable = None
        self._place: Hashable = None

    def show(self, state: State, track: NDArray[np.float32] | None, viewport: Viewport) -> None:
        """Show `track` [T, V, 3], in source units, unless results are side by side."""
        motion, source, projection = state.document.reference_motion, state.document.source, viewport.projection
        if motion is None or track is None or source is None or viewport.norm is None or projection is None:
            self.clear()
            return
        if track.shape[1] != len(source.vertices):  # of the mesh opened before, until it is read again
            self.clear()
            return
        frame = min(max(frame_shown(state) + motion.offset, 0), len(track) - 1)
        faces, stamp = Same(source.faces), (Same(track), frame, Same(viewport.norm))
        if self._mesh is None or faces != self._faces:
            self.clear()
            self._mesh = self._added(viewport.norm.apply(track[frame]), source.faces)
            self._faces, self._stamp = faces, stamp
        if stamp != self._stamp:
            self._mesh.update_vertex_positions(viewport.norm.apply(track[frame]))
            self._stamp = stamp
        shown = state.view.layout != "side"
        place = (shown, theme.BACKGROUND, viewport.camera.flat, projection.view.tobytes())
        if place != self._place:
            self._mesh.set_enabled(shown)
            self._mesh.set_color(theme.mix(COLOR, theme.BACKGROUND, PALE))
            self._mesh.set_transform(away(projection, viewport.camera.flat, BEHIND))
            self._place = place

    def clear(self) -> None:
        if self._mesh is not None:
            self._mesh.remove()
        self._mesh, self._faces, self._stamp, self._place = None, None, None, None

    @staticmethod
    def _added(vertices: NDArray, faces: NDArray) -> ps.SurfaceMesh:
        mesh = ps.register_surface_mesh("reference motion", vertices, faces, material="flat", smooth_shade=True)
        mesh.set_back_face_policy("identical")
        mesh.set_transparency(1.0)
        return mesh
