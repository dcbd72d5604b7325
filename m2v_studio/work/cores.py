"""How many cores are free for the model, beside what else runs on the machine."""

from __future__ import annotations

import os
import time
from pathlib import Path

_STAT = Path("/proc/stat")
_IDLE = (3, 4)  # columns of its first line: idle, and idle while it waits for a disk


def usable_cores() -> int:
    """The cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class CoreWatch:
    """Watches, from when it is made, how busy the machine is with other processes than this one."""

    def __init__(self) -> None:
        self._start = self._readings()

    def free(self) -> int:
        """How many cores others left alone since then, at least one: more threads would wait for each other.

        Where the system does not say what ran since, the load of the last minute stands for it.
        """
        clock, own, busy = (now - then for now, then in zip(self._readings(), self._start, strict=True))
        if clock > 0.2 and _STAT.is_file():
            others = max(0.0, busy - own) / clock
        else:
            others = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
        return max(1, usable_cores() - round(others))

    @staticmethod
    def _readings() -> tuple[float, float, float]:
        """Seconds by the clock, of this process, and of all on all cores."""
        busy = 0.0
        if _STAT.is_file():
            ticks = [int(word) for word in _STAT.read_text().splitlines()[0].split()[1:9]]
            busy = sum(ticks) - sum(ticks[column] for column in _IDLE)
            busy /= os.sysconf("SC_CLK_TCK")
        return time.monotonic(), time.process_time(), busy
