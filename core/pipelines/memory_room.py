"""Checks the machine's memory for results beforehand, and returns freed memory to the system."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from pathlib import Path

from core.errors import M2VError

BYTES_A_POSITION = 16  # per vertex and frame of one motion: three coordinates and the disagreement


def check_room(vertices: int, frames: int, seeds: int) -> None:
    """Raise M2VError if motions of this size would not fit into free memory."""
    needed = BYTES_A_POSITION * vertices * frames * seeds
    free = free_memory()
    if free is not None and needed > free:
        motions, several = "A motion", "fewer frames"
        if seeds > 1:
            motions, several = f"{seeds} motions", "fewer seeds or frames"
        raise M2VError(
            f"{motions} of {vertices:,} vertices in {frames:,} frames would take {needed / 1e9:.1f} GB, but only "
            f"{free / 1e9:.1f} GB of memory is free; ask for {several}, or take a coarser mesh."
        )


def free_memory() -> int | None:
    """Available bytes of memory; None if unknown."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, IndexError, StopIteration):
        return None


def return_freed_memory() -> None:
    """Return the C library's free memory to the system, where that is supported."""
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
