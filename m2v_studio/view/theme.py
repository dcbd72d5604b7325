"""Colours and sizes in one place. Plain numbers only, so that anything may import it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Color = tuple[float, float, float]

# The interface: a light, quiet frame around the view; one accent, used for the next step only.
PANEL: Color = (0.985, 0.987, 0.990)
PANEL_DEEP: Color = (0.955, 0.961, 0.969)
BORDER: Color = (0.845, 0.862, 0.882)
TEXT: Color = (0.125, 0.152, 0.190)
TEXT_MUTED: Color = (0.400, 0.440, 0.495)
BUTTON: Color = (0.918, 0.930, 0.945)
BUTTON_HOVER: Color = (0.872, 0.890, 0.913)
BUTTON_ACTIVE: Color = (0.815, 0.840, 0.872)
FIELD: Color = (0.940, 0.949, 0.960)
ACCENT: Color = (0.345, 0.290, 0.765)
ACCENT_HOVER: Color = (0.420, 0.365, 0.835)
ACCENT_SOFT: Color = (0.890, 0.878, 0.972)
DANGER: Color = (0.765, 0.165, 0.155)

# The view, as shown on the screen (the floor fades into the background).
BACKGROUND: Color = (0.902, 0.914, 0.930)
FLOOR: Color = (0.968, 0.972, 0.976)
CLAY: Color = (0.800, 0.765, 0.725)

# Red is a moved handle and blue a pinned one, as in the paper's Figure 15.
MOVED: Color = (0.835, 0.165, 0.145)
PINNED: Color = (0.110, 0.360, 0.800)
UNUSED: Color = (0.480, 0.510, 0.550)

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
TIMELINE_HEIGHT = 236  # four rows; more are scrolled

# What Polyscope's tone mapping makes of a background value, measured; flat surfaces pass unchanged.
_TONE_IN = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 1.0)
_TONE_OUT = (
    0.0,
    154 / 255,
    176 / 255,
    194 / 255,
    211 / 255,
    226 / 255,
    234 / 255,
    241 / 255,
    247 / 255,
    254 / 255,
    1.0,
)


def result_color(row: int) -> Color:
    return RESULT_COLORS[row % len(RESULT_COLORS)]


def mix(a: Color, b: Color, share: float) -> Color:
    """`a` with `share` of `b` in it."""
    return tuple(x + (y - x) * share for x, y in zip(a, b, strict=True))  # type: ignore[return-value]


def background_input(color: Color) -> Color:
    """The value to give Polyscope so that the background looks like `color`."""
    return tuple(float(np.interp(value, _TONE_OUT, _TONE_IN)) for value in color)  # type: ignore[return-value]


def viridis(values: ArrayLike) -> NDArray[np.float64]:
    """Colours [..., 3] of values between 0 and 1."""
    table = np.array(VIRIDIS)
    position = np.clip(np.asarray(values, dtype=np.float64), 0.0, 1.0) * (len(table) - 1)
    return np.stack([np.interp(position, np.arange(len(table)), table[:, axis]) for axis in range(3)], axis=-1)
