"""Random events in the real window; hours of them by `m2v-studio soak`."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from m2v_studio.__main__ import main
from m2v_studio.driver import Driver
from m2v_studio.soak import MAX_GROWTH, Soak, SoakReport
from m2v_studio.soak_events import Events

EVENTS = 200
RUN = """
import sys
import pytest
from m2v_studio.soak import soak
from tests.gui.unseen import fill_only_what_is_read
from tests.studio.fake_animator import make_fake
fill_only_what_is_read(pytest.MonkeyPatch())
report = soak(3, lambda report: report.events < int(sys.argv[1]), make_fake, isolate=False, by_cpu=True)
print("\\n".join(report.lines()))
sys.exit(0 if report.is_good else 1)
"""


@pytest.mark.slow
@pytest.mark.usefixtures("driver")  # skips where nothing can be drawn
def test_hundreds_of_events_at_random_end_without_a_fault() -> None:
    """In a process of its own: Polyscope opens one window in a process, and the memory is the window's alone."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, "160"], cwd=Path(__file__).parents[2], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def test_the_same_seed_draws_the_same_events(driver: Driver, tmp_path: Path) -> None:
    def drawn() -> list[str]:
        events = Events(driver, tmp_path, random.Random(11))
        return [events.draw()[0] for _ in range(EVENTS)]

    first = drawn()
    assert first == drawn()
    kinds = Counter(name.split(":")[0] for name in first)
    assert {"click", "drag", "handle", "key", "menu", "type", "bad", "undo"} <= set(kinds)


def test_every_kind_of_bad_file_is_refused_in_words(driver: Driver, tmp_path: Path) -> None:
    studio = driver.app.studio
    events = Events(driver, tmp_path, random.Random(0))
    before = studio.state.document.source
    refused = 0
    for kind in ("noise", "empty", "missing", "folder", "project", "sequence"):
        path = tmp_path / "bad.glb"
        events._write_bad(kind, path, bytes(range(256)) * 4)
        studio.open_path(events._target(kind, path), guard=False)
        driver.until(lambda: studio.state.notice is not None)
        notice = studio.state.notice
        assert notice is not None and not notice.detail, f"{kind}: {notice}"
        refused += 1
        events.dismiss()
    assert refused == 6 and studio.state.document.source is before


def test_an_exception_a_slow_frame_and_a_leak_are_found(driver: Driver, tmp_path: Path) -> None:
    app = driver.app
    frame, studio = app.frame, app.studio
    try:
        soak = Soak(driver, Events(driver, tmp_path, random.Random(1)), 1)
        try:
            raise ZeroDivisionError("by zero")
        except ZeroDivisionError as error:
            caught = error
        soak.events._kinds = ((1, "break", lambda: ("it", lambda: studio.fail("Broken", caught))),)
        report = soak.run(lambda report: report.events < 2)
        assert report.faults and "ZeroDivisionError" in report.faults[0] and "break: it" in report.faults[0]
        assert not report.is_good and studio.state.notice is None
    finally:
        app.frame = frame  # type: ignore[method-assign]
    flat = SoakReport(0, memory=[400 << 20] * 9)
    leaking = SoakReport(0, memory=[int(size) << 20 for size in np.linspace(400, 800, 9)])
    assert flat.growth == 0.0 and flat.is_good
    assert leaking.growth > MAX_GROWTH and not leaking.is_good
    assert not SoakReport(0, slow=["1.40 s"]).is_good


def test_the_command_refuses_what_cannot_be(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["soak", "--minutes", "-1"]) == 2
    assert "positive" in capsys.readouterr().err
