"""Work outlives a studio that is killed, and the window remembers its size: two real studios, one after the other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from ..drawing import skip_without_drawing
from ..studio.shapes import write_ball

ROOT = Path(__file__).parents[2]
PATIENCE = 300.0
HEAD = """
import json, sys, time
from pathlib import Path
import polyscope as ps
import polyscope.imgui as psim
from m2v_studio.document import commands
from m2v_studio.__main__ import open_first
from m2v_studio.app import App
from m2v_studio.driver import Driver
from m2v_studio.work.autosave import autosave_path
from m2v_studio.document.settings import load_settings, save_settings, Settings
from m2v_studio.studio import Studio
from tests.gui.hands import button_at, front_vertex, add_and_drag, finish
from tests.studio.fake_animator import make_fake

def start(*size):
    studio = Studio(make_fake, isolate={isolate})
    open_first(studio, Path(sys.argv[1]))
    app = App(studio, "openGL3_egl", *size)
    hands = Driver(app)
    hands.until(lambda: studio.state.document.source is not None)
    hands.settle()
    return studio, app, hands

def tell(**facts):
    Path(sys.argv[2]).write_text(json.dumps(facts))
"""
FIRST = """
if __name__ == "__main__":
    save_settings(Settings(width=1010, height=650))
    studio, app, hands = start()
    studio.worker.start()
    add_and_drag(hands)
    finish(hands)
    studio.autosave.due = 0.0
    hands.until(autosave_path().exists)
    hands.until(lambda: not studio.tasks._running)
    process = studio.worker._process
    position = [float(v) for v in studio.state.document.handles[0].keys[16]]
    tell(size=list(ps.get_window_size()), position=position, child=process.pid)
    print("READY", flush=True)
    time.sleep(600)
"""
BESIDE = """
if __name__ == "__main__":
    studio, app, hands = start()
    told = dict(offered=studio.recovery is not None, own=str(autosave_path()))
    app.close()
    tell(**told)
"""
SECOND = """
if __name__ == "__main__":
    studio, app, hands = start()
    size = list(ps.get_window_size())
    offered = studio.recovery is not None
    hands.click(button_at(hands, "Recover"))
    hands.until(lambda: bool(studio.state.document.handles))
    hands.tick(3)
    state = studio.state
    told = dict(
        size=size, offered=offered, position=[float(v) for v in state.document.handles[0].keys[16]],
        results=state.results is not None, message=state.message, asked_again=studio.recovery is not None,
        unsaved=state.saved is None, notice=None if state.notice is None else state.notice.message,
    )
    ps.set_window_size(1120, 720)
    hands.tick(3)
    app.close()
    told["left"], told["remembered"] = autosave_path().exists(), [load_settings().width, load_settings().height]
    tell(**told)
"""


def studio_process(tmp_path: Path, body: str, isolate: bool) -> subprocess.Popen[str]:
    script = tmp_path / f"studio{len(body)}.py"
    script.write_text(HEAD.replace("{isolate}", str(isolate)) + body, encoding="utf-8")
    environment = {**os.environ, "M2V_CONFIG_DIR": str(tmp_path / "config"), "PYTHONPATH": str(ROOT)}
    arguments = [sys.executable, str(script), str(write_ball(tmp_path / "ball.obj")), str(tmp_path / "told.json")]
    return subprocess.Popen(arguments, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_a_studio_that_was_killed_offers_its_work_and_its_size_next_time(tmp_path: Path) -> None:
    told = tmp_path / "told.json"
    with studio_process(tmp_path, FIRST, isolate=True) as first:
        assert first.stdout is not None
        line = first.stdout.readline()
        if not line:
            skip_without_drawing()
        assert line.strip() == "READY"
        before = json.loads(told.read_text())
        kept = {path: path.read_bytes() for path in (tmp_path / "config").glob("autosave-*.m2v")}
        with studio_process(tmp_path, BESIDE, isolate=False) as beside:
            assert beside.wait(PATIENCE) == 0
        other = json.loads(told.read_text())
        assert not other["offered"], "what another studio is at is not offered"
        assert kept and Path(other["own"]) not in kept
        assert kept == {path: path.read_bytes() for path in (tmp_path / "config").glob("autosave-*.m2v")}
        first.send_signal(signal.SIGKILL)
    assert before["size"] == [1010, 650]
    assert len(list((tmp_path / "config").glob("autosave-*.m2v"))) == 1
    assert ended(before["child"]), "the model's process does not outlive the window's"
    with studio_process(tmp_path, SECOND, isolate=False) as second:
        assert second.wait(PATIENCE) == 0
    after = json.loads(told.read_text())
    assert after["offered"] and after["position"] == before["position"] and after["results"]
    assert after["notice"] is None and after["unsaved"] and not after["asked_again"]
    assert "Recovered" in after["message"]
    assert after["size"] == [1010, 650] and after["remembered"] == [1120, 720]
    assert not after["left"], "leaving on purpose leaves nothing to recover"


def ended(process: int) -> bool:
    """True once a process is gone."""
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit:
        try:
            os.kill(process, 0)
            status = Path(f"/proc/{process}/stat")
            if status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False
