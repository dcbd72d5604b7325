"""The layout of the window: panels at the edges, the view in the middle. No Polyscope."""

from __future__ import annotations

from m2v_studio.view import theme
from m2v_studio.view.camera import Region

LEAST_ROOM = (700.0, 470.0)  # the smallest window, in pixels at text scale 1, that shows every control


def text_scale(wanted: float, width: int, height: int) -> float:
    """The text scale for a window of this size: the wanted one, reduced if controls would be cut off."""
    return min(wanted, max(1.0, min(width / LEAST_ROOM[0], height / LEAST_ROOM[1])))


def regions(width: int, height: int, scale: float) -> dict[str, Region]:
    """Rectangles by name for a window of this size, in pixels. They never depend on the document or the selection."""
    left, right = min(theme.LEFT_WIDTH * scale, width * 0.36), min(theme.RIGHT_WIDTH * scale, width * 0.3)
    top, bottom = theme.TOP_HEIGHT * scale, theme.STATUS_HEIGHT * scale
    strip = min(theme.TIMELINE_HEIGHT * scale, height * 0.4)
    middle = height - top - bottom - strip
    return {
        "menu": Region(0, 0, width, top),
        "left": Region(0, top, left, height - top - bottom),
        "right": Region(width - right, top, right, height - top - bottom),
        "view": Region(left, top, width - left - right, middle),
        "timeline": Region(left, top + middle, width - left - right, strip),
        "status": Region(0, height - bottom, width, bottom),
    }
