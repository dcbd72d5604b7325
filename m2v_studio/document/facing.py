"""Camera yaws, in degrees, for views of a creature's front and sides."""

from __future__ import annotations

import math
from typing import Literal

from core.errors import HandleError
from core.sequence import SourceMesh
from m2v_studio.document.state import normalization
from m2v_studio.document.symmetry import mirror_of

Side = Literal["front", "back", "right", "left"]
ACROSS = 0.5  # least cosine to the symmetry plane; otherwise it is not the plane between left and right
STRAIGHT = 20.0  # degrees: a heading this close to an axis is snapped to it
# A creature that faces us has its right on our left; an axis view from the right is from +X, as elsewhere.
OF_CREATURE: dict[Side, float] = {"front": 0.0, "back": 180.0, "right": -90.0, "left": 90.0}
OF_AXES: dict[Side, float] = {"front": 0.0, "back": 180.0, "right": 90.0, "left": 270.0}


def yaw_of_side(side: Side, facing: float | None) -> float:
    """The camera yaw for a side of a creature with this heading in degrees; None: of the axes."""
    return OF_AXES[side] if facing is None else (facing + OF_CREATURE[side]) % 360.0


def facing_yaw(source: SourceMesh, heading: float) -> float:
    """The yaw in degrees that a creature faces, from its estimated `heading` in radians about Y from +Z.

    A creature with left and right sides alike faces along its symmetry plane.
    """
    degrees = math.degrees(heading)
    try:
        normal = normalization(source).rotation @ mirror_of(source).normal
        along = math.degrees(math.atan2(-normal[2], normal[0]))  # a direction in the plane: normal x up
        share = math.cos(math.radians(degrees - along))
        if abs(share) >= ACROSS:
            return (along if share > 0 else along + 180.0) % 360.0
    except HandleError:
        pass  # it has no symmetry plane
    nearest = 90.0 * round(degrees / 90.0)
    return (nearest if abs(degrees - nearest) <= STRAIGHT else degrees) % 360.0
