"""A project that is open twice says so, and neither studio overwrites the other's work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import DataError
from m2v_studio.document.state import Notice
from m2v_studio.work.project_lock import ProjectLock

from .shapes import opened_state


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("M2V_CONFIG_DIR", str(tmp_path / "config"))
    return tmp_path / "config"


def test_the_second_studio_is_told_and_cannot_save_until_the_first_is_gone(tmp_path: Path, config: Path) -> None:
    path, told = tmp_path / "walk.m2v", list[Notice]()
    first, second, third = ProjectLock(), ProjectLock(), ProjectLock()
    first.save(opened_state(), path)
    first.follow(str(path), told.append)
    first.follow(str(path), told.append)
    assert told == []
    second.follow(str(path), told.append)
    assert len(told) == 1 and told[0].message.startswith("walk.m2v is open in another studio")
    before = path.read_bytes()
    for other in (second, third):
        with pytest.raises(DataError, match="save under another name"):
            other.save(opened_state(), path)
    assert path.read_bytes() == before
    first.save(opened_state(), path)
    second.save(opened_state(), tmp_path / "other.m2v")
    first.follow("", told.append)  # another mesh was opened there
    second.save(opened_state(), path)
    with pytest.raises(DataError):
        first.save(opened_state(), path)
    second.let_go()
    assert len(told) == 1 and not list((config / "open").iterdir())


def test_the_lock_goes_with_a_studio_that_is_killed(tmp_path: Path) -> None:
    path, told = tmp_path / "walk.m2v", list[Notice]()
    script = (
        "import os, signal, sys; from m2v_studio.work.project_lock import ProjectLock; "
        "lock = ProjectLock(); lock.follow(sys.argv[1], print); print('open', flush=True); "
        "sys.stdin.read(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    command = [sys.executable, "-c", script, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as studio:
        assert studio.stdout is not None and studio.stdout.readline() == "open\n"
        lock = ProjectLock()
        lock.follow(str(path), told.append)
        assert len(told) == 1
        studio.communicate("")
    lock.save(opened_state(), path)
    again = ProjectLock()
    again.follow(str(path), told.append)
    assert len(told) == 2  # the one that took it over


def test_a_folder_without_room_for_locks_hinders_nobody(tmp_path: Path, config: Path) -> None:
    config.write_text("in the way")
    lock, told = ProjectLock(), list[Notice]()
    lock.follow(str(tmp_path / "walk.m2v"), told.append)
    lock.save(opened_state(), tmp_path / "walk.m2v")
    assert told == [] and (tmp_path / "walk.m2v").is_file()
