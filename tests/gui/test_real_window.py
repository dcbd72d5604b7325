"""The window under a real display server with a real mouse: what the off-screen tests do, once, for real."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from m2v_studio.work.file_dialog import FileDialog

from ..studio.shapes import write_ball

NEEDED = ("Xvfb", "xdotool")
PATIENCE = 90.0

RUNNER = """
import json, sys, time
from pathlib import Path
from m2v_studio.app import App
from m2v_studio.studio import Studio
from tests.studio.fake_animator import make_fake
app = App(Studio(make_fake, isolate=False), "openGL3_glfw", (1000, 640))
app.studio.open_path(Path(sys.argv[1]), guard=False)
app.studio.worker.start()
limit = time.monotonic() + float(sys.argv[3])
while time.monotonic() < limit:
    app.frame()
    state, region = app.studio.state, app.region
    told = {"open": state.document.source is not None and app.viewport.projection is not None}
    told["region"] = [region.x, region.y, region.width, region.height]
    told["handles"] = [[h.vertex, sorted(h.keys)] for h in state.document.handles]
    told["knob"] = None
    if state.document.handles and app.viewport.projection is not None:
        figure = app.viewport.figures[0]
        at = app.viewport.position(figure, state.document.handles[0].vertex)
        told["knob"] = [float(v) for v in app.viewport.projection.project(at)[0]]
    told["results"] = state.results is not None
    out = Path(sys.argv[2])
    out.with_suffix(".part").write_text(json.dumps(told))
    out.with_suffix(".part").replace(out)
    if told["results"]:
        break
    time.sleep(0.01)
app.close()
"""


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
    out = Path(sys.argv[2])
    while True:
        time.sleep(0.1)
        spent = time.process_time()
        said = {"frames": app.times.frames, "spent": spent, "message": app.studio.state.message}
        out.with_suffix(".part").write_text(json.dumps(said))
        out.with_suffix(".part").replace(out)

threading.Thread(target=tell, daemon=True).start()
threading.Timer(float(sys.argv[3]), lambda: setattr(app.context, "closing", True)).start()
app.run()
"""


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    """A screen nobody looks at."""
    if any(shutil.which(name) is None for name in NEEDED):
        pytest.skip("needs Xvfb and xdotool")
    name = f":{400 + os.getpid() % 5000}"
    server = subprocess.Popen(
        ["Xvfb", name, "-screen", "0", "1100x720x24"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait(lambda: Path(f"/tmp/.X11-unix/X{name[1:]}").exists())
        yield name
    finally:
        server.terminate()
        server.wait(timeout=20)


def test_the_systems_file_dialog_gives_back_what_is_typed_into_it(
    display: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tkinter")
    monkeypatch.setenv("DISPLAY", display)
    environment = dict(os.environ)
    chosen: list[Path] = []
    failed: list[str] = []
    dialog = FileDialog(lambda: failed.append("no dialog"))
    path = write_ball(tmp_path / "chosen.obj")
    assert dialog.ask("open", "Open something", chosen.append, {"Meshes": "*.obj *.glb"})
    try:

        def typed() -> bool:
            """The dialog's window takes keys as soon as it has the focus, which nobody can ask for."""
            found = subprocess.run(
                ["xdotool", "search", "--name", "Open something"], env=environment, capture_output=True, text=True
            ).stdout.split()
            if found:
                for keys in (["windowfocus", found[-1]], ["key", "ctrl+a"], ["type", str(path)], ["key", "Return"]):
                    subprocess.run(["xdotool", *keys], env=environment, check=False, stderr=subprocess.DEVNULL)
                time.sleep(0.3)
            dialog.poll()
            return not dialog.is_open

        wait(typed)
    finally:
        dialog.close()
    if failed:
        pytest.skip("Tk cannot open a window here")
    assert chosen == [path]


def test_a_real_mouse_adds_a_handle_and_drags_it(display: str, tmp_path: Path) -> None:
    environment = {**os.environ, "DISPLAY": display, "M2V_CONFIG_DIR": str(tmp_path / "config")}
    report = tmp_path / "state.json"
    window = None
    try:
        window = subprocess.Popen(
            [sys.executable, "-c", RUNNER, str(write_ball(tmp_path / "ball.obj")), str(report), str(PATIENCE)],
            env=environment,
            cwd=Path(__file__).parents[2],
        )
        told = wait(lambda: read(report, lambda state: state["open"]), window)
        origin = window_origin(environment)
        x, y, width, height = told["region"]
        middle = (origin[0] + x + width / 2, origin[1] + y + height / 2)
        mouse(environment, "mousemove", *middle)
        time.sleep(0.3)
        mouse(environment, "click", 1)
        told = wait(lambda: read(report, lambda state: state["knob"] is not None), window)
        knob = origin[0] + told["knob"][0], origin[1] + told["knob"][1]
        mouse(environment, "mousemove", *knob)
        time.sleep(0.3)
        mouse(environment, "mousedown", 1)
        for step in range(1, 6):
            time.sleep(0.2)
            mouse(environment, "mousemove", knob[0] + 10 * step, knob[1] - 14 * step)
        time.sleep(0.3)
        mouse(environment, "mouseup", 1)
        told = wait(lambda: read(report, lambda state: state["results"]), window)
        assert [keys for _, keys in told["handles"]] == [[16]]
    finally:
        if window is not None:
            window.terminate()
            window.wait(timeout=20)


def test_a_window_at_rest_leaves_the_processor_alone_and_wakes_at_once(display: str, tmp_path: Path) -> None:
    environment = {**os.environ, "DISPLAY": display, "M2V_CONFIG_DIR": str(tmp_path / "config")}
    report = tmp_path / "state.json"
    window = subprocess.Popen(
        [sys.executable, "-c", IDLER, str(write_ball(tmp_path / "ball.obj")), str(report), str(PATIENCE)],
        env=environment,
        cwd=Path(__file__).parents[2],
    )
    try:
        wait(lambda: read(report, lambda state: state["message"].startswith("Opened")), window)
        time.sleep(2.5)
        began, before = time.monotonic(), json.loads(report.read_text())
        time.sleep(5.0)
        after = json.loads(report.read_text())
        share = (after["spent"] - before["spent"]) / (time.monotonic() - began)
        assert share < 0.05 and after["frames"] - before["frames"] <= 4, (share, after["frames"] - before["frames"])
        mouse(environment, "mousemove", 300, 300)
        wait(lambda: read(report, lambda state: state["frames"] > after["frames"] + 5), window)
    finally:
        window.terminate()
        window.wait(timeout=20)


def wait(ready, process: subprocess.Popen | None = None):  # type: ignore[no-untyped-def, type-arg]
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit:
        found = ready()
        if found:
            return found
        assert process is None or process.poll() in (None, 0), "the window ended"
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


def read(report: Path, enough):  # type: ignore[no-untyped-def]
    if not report.exists():
        return None
    state = json.loads(report.read_text())
    return state if enough(state) else None


def mouse(environment: dict[str, str], action: str, *values: float) -> None:
    subprocess.run(["xdotool", action, *(str(round(value)) for value in values)], env=environment, check=True)


def window_origin(environment: dict[str, str]) -> tuple[float, float]:
    """Where the window's inside begins on the screen."""
    found = subprocess.run(
        ["xdotool", "search", "--name", "m2v studio"], env=environment, capture_output=True, text=True
    ).stdout.split()
    shape = subprocess.run(
        ["xdotool", "getwindowgeometry", "--shell", found[-1]], env=environment, capture_output=True, text=True
    ).stdout
    values = dict(line.split("=") for line in shape.split())
    return float(values["X"]), float(values["Y"])
