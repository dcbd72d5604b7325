"""Frames that nobody looks at are not filled with pixels: software drawing would take most of these tests' time.

All of a frame but its last step, the rasterizer, is done as ever, so one that cannot be drawn still fails. Pixels are
made where they are read: what is under the mouse (`ps.pick`), and screenshots, which Polyscope draws anew.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

import polyscope as ps
import pytest

from m2v_studio.view.gl_sync import LIBRARIES

RASTERIZER_DISCARD = 0x8C89  # its number in the OpenGL specification


def fill_only_what_is_read(patch: pytest.MonkeyPatch) -> None:
    """From now on; nothing changes where OpenGL cannot be reached."""
    library = _library()
    if library is None:
        return
    switches = library.glDisable, library.glEnable

    @contextmanager
    def discarding(wanted: bool) -> Iterator[None]:
        before = bool(library.glIsEnabled(RASTERIZER_DISCARD))
        switches[wanted](RASTERIZER_DISCARD)
        try:
            yield
        finally:
            switches[before](RASTERIZER_DISCARD)

    patch.setattr(ps, "frame_tick", discarding(True)(ps.frame_tick))
    patch.setattr(ps, "pick", discarding(False)(ps.pick))


def _library() -> ctypes.CDLL | None:
    for name in LIBRARIES:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        for function in (library.glEnable, library.glDisable, library.glIsEnabled):
            function.argtypes, function.restype = [ctypes.c_uint], None
        library.glIsEnabled.restype = ctypes.c_ubyte
        return library
    return None
