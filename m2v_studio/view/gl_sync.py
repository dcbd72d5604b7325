"""Waits for the graphics driver when there is no display.

A window on a display shows each frame before the next is drawn. Without a display nothing waits, and frames pile up in
Mesa's queue. Measured on two cores: 1.2 GB after 800 frames, at most 2.5 GB, and then one frame of 15 seconds.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import lru_cache

LIBRARIES = ("libGL.so.1", "libOpenGL.so.0")  # either one works on the current context


def wait_until_drawn() -> None:
    """Return when all frames so far are drawn; at once if OpenGL is not found."""
    finish = _finish()
    if finish is not None:
        finish()


@lru_cache(maxsize=1)
def _finish() -> Callable[[], None] | None:
    for name in LIBRARIES:
        try:
            function = ctypes.CDLL(name).glFinish
        except (OSError, AttributeError):
            continue
        function.argtypes, function.restype = [], None
        return lambda: function()
    return None
