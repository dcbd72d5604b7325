"""`m2v bench`: speed, memory and the window's frame times on this machine, beside ARAP's time on the same handles.

Times are medians of warm calls. Memory is the peak of a fresh process. The window is the editor's own, drawn off-screen
in another process; where that is impossible, the report says so.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import DataError
from core.evaluation.baselines import classical_motions
from core.evaluation.evaluation_clips import ClipName, EvaluationClip, load
from core.evaluation.handles import HandleTask, task_tracks
from core.evaluation.reporting import OnProgress, machine, page, rows_table, write_report, write_text
from core.pipelines.request import Progress, Quality, SamplingOptions

if TYPE_CHECKING:
    from core.pipelines.animate import Animator

VERTICES = 7000
LARGE = 200_000  # vertices, about, of the large mesh on which drags are timed
TASK = HandleTask(5, "last")  # five dragged handles, as in the editor
# Limits on two cores without a GPU.
LIMITS = {
    "one_seed_draft": 1.0,
    "one_seed_normal": 4.0,
    "four_seeds_normal": 10.0,
    "peak_memory": 2.0,
    "longest_gap": 0.2,
    "host_per_frame": 0.005,
    "drag_event": 0.015,
    "drag_event_99": 0.030,
    "large_drag_event_99": 0.1,
}
_CHILD_SECONDS = 900


HEAD = ("What", "Measured", "At most", "over ARAP")


def run_benchmark(
    out: str | Path,
    *,
    preset: str = "small",
    device: str = "auto",
    untrained: bool = False,
    vertices: int = VERTICES,
    frames: int = 17,
    repeats: int = 3,
    window: bool = True,
    on_progress: OnProgress | None = None,
) -> dict[str, Any]:
    """Measure everything, write the report `out` (JSON, .md beside it) and return it.

    `untrained` needs no checkpoint: speed does not depend on the weights. Raises M2VError for missing weights or a
    folder that cannot be written.
    """
    path = Path(out)
    write_text(path.with_suffix(".md"), "The benchmark is running.\n")  # fails at once if it cannot be written
    from core.evaluation.models import animator_for

    steps = 6 if window else 5

    def report_step(done: int, what: str) -> None:
        if on_progress is not None:
            on_progress(done, steps, what)

    animator = animator_for(preset, device, untrained)
    clip = benchmark_clip(vertices, frames)
    report: dict[str, Any] = {
        "protocol": "bench",
        "preset": preset,
        "untrained": untrained,
        "device": str(animator.device),
        "machine": machine() | {"load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None},
        "mesh": {
            "vertices": clip.vertices.shape[1],
            "faces": len(clip.faces),
            "frames": frames,
            "handles": TASK.handles,
        },
        "limits": LIMITS,
        "seconds": {},
    }
    seconds = report["seconds"]
    for number, (name, seeds, quality) in enumerate(
        (("one_seed_draft", 1, "draft"), ("one_seed_normal", 1, "normal"), ("four_seeds_normal", 4, "normal"))
    ):
        seconds[name] = time_animate(animator, clip, seeds, quality, repeats)  # type: ignore[arg-type]
        report_step(number + 1, name.replace("_", " "))
    seconds["arap"] = time_baselines(clip)
    report_step(4, "ARAP")
    with tempfile.TemporaryDirectory() as folder:
        weights = preset
        if untrained:
            weights = folder
            save_weights(animator, Path(folder))
        child = _child("core.experiments.benchmark_memory", [weights, device, str(vertices), str(frames)])
        report["memory"] = child
        report_step(5, "memory")
        if window:
            report["window"] = _window(clip, weights, device, Path(folder))
            report_step(6, "window")
    write_report(path, report, benchmark_markdown(report))
    return report


def benchmark_clip(vertices: int = VERTICES, frames: int = 17) -> EvaluationClip:
    """A held-out procedural quadruped with about `vertices` vertices. Raises DataError where it does not move."""
    from core.data.procedural import HELD_OUT

    name = ClipName(
        "benchmark", "procedural", "unseen_identity", "quadruped", identity_seed=HELD_OUT, motion_seed=HELD_OUT
    )
    clip = load(name, frames, vertices)
    if clip is None:
        raise DataError(f"The benchmark's creature does not move within {frames} frames; ask for more.")
    return clip


def time_animate(
    animator: Animator, clip: EvaluationClip, seeds: int, quality: Quality, repeats: int
) -> dict[str, Any]:
    """Seconds of one request: the first call, the warm median, all warm calls, and the median call's phases."""
    tracks, mesh = task_tracks(clip, TASK), clip.mesh
    options = SamplingOptions(seeds=seeds, quality=quality)
    runs = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        phases = _Phases()
        animator.animate(mesh, tracks, options, phases)
        parts = phases.closed()
        runs.append((time.perf_counter() - start, parts))
    warm = sorted(runs[1:], key=lambda run: run[0])
    median = warm[len(warm) // 2]
    return {"first": runs[0][0], "warm": median[0], "runs": [run[0] for run in runs[1:]], "phases": median[1]}


def time_baselines(clip: EvaluationClip) -> dict[str, Any]:
    """Seconds of one run of biharmonic deformation and ARAP (30 iterations) on all frames, same mesh and handles."""
    tracks = task_tracks(clip, TASK)
    targets, keyframe_mask = tracks.constraints(clip.vertices[0])
    handles = np.array([handle.vertex for handle in tracks.handles])
    start = time.perf_counter()
    classical_motions(clip.vertices[0], clip.faces, handles, targets, keyframe_mask)
    total = time.perf_counter() - start
    return {"first": total, "warm": total, "runs": [total], "phases": {}}


def save_weights(animator: Animator, folder: Path) -> None:
    """Save the animator's models as checkpoints, for the processes that measure."""
    from core.checkpoint import save_checkpoint

    modules = {
        "shape-autoencoder": animator.shape_autoencoder,
        "motion-autoencoder": animator.motion_autoencoder,
        "motion-diffusion": animator.motion_diffusion,
    }
    for stage, module in modules.items():
        save_checkpoint(folder / f"{stage}.safetensors", stage, animator.config, module.state_dict(), {})


class _Phases:
    """Seconds per phase: the time between progress reports, by the message of the first."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = (time.perf_counter(), "Preparing")

    def __call__(self, progress: Progress) -> None:
        now = time.perf_counter()
        began, message = self._last
        self.seconds[message] = self.seconds.get(message, 0.0) + now - began
        self._last = (now, progress.message)

    def closed(self) -> dict[str, float]:
        self(Progress(0, 0, "end"))
        return {message: seconds for message, seconds in self.seconds.items() if seconds > 1e-4}


def _window(clip: EvaluationClip, weights: str, device: str, folder: Path) -> dict[str, Any]:
    """The editor's figures, measured by `m2v_studio.bench` in another process: core does not import the editor."""
    mesh = folder / "mesh.npz"
    (handles, targets), (finer, finer_faces) = _goals(clip), _divided(clip.vertices[0], clip.faces, LARGE)
    arrays = {"vertices": clip.vertices[0], "faces": clip.faces, "handles": handles, "targets": targets}
    np.savez(mesh, **arrays, large_vertices=finer, large_faces=finer_faces)
    return _child(
        "m2v_studio.bench",
        [str(mesh), weights, device],
        {"M2V_CONFIG_DIR": str(folder / "config"), "OPENBLAS_NUM_THREADS": "1"},
    )


def _goals(clip: EvaluationClip) -> tuple[np.ndarray, np.ndarray]:
    handles = np.array([handle.vertex for handle in task_tracks(clip, TASK).handles])
    return handles, clip.vertices[-1, handles]


def _divided(vertices: np.ndarray, faces: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """The same surface with nearly `most` vertices: split every triangle in four while that fits, then some of them."""
    from trimesh.remesh import subdivide

    while 4 * len(vertices) < most:
        vertices, faces = subdivide(vertices, faces)
    some = np.arange(min(int(0.6 * (most - len(vertices))), len(faces)))  # each adds at least 1.5 vertices
    vertices, faces = subdivide(vertices, faces, some)
    return np.asarray(vertices, dtype=np.float32), np.asarray(faces, dtype=np.int32)


def _child(module: str, arguments: list[str], environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Run `python -m module` and read its last line as JSON; a failure becomes {"error": what it said}."""
    command = [sys.executable, "-m", module, *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_CHILD_SECONDS, env={**os.environ, **(environment or {})}
        )
    except subprocess.TimeoutExpired:
        return {"error": f"{module} took more than {_CHILD_SECONDS} seconds"}
    try:
        result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return result
    except (IndexError, ValueError):
        said = done.stderr.strip().splitlines()
        return {"error": said[-1] if said else f"{module} ended with exit code {done.returncode}"}


def benchmark_rows(report: Mapping[str, Any]) -> list[list[str]]:
    """Rows of (what, measured, at most, over ARAP); only times of the pipeline have the last."""
    arap = report["seconds"]["arap"]["warm"]
    rows = []
    for name, title in (
        ("one_seed_draft", "one seed, draft, warm"),
        ("one_seed_normal", "one seed, normal, warm"),
        ("four_seeds_normal", "four seeds, normal, warm"),
    ):
        warm = report["seconds"][name]["warm"]
        rows.append([title, f"{warm:.2f} s", f"{LIMITS[name]:g} s", f"{warm / arap:.2f}"])
    rows.append([f"ARAP, {report['mesh']['frames']} frames, 30 iterations", f"{arap:.2f} s", "", "1.00"])
    memory = report["memory"]
    if "error" in memory:
        rows.append(["peak memory of four seeds", f"not measured: {memory['error']}", "2 GB", ""])
    else:
        rows.append(["peak memory of four seeds", f"{memory['peak_gb']:.2f} GB", "2 GB", ""])
        rows.append(["of that, after importing and loading", f"{memory['loaded_gb']:.2f} GB", "", ""])
    window = report.get("window")
    if window and "error" in window:
        rows.append(["window", f"not measured: {window['error']}", "", ""])
    elif window:
        gap, host = window["longest_gap"], window["host_per_frame"]
        rows.append(["longest gap between window frames while generating", f"{1000 * gap:.0f} ms", "200 ms", ""])
        rows.append(["CPU time per window frame while playing, without rendering", f"{1000 * host:.1f} ms", "5 ms", ""])
        for name, title in (("drag_event", "median"), ("drag_event_99", "99th percentile")):
            if name in window:  # reports from before drags were posed have none
                taken, most = f"{1000 * window[name]:.1f} ms", f"{1000 * LIMITS[name]:g} ms"
                rows.append([f"from a drag's mouse event to the posed vertices, {title}", taken, most, ""])
        if "large_drag_event_99" in window:
            slow, limit = 1000 * window["large_drag_event_99"], 1000 * LIMITS["large_drag_event_99"]
            what = f"the same with {window['large_vertices']:,.0f} vertices, 99th percentile"
            rows.append([what, f"{slow:.0f} ms", f"{limit:g} ms", ""])
    return rows


def benchmark_markdown(report: Mapping[str, Any]) -> str:
    """The report as a page of Markdown."""
    about, mesh = report["machine"], report["mesh"]
    untrained = ", untrained weights (speed does not depend on them)" if report["untrained"] else ""
    phases = [
        [name.replace("_", " "), *[f"{message}: {seconds:.2f} s" for message, seconds in run["phases"].items()]]
        for name, run in report["seconds"].items()
        if run["phases"]
    ]
    return page(
        "Benchmark",
        f"Preset `{report['preset']}` on {report['device']}{untrained}; {mesh['vertices']:,} vertices, "
        f"{mesh['frames']} frames, {mesh['handles']} handles in the last frame. {about['processor']}, {about['cores']} "
        f"cores, {about['threads']} threads, Python {about['python']}, torch {about['torch']}, load average before the "
        f"run {about['load_average']}.",
        benchmark_table(report),
        "\n".join("- " + "; ".join(row) for row in phases),
    )


def benchmark_table(report: Mapping[str, Any]) -> str:
    return rows_table(HEAD, benchmark_rows(report))
