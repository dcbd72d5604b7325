"""Measures the peak memory of four seeds at normal quality in a fresh process; prints one line of JSON.

`python -m core.experiments.benchmark_memory PRESET DEVICE VERTICES FRAMES`
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

from core.pipelines.request import SamplingOptions


def peak_gigabytes() -> float:
    """Largest resident size of this process so far, in GB (1e9 bytes).

    On Linux a child inherits its parent's `ru_maxrss`, so the kernel's counter is read instead.
    """
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e9
    except OSError:
        pass
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def main(preset: str, device: str, vertices: int, frames: int) -> None:
    from core.evaluation.handles import task_tracks
    from core.experiments.pipeline_benchmark import TASK, benchmark_clip
    from core.pipelines.animate import Animator

    imported = peak_gigabytes()
    animator = Animator.load(preset, device)
    loaded = peak_gigabytes()
    clip = benchmark_clip(vertices, frames)
    before = peak_gigabytes()
    animator.animate(clip.mesh, task_tracks(clip, TASK), SamplingOptions(seeds=4, quality="normal"))
    print(json.dumps({"imported_gb": imported, "loaded_gb": loaded, "before_gb": before, "peak_gb": peak_gigabytes()}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
