"""The text size that the desktop sets for this display."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import sys

USUAL_DPI = 96.0
LEAST, MOST = 1.0, 2.0


def display_scale() -> float:
    """1 for a usual display, 2 for one of twice the density; 1 if the desktop does not say."""
    with contextlib.suppress(OSError, AttributeError, ValueError, OverflowError):
        if sys.platform == "win32":
            return _within(ctypes.windll.shcore.GetScaleFactorForDevice(0) / 100.0)  # type: ignore[attr-defined]
        if sys.platform == "darwin":
            return 1.0  # the system scales the whole window
        # As in GTK: desktops that double everything by GDK_SCALE halve the text again by GDK_DPI_SCALE.
        named = _number("GDK_SCALE") * _number("GDK_DPI_SCALE")
        return _within(named * dots_per_inch(_x_resources()) / USUAL_DPI)
    return 1.0


def _number(variable: str) -> float:
    """A scale from the environment; 1 if it is missing or no number."""
    with contextlib.suppress(ValueError):
        return float(os.environ.get(variable) or 1.0)
    return 1.0


def dots_per_inch(resources: str) -> float:
    """`Xft.dpi` among the resources of an X display."""
    found = re.search(r"^Xft\.dpi:\s*([0-9.]+)", resources, re.MULTILINE)
    return float(found.group(1)) if found else USUAL_DPI


def _within(scale: float) -> float:
    """Rounded to quarters, the steps of the menu, and clamped."""
    return min(max(round(4 * scale) / 4, LEAST), MOST)


def _x_resources() -> str:
    """The resources that the desktop has set for all programs of this X display; empty without a display."""
    library = ctypes.CDLL("libX11.so.6")
    library.XOpenDisplay.restype = ctypes.c_void_p
    library.XResourceManagerString.restype = ctypes.c_char_p
    library.XResourceManagerString.argtypes = library.XCloseDisplay.argtypes = [ctypes.c_void_p]
    display = library.XOpenDisplay(None)
    if not display:
        return ""
    try:
        return (library.XResourceManagerString(display) or b"").decode("utf-8", "replace")
    finally:
        library.XCloseDisplay(display)
