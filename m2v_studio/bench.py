"""Measures the smoothness of the real window without a display; `m2v bench` runs this in its own process.

`python -m m2v_studio.bench MESH.npz PRESET DEVICE` prints one line of JSON. The file holds rest vertices [V, 3],
faces [F, 3], handles [K] and their targets [K, 3] in the last frame. `large_vertices` and `large_faces` are the same
surface with many more vertices, beginning with `vertices`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from core.geometry.drag_solve import DragSystem
from core.io.mesh.source_mesh import build_source_mesh
from core.sequence import SourceMesh
from m2v_studio.app import FRAME_SECONDS, App, FrameTimes
from m2v_studio.document import commands
from m2v_studio.document.history import Session
from m2v_studio.document.state import State, frame_shown
from m2v_studio.studio import Studio
from m2v_studio.work.posing import Posing
from m2v_studio.work.worker import AnimatorFactory, load_animator

PLAYED_FRAMES = 150
DRAG_EVENTS = 200
PATIENCE = 300.0  # seconds that loading, or one generation, may take
SIZE = (1280, 800)


def measure_window(
    mesh: SourceMesh, handles: np.ndarray, targets: np.ndarray, factory: AnimatorFactory, backend: str = "openGL3_egl"
) -> dict[str, float]:
    """Longest gap between frames while four seeds are generated, and the editor's own cost per frame while playing.

    In seconds. The cost is a median, of all frames and of those that show the motion's next frame, as a window draws
    more than 24 frames per second. The gap includes drawing, which is done in software without a GPU; the cost does
    not. A draft before the measured generation warms up the model's process, as a user's edit does.
    """
    app = App(Studio(factory), backend=backend, size=SIZE)
    try:
        studio = app.studio
        studio.session.reset(commands.open_source(studio.state, mesh))
        studio.worker.prepare(mesh)
        last = studio.state.document.frames - 1
        for row, (vertex, target) in enumerate(zip(handles, targets, strict=True)):
            studio.do("handle", commands.add_handle, int(vertex))
            studio.do("key", commands.set_key, row, last, target)
        studio.do("seeds", commands.set_seeds, 4)
        studio.do("quality", commands.set_quality, "normal")
        studio.worker.start()
        _draw_until(app, lambda: studio.state.engine != "loading")
        studio.request_draft()
        _draw_until(app, lambda: studio.state.job is None)
        app.times = FrameTimes()
        start = time.perf_counter()
        studio.generate()
        _draw_until(app, lambda: studio.state.job is None)
        generating, seconds = app.times, time.perf_counter() - start
        _stop_on_notice(app)
        if not studio.state.view.playing:  # a finished generation starts to play by itself
            studio.play()
        app.times = FrameTimes()
        costs, moved = [], []
        for _ in range(PLAYED_FRAMES):
            before, shown = app.times.host, frame_shown(studio.state)
            _paced_frame(app)
            costs.append(app.times.host - before)
            moved.append(frame_shown(studio.state) != shown)
        playing = app.times
        dragged = _drag(app, int(handles[0]), last)
        sent = [cost for cost, new in zip(costs, moved, strict=True) if new]
        return {
            "longest_gap": generating.longest_gap,
            "generation_seconds": seconds,
            "frames_while_generating": generating.frames,
            "host_per_frame_generating": generating.host / max(generating.frames, 1),
            "host_per_frame": float(np.median(costs)),
            "host_per_frame_mean": float(np.mean(costs)),
            "host_per_new_frame": float(np.median(sent)),
            "longest_gap_playing": playing.longest_gap,
            "drag_event": float(np.median(dragged)),
            "drag_event_99": float(np.quantile(dragged, 0.99)),
            "vertices": float(len(mesh.vertices)),
        }
    finally:
        app.close()


def _drag(app: App, vertex: int, frame: int) -> list[float]:
    """Seconds from each mouse event of one long drag to the vertices of its pose.

    The model's process is idle meanwhile, as on a machine with a spare core.
    """
    studio = app.studio
    source, results = studio.state.document.source, studio.state.results
    assert source is not None and results is not None
    deadline = time.perf_counter() + PATIENCE
    while studio.posing.system is None and time.perf_counter() < deadline:
        _paced_frame(app)
    return _one_drag(studio.session, studio.posing, results.samples.samples[0].sequence.vertices[frame], vertex, frame)


def measure_large_drag(mesh: SourceMesh, handles: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """Seconds from a mouse event to the vertices of the pose, for the large mesh and without a window."""
    session, posing = Session(commands.open_source(State(), mesh)), Posing()
    last = session.state.document.frames - 1
    for row, (vertex, target) in enumerate(zip(handles, targets, strict=True)):
        session.do("handle", commands.add_handle, int(vertex))
        session.do("key", commands.set_key, row, last, target)
    posing.system = DragSystem.of(mesh.vertices, mesh.faces)
    taken = _one_drag(session, posing, mesh.vertices, int(handles[0]), last)
    return {
        "large_vertices": float(len(mesh.vertices)),
        "large_drag_event": float(np.median(taken)),
        "large_drag_event_99": float(np.quantile(taken, 0.99)),
    }


def _one_drag(session: Session, posing: Posing, base: np.ndarray, vertex: int, frame: int) -> list[float]:
    """Drag the first handle around a circle, from the pose `base` [V, 3]; returns the seconds of each event."""
    source = session.state.document.source
    assert source is not None
    posing.take(base)
    taken = []
    for event in range(DRAG_EVENTS):
        angle = 2 * np.pi * event / DRAG_EVENTS
        goal = base[vertex] + 0.15 * source.size * np.array([np.sin(angle), 1 - np.cos(angle), 0.0])
        start = time.perf_counter()
        session.drag("bench", "move handle", commands.set_key, 0, frame, goal)
        if posing.pose(session.state.document, frame) is None:
            raise RuntimeError("the mesh cannot be posed")
        taken.append(time.perf_counter() - start)
    posing.release()
    return taken


def _draw_until(app: App, ready: Callable[[], bool]) -> None:
    deadline = time.perf_counter() + PATIENCE
    while not ready():
        _stop_on_notice(app)
        if time.perf_counter() > deadline:
            raise TimeoutError("the generator did not answer in time")
        _paced_frame(app)
    _stop_on_notice(app)


def _stop_on_notice(app: App) -> None:
    notice = app.studio.state.notice
    if notice is not None:
        raise RuntimeError(f"{notice.title}: {notice.message}")


def _paced_frame(app: App) -> None:
    """One frame of the main loop."""
    start = time.perf_counter()
    app.frame()
    time.sleep(max(0.0, FRAME_SECONDS - (time.perf_counter() - start)))


def main(path: str, preset: str, device: str) -> None:
    with np.load(Path(path), allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    mesh = build_source_mesh(arrays["vertices"], arrays["faces"], name="benchmark")
    handles = mesh.file_to_vertex[arrays["handles"]]
    figures = measure_window(mesh, handles, arrays["targets"], partial(load_animator, preset, device))
    large = build_source_mesh(arrays["large_vertices"], arrays["large_faces"], name="large benchmark")
    figures |= measure_large_drag(large, large.file_to_vertex[arrays["handles"]], arrays["targets"])
    print(json.dumps(figures))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3])
