"""Room for results in the machine's own memory: said beforehand where it is too little, and made where it is tight."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from pathlib import Path

from core.errors import M2VError

BYTES_A_POSITION = 16  # of a vertex in a frame of one motion: three numbers, and how far seeds disagree


def check_room(vertices: int, frames: int, seeds: int) -> None:
    """Raises M2VError when motions of so many vertices would not fit into the memory that is free."""
    needed = BYTES_A_POSITION * vertices * frames * seeds
    free = free_memory()
    if free is not None and needed > free:
        several = "fewer seeds or frames" if seeds > 1 else "fewer frames"
        raise M2VError(
            f"{seeds} motion(s) of {vertices:,} vertices in {frames:,} frames take {needed / 1e9:.1f} GB, but "
            f"{free / 1e9:.1f} GB of memory are free; ask for {several}, or take a coarser mesh."
        )


def free_memory() -> int | None:
    """Bytes that this machine can still give; None where it does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, IndexError, StopIteration):
        return None


def return_freed_memory() -> None:
    """Gives the system what the C library keeps of memory that is free; before something large, so that both need not
    fit. Does nothing where the library has no such call."""
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
