"""How many cores are free for the model, given what else runs on the machine."""

from __future__ import annotations

import os
import time
from pathlib import Path

from core.usable_cores import usable_cores

_STAT = Path("/proc/stat")
_IDLE = (3, 4)  # columns of its first line: idle, and idle while it waits for a disk


class CoreWatch:
    """Measures, from its creation on, how busy other processes keep the machine."""

    def __init__(self) -> None:
        self._start = self._readings()

    def free(self) -> int:
        """The number of cores that other processes have left free since then, at least one.

        More threads than that would wait for each other. On systems that do not report it, the load of the last minute
        is used.
        """
        clock, own, busy = (now - then for now, then in zip(self._readings(), self._start, strict=True))
        if clock > 0.2 and _STAT.is_file():
            others = max(0.0, busy - own) / clock
        else:
            others = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
        return max(1, usable_cores() - round(others))

    @staticmethod
    def _readings() -> tuple[float, float, float]:
        """Seconds: of the clock, of this process, and of all processes on all cores."""
        busy = 0.0
        if _STAT.is_file():
            ticks = [int(word) for word in _STAT.read_text().splitlines()[0].split()[1:9]]
            busy = sum(ticks) - sum(ticks[column] for column in _IDLE)
            busy /= os.sysconf("SC_CLK_TCK")
        return time.monotonic(), time.process_time(), busy
