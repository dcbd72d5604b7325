"""Unsaved work is kept for each studio apart, offered once its studio is gone, and tried again when it failed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.errors import DataError
from m2v_studio.document.state import Document, Notice, State
from m2v_studio.work import autosave
from m2v_studio.work.autosave import EVERY_SECONDS, Autosave, autosave_path, left_behind
from m2v_studio.work.tasks import Tasks

from .shapes import ball


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("M2V_CONFIG_DIR", str(tmp_path))
    return tmp_path


def path_of_an_ended_studio() -> Path:
    script = "from m2v_studio.work.autosave import autosave_path; print(autosave_path())"
    return Path(
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()
    )


def test_only_work_of_studios_that_are_gone_is_offered_the_newest_first(config: Path) -> None:
    assert left_behind() is None
    autosave_path().write_bytes(b"of this studio, which is open")
    other = autosave_path().name.replace(f"-{os.getpid()}-", f"-{os.getppid()}-")
    (config / other).write_bytes(b"of another that is open")
    (config / "autosave-elsewhere-1-.m2v").write_bytes(b"of another machine")
    assert left_behind() is None
    first, second = path_of_an_ended_studio(), path_of_an_ended_studio()
    assert first != second
    for age, path in ((100, first), (0, second), (200, config / "autosave.m2v")):
        path.write_bytes(b"left")
        os.utime(path, (time.time() - age, time.time() - age))
    assert left_behind() == second
    second.unlink()
    assert left_behind() == first
    first.unlink()
    assert left_behind() == config / "autosave.m2v"


def test_an_autosave_that_fails_is_told_once_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    full, saved, notices = [True], [], list[Notice]()

    def save(state: State, path: Path) -> None:
        if full[0]:
            raise DataError(f"{path} cannot be written (No space left on device); choose another folder.")
        saved.append(path)

    monkeypatch.setattr(autosave, "save_project", save)
    monkeypatch.setattr(autosave, "is_worth_keeping", lambda state: True)
    tasks = Tasks()
    keeper, state = Autosave(tasks, notices.append), State(document=Document(source=ball()))

    def attempt() -> None:
        keeper.now(state)
        while tasks._running:
            tasks.poll()

    attempt()
    attempt()
    assert len(notices) == 1 and "No space left" in notices[0].message
    assert keeper.due <= time.monotonic() + EVERY_SECONDS
    full[0] = False
    attempt()
    attempt()  # nothing changed since
    assert saved == [autosave_path()]
    tasks.close()
