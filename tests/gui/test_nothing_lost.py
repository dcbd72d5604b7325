"""Work that cannot be kept is told in the window and tried again; two studios keep apart; saves run beside."""

from __future__ import annotations

import threading
from pathlib import Path

import polyscope.imgui as psim
import pytest

from m2v_studio.document import commands
from m2v_studio.document.project import load_project
from m2v_studio.driver import Driver
from m2v_studio.work import project_lock
from m2v_studio.work.autosave import autosave_path
from m2v_studio.work.project_lock import ProjectLock

from .hands import CTRL, button_at

PATIENCE = 300.0


def test_an_autosave_that_fails_is_shown_and_tried_again(work: Driver) -> None:
    studio = work.app.studio
    work.until(lambda: not studio.tasks._running, PATIENCE)
    autosave_path().unlink(missing_ok=True)
    autosave_path().mkdir(parents=True)  # in the way, as a full disk would be
    before = studio.state.document
    studio.do("rename", commands.rename_handle, 0, "paw")
    assert studio.state.document is not before
    studio.autosave.due = 0.0
    work.until(lambda: studio.state.notice is not None, PATIENCE)
    notice = studio.state.notice
    assert notice is not None and notice.detail == "" and notice.title == "Autosaving failed"
    assert "cannot be written" in notice.message
    work.click(button_at(work, "Close"))
    studio.autosave.due = 0.0
    work.tick(1)
    work.until(lambda: not studio.tasks._running, PATIENCE)
    work.settle()
    assert studio.state.notice is None, "told once, not every 45 seconds"
    autosave_path().rmdir()
    studio.autosave.due = 0.0
    work.until(autosave_path().is_file, PATIENCE)
    work.until(lambda: not studio.tasks._running, PATIENCE)
    assert load_project(autosave_path())[0].handles[0].name == "paw"


def test_a_project_that_another_studio_has_open_says_so_and_is_not_overwritten(work: Driver, tmp_path: Path) -> None:
    studio, path, other = work.app.studio, tmp_path / "walk.m2v", ProjectLock()
    other.save(studio.state, path)
    other.follow(str(path), lambda notice: pytest.fail(notice.message))
    before = path.read_bytes()
    try:
        studio.open_path(path, guard=False)
        work.until(lambda: studio.state.notice is not None, PATIENCE)
        assert studio.state.project == str(path) and studio.state.notice is not None
        assert studio.state.notice.message.startswith("walk.m2v is open in another studio")
        work.click(button_at(work, "Close"))
        studio.do("rename", commands.rename_handle, 0, "paw")
        work.key(psim.ImGuiKey_S, CTRL)
        work.until(lambda: studio.state.notice is not None, PATIENCE)
        assert studio.state.notice is not None and "save under another name" in studio.state.notice.message
        work.click(button_at(work, "Close"))
        assert path.read_bytes() == before
        other.let_go()
        work.key(psim.ImGuiKey_S, CTRL)
        work.until(lambda: path.read_bytes() != before, PATIENCE)
        work.until(lambda: not studio.tasks._running, PATIENCE)
        assert load_project(path)[0].handles[0].name == "paw" and studio.state.notice is None
    finally:
        other.let_go()
        studio.project_lock.let_go()


def test_the_window_goes_on_while_a_save_takes_long(
    work: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio, go = work.app.studio, threading.Event()
    slow = project_lock.save_project

    def save(state: object, path: Path) -> None:
        assert go.wait(PATIENCE)
        slow(state, path)  # type: ignore[arg-type]

    monkeypatch.setattr(project_lock, "save_project", save)
    saved = studio.state.document
    name = saved.handles[0].name
    studio.save(tmp_path / "walk.m2v")
    work.tick(3)
    assert studio.state.busy == "Saving walk.m2v" and not (tmp_path / "walk.m2v").exists()
    studio.do("rename", commands.rename_handle, 0, "paw")
    work.tick(3)
    assert studio.state.document.handles[0].name == "paw"
    go.set()
    work.until(lambda: not studio.state.busy and not studio.tasks._running, PATIENCE)
    assert load_project(tmp_path / "walk.m2v")[0].handles[0].name == name, "what was there when it began"
    assert studio.state.saved is saved
    studio.project_lock.let_go()
