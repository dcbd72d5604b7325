"""A mesh as the view shows it."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.io.appearance import Appearance
from m2v_studio.document.state import Same
from m2v_studio.view import theme


@dataclass(frozen=True, eq=False)
class Figure:
    """One mesh in the view. `track` [T, V, 3] in the opened file's units is shown at `frame` on `faces` [F, 3];
    `cell` places it in the grid."""

    name: str
    track: NDArray[np.float32]
    faces: NDArray[np.int32]
    frame: int
    color: theme.Color
    opacity: float = 1.0
    label: str = ""
    cell: int | None = None
    tint: NDArray[np.float32] | None = None  # [V, 3] colours with regions tinted, if nothing else is shown
    looks: Appearance | None = None  # shown instead of the colour if there is no heat
    heat: NDArray[np.float32] | None = None  # [V], fraction of the shape's size
    heat_max: float = 0.0
    heat_stamp: Hashable = None

    @property
    def positions(self) -> NDArray[np.float32]:
        """[V, 3], source units."""
        return self.track[self.frame]

    @property
    def stamp(self) -> Hashable:
        """Changes exactly when the positions must be sent again."""
        return Same(self.track), self.frame
