"""Draws no frames while nothing changes: the window waits for input, and checks for results now and then.

On a machine with two cores, a window that is always drawn takes one of them.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from functools import lru_cache

import polyscope.imgui as psim

AWAKE_SECONDS = 0.7  # drawn for this long after the last change, for tooltips and for Dear ImGui to settle
LOOK_SECONDS = 0.05  # how long a result may wait before it is noticed
REFRESH_SECONDS = 2.0  # drawn at least this often


class Rest:
    """Decides when the next frame is due. Times are those of `time.perf_counter`."""

    def __init__(self) -> None:
        self._awake_until = 0.0
        self._drawn = 0.0
        self._state: object = None
        self._vertices = 0  # of the interface, as last drawn

    def changed(self, state: object) -> None:
        """Call this with what the window shows; a new value wakes it."""
        if state is not self._state:
            self._state = state
            self.wake()

    def takes_in(self) -> None:
        """Call this in a frame before anything is drawn. Dear ImGui handles one letter, key or click per frame, so more
        may be waiting if this frame has a click or the last one drew more or less than before.
        """
        vertices = int(psim.GetIO().MetricsRenderVertices)
        clicked = any(psim.IsMouseClicked(button) or psim.IsMouseReleased(button) for button in range(3))
        if clicked or vertices != self._vertices:
            self.wake()
        self._vertices = vertices

    def wake(self) -> None:
        self._awake_until = time.perf_counter() + AWAKE_SECONDS

    def drawn(self) -> None:
        self._drawn = time.perf_counter()

    def wait(self) -> bool:
        """True when a frame is due: at once while awake, else after waiting a moment for input."""
        now = time.perf_counter()
        if now < self._awake_until or now - self._drawn > REFRESH_SECONDS:
            return True
        if wait_for_input(LOOK_SECONDS):
            self.wake()
            return True
        return False


def wait_for_input(seconds: float) -> bool:
    """Wait for an event of the mouse, the keyboard or the window system; False when the time is over."""
    events = _glfw_wait()
    if events is None:  # the window's library does not export its functions: draw at this rate
        time.sleep(seconds)
        return True
    start = time.perf_counter()
    events(seconds)
    return time.perf_counter() - start < seconds


@lru_cache(maxsize=1)
def _glfw_wait() -> Callable[[float], None] | None:
    """GLFW's own wait, from Polyscope's library; the next frame processes the input."""
    import polyscope_bindings

    try:
        wait = ctypes.CDLL(polyscope_bindings.__file__).glfwWaitEventsTimeout
    except (OSError, AttributeError):
        return None
    wait.argtypes, wait.restype = [ctypes.c_double], None
    return lambda seconds: wait(seconds)
