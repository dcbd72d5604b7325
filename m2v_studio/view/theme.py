"""Colours and sizes in one place. Plain numbers only, so that anything may import it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

Color = tuple[float, float, float]


@dataclass(frozen=True)
class Palette:
    """The colours of one theme. The interface is a quiet frame around the view, with one accent for the next step."""

    panel: Color = (0.985, 0.987, 0.990)
    panel_deep: Color = (0.955, 0.961, 0.969)
    card: Color = (1.0, 1.0, 1.0)  # menus, and labels in the view
    border: Color = (0.845, 0.862, 0.882)
    text: Color = (0.125, 0.152, 0.190)
    text_muted: Color = (0.400, 0.440, 0.495)
    button: Color = (0.918, 0.930, 0.945)
    button_hover: Color = (0.872, 0.890, 0.913)
    button_active: Color = (0.815, 0.840, 0.872)
    field: Color = (0.940, 0.949, 0.960)
    accent: Color = (0.345, 0.290, 0.765)
    accent_hover: Color = (0.420, 0.365, 0.835)
    accent_soft: Color = (0.890, 0.878, 0.972)
    danger: Color = (0.765, 0.165, 0.155)
    # The view, as shown on the screen (the floor fades into the background).
    background: Color = (0.902, 0.914, 0.930)
    floor: Color = (0.968, 0.972, 0.976)
    clay: Color = (0.800, 0.765, 0.725)
    points: Color = (0.145, 0.215, 0.345)  # of scans
    # Red is a moved handle and blue a pinned one, as in the paper's Figure 15.
    moved: Color = (0.835, 0.165, 0.145)
    pinned: Color = (0.110, 0.360, 0.800)
    unused: Color = (0.480, 0.510, 0.550)


PALETTES = {
    "light": Palette(),
    "dark": Palette(
        panel=(0.135, 0.145, 0.160),
        panel_deep=(0.110, 0.118, 0.132),
        card=(0.180, 0.192, 0.212),
        border=(0.255, 0.272, 0.300),
        text=(0.895, 0.910, 0.930),
        text_muted=(0.610, 0.645, 0.690),
        button=(0.215, 0.230, 0.255),
        button_hover=(0.265, 0.283, 0.312),
        button_active=(0.325, 0.346, 0.380),
        field=(0.218, 0.232, 0.256),
        accent=(0.515, 0.465, 0.940),
        accent_hover=(0.580, 0.530, 0.965),
        accent_soft=(0.195, 0.180, 0.318),
        danger=(0.960, 0.420, 0.390),
        background=(0.205, 0.217, 0.237),
        floor=(0.290, 0.304, 0.328),
        points=(0.720, 0.780, 0.880),
        moved=(0.955, 0.345, 0.310),
        pinned=(0.380, 0.620, 1.000),
        unused=(0.620, 0.650, 0.690),
    ),
}
_in_force = PALETTES["light"]


def use(name: str) -> bool:
    """Switch to a theme; True when it was another one before."""
    global _in_force
    before, _in_force = _in_force, PALETTES.get(name, PALETTES["light"])
    if before is not _in_force:
        _name_colors()
    return before is not _in_force


def in_force() -> Palette:
    return _in_force


def _name_colors() -> None:
    """Set `theme.PANEL` and the other names to the current theme's colours; plain names, as they are read so often."""
    globals().update({name.upper(): color for name, color in asdict(_in_force).items()})


_name_colors()
if TYPE_CHECKING:

    def __getattr__(name: str) -> Color: ...


# Okabe and Ito's colour-blind safe hues, ordered so that neighbours differ most; red and blue are left to handles.
RESULT_COLORS: tuple[Color, ...] = (
    (0.000, 0.620, 0.451),
    (0.902, 0.624, 0.000),
    (0.800, 0.475, 0.655),
    (0.337, 0.706, 0.914),
    (0.890, 0.820, 0.200),
    (0.545, 0.380, 0.240),
    (0.600, 0.600, 0.640),
    (0.450, 0.330, 0.600),
)

# Viridis at eleven even steps, for the legend beside the heat maps.
VIRIDIS: tuple[Color, ...] = (
    (0.267, 0.005, 0.329),
    (0.283, 0.141, 0.458),
    (0.254, 0.265, 0.530),
    (0.207, 0.372, 0.553),
    (0.164, 0.471, 0.558),
    (0.128, 0.567, 0.551),
    (0.135, 0.659, 0.518),
    (0.267, 0.749, 0.441),
    (0.478, 0.821, 0.318),
    (0.741, 0.873, 0.150),
    (0.993, 0.906, 0.144),
)

# Panel sizes in pixels at text scale 1.
LEFT_WIDTH = 302
RIGHT_WIDTH = 288
TOP_HEIGHT = 40
STATUS_HEIGHT = 34
TIMELINE_HEIGHT = 262  # the player, four rows and the speed curve; more rows are scrolled

# What Polyscope's tone mapping makes of a background value, measured; flat surfaces pass unchanged.
_TONE_IN = (0.0, 0.005, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85,
            0.9, 1.0)  # fmt: skip
_TONE_OUT = tuple(
    value / 255
    for value in (0, 24, 33, 45, 54, 62, 74, 84, 93, 112, 128, 154, 176, 194, 211, 226, 234, 241, 247, 254, 255)
)


def result_color(row: int) -> Color:
    return RESULT_COLORS[row % len(RESULT_COLORS)]


def mix(a: Color, b: Color, share: float) -> Color:
    """`a` with `share` of `b` in it."""
    return tuple(x + (y - x) * share for x, y in zip(a, b, strict=True))  # type: ignore[return-value]


def background_input(color: Color) -> Color:
    """The value to give Polyscope so that the background looks like `color`."""
    return tuple(float(np.interp(value, _TONE_OUT, _TONE_IN)) for value in color)  # type: ignore[return-value]
