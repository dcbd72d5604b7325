"""The window under a real display server at rest, and the system's own file dialog."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from m2v_studio.work.file_dialog import FileDialog

from ..studio.shapes import write_ball

PATIENCE = 300.0
WATCHED = 30  # reports of the window at rest, a tenth of a second apart

IDLER = """
import json, sys, threading, time
from pathlib import Path
from m2v_studio.app import App
from m2v_studio.studio import Studio
from tests.studio.fake_animator import make_fake
app = App(Studio(make_fake, isolate=False), "openGL3_glfw", (1000, 640))
app.studio.open_path(Path(sys.argv[1]), guard=False)
app.studio.worker.start()

def tell():
    out, reports = Path(sys.argv[2]), 0
    while True:
        time.sleep(0.1)
        reports += 1
        said = {"reports": reports, "frames": app.times.frames, "message": app.studio.state.message}
        said |= {"spent": time.process_time(), "clock": time.monotonic()}
        out.with_suffix(".part").write_text(json.dumps(said))
        out.with_suffix(".part").replace(out)

threading.Thread(target=tell, daemon=True).start()
threading.Timer(float(sys.argv[3]), lambda: setattr(app.context, "closing", True)).start()
app.run()
"""
Told = dict[str, Any]


def test_the_systems_file_dialog_gives_back_what_is_typed_into_it(
    screen: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPLAY", screen[0])
    pytest.importorskip("_tkinter", reason="this Python has no Tk")
    chosen: list[Path] = []
    failed: list[str] = []
    dialog = FileDialog(lambda: failed.append("no dialog"))
    path = write_ball(tmp_path / "chosen.obj")
    assert dialog.ask("open", "Open something", chosen.append, {"Meshes": "*.obj *.glb"})

    def closed() -> bool:
        dialog.poll()
        return not dialog.is_open

    def typed() -> bool:
        """The dialog takes keys as soon as it has the focus, which nobody can ask for: they are sent until it does."""
        search = ["xdotool", "search", "--name", "Open something"]
        found = subprocess.run(search, capture_output=True, text=True, check=False).stdout.split()
        if found:
            for keys in (["windowfocus", found[-1]], ["key", "ctrl+a"], ["type", str(path)], ["key", "Return"]):
                subprocess.run(["xdotool", *keys], check=False, stderr=subprocess.DEVNULL)
            return happens(closed, 1.0)
        return closed()

    try:
        assert happens(typed, PATIENCE), "the dialog stays open"
    finally:
        dialog.close()
    assert chosen == [path] and not failed


def test_a_window_at_rest_leaves_the_processor_alone_and_wakes_at_once(
    screen: tuple[str, Path], tmp_path: Path
) -> None:
    environment = {**os.environ, "DISPLAY": screen[0], "M2V_CONFIG_DIR": str(tmp_path / "config")}
    report = tmp_path / "state.json"
    window = subprocess.Popen(
        [sys.executable, "-c", IDLER, str(write_ball(tmp_path / "ball.obj")), str(report), str(2 * PATIENCE)],
        env=environment,
        cwd=Path(__file__).parents[2],
    )

    def told(enough: Callable[[Told], bool]) -> Told:
        state: Told = {}

        def ready() -> bool:
            nonlocal state
            assert window.poll() is None, "the window ended"
            state = json.loads(report.read_text()) if report.exists() else {}
            return bool(state) and enough(state)

        assert happens(ready, PATIENCE), state
        return state

    try:
        last = told(lambda state: state["message"].startswith("Opened"))

        def at_rest(now: Told) -> bool:
            """Two seconds with hardly a frame."""
            nonlocal last
            if now["frames"] > last["frames"] + 3:
                last = now
            return bool(now["reports"] >= last["reports"] + 20)

        before = told(at_rest)
        after = told(lambda state: state["reports"] >= before["reports"] + WATCHED)
        share = (after["spent"] - before["spent"]) / (after["clock"] - before["clock"])
        assert share < 0.05 and after["frames"] - before["frames"] <= 4, (share, after["frames"] - before["frames"])
        subprocess.run(["xdotool", "mousemove", "300", "300"], env=environment, check=True)
        told(lambda state: state["frames"] > after["frames"] + 5)
    finally:
        window.terminate()
        window.wait(timeout=20)


def happens(ready: Callable[[], bool], patience: float) -> bool:
    """Whether something has happened before patience ends."""
    limit = time.monotonic() + patience
    while not ready():
        if time.monotonic() > limit:
            return False
        time.sleep(0.02)
    return True
