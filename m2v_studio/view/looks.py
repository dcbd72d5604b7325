"""Shows a mesh's own colours and textures in Polyscope."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import polyscope as ps
from numpy.typing import NDArray

from core.io.appearance import Appearance, Finish

MATERIALS: dict[Finish, str] = {"plain": "clay", "glossy": "wax", "metal": "candy"}
SHEET = 2048  # pixels along a side; each figure needs its own copy on the graphics card


def show_looks(mesh: ps.SurfaceMesh, looks: Appearance) -> None:
    """Show these colours or textures on the mesh, instead of any other quantity."""
    mesh.set_material(MATERIALS[looks.finish])
    if looks.opacity is not None:
        mesh.add_scalar_quantity("opacity", looks.opacity, defined_on="faces")
        mesh.set_transparency_quantity("opacity")
    if looks.image is not None and looks.corner_uv is not None:
        mesh.add_parameterization_quantity("uv", looks.corner_uv, defined_on="corners")
        mesh.add_color_quantity("looks", _colors(looks), defined_on="texture", param_name="uv", enabled=True)
    elif looks.vertex_colors is not None:
        mesh.add_color_quantity("looks", looks.vertex_colors, enabled=True)
    elif looks.face_colors is not None:
        mesh.add_color_quantity("looks", looks.face_colors, defined_on="faces", enabled=True)


def hide_looks(mesh: ps.SurfaceMesh) -> None:
    mesh.set_material(MATERIALS["plain"])
    mesh.clear_transparency_quantity()
    for name in ("looks", "uv", "opacity"):
        mesh.remove_quantity(name)


@lru_cache(maxsize=2)
def _colors(looks: Appearance) -> NDArray[np.float32]:
    """The texture [H, W, 3] from 0 to 1, at most SHEET pixels along a side."""
    from PIL import Image

    assert looks.image is not None
    sheet = Image.fromarray(looks.image)
    sheet.thumbnail((SHEET, SHEET))
    return np.asarray(sheet, dtype=np.float32) / np.float32(255)
