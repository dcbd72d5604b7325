"""Files that come from outside: dropped on the window, or chosen in the system's dialog."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polyscope.imgui as psim
import pytest

from m2v_studio import context
from m2v_studio.driver import Driver
from m2v_studio.work import file_dialog

from ..studio.shapes import write_ball
from .hands import CTRL, button_at, front_vertex, generate


def opened(driver: Driver, name: str) -> bool:
    source = driver.app.studio.state.document.source
    return source is not None and source.name == name


def test_a_dropped_mesh_opens(driver: Driver, tmp_path: Path) -> None:
    driver.app._dropped([str(write_ball(tmp_path / "drop ped é.obj")), str(tmp_path / "another.obj")])
    driver.until(lambda: opened(driver, "drop ped é"))
    driver.settle()
    assert len(driver.app.viewport.figures) == 1 and driver.app.studio.state.notice is None


def test_a_dropped_file_that_cannot_be_read_is_a_dialog_and_nothing_is_lost(driver: Driver, tmp_path: Path) -> None:
    studio = driver.app.studio
    before = studio.state.document
    for name, content in (("half.glb", b"glTF\x02\0\0\0"), ("text.obj", b"hello"), ("note.txt", b"hello")):
        (tmp_path / name).write_bytes(content)
        driver.app._dropped([str(tmp_path / name)])
        driver.until(lambda: studio.state.notice is not None)
        assert studio.state.notice is not None and name in studio.state.notice.message
        assert studio.state.notice.detail == "", "a bad file is not an internal fault"
        driver.tick(2)
        driver.click(button_at(driver, "Close"))
        assert studio.state.notice is None and studio.state.document is before


def test_a_mesh_dropped_on_unsaved_work_asks_first(driver: Driver, tmp_path: Path) -> None:
    studio = driver.app.studio
    driver.click(driver.at_vertex(front_vertex(driver)))
    path = write_ball(tmp_path / "next.obj")
    driver.app._dropped([str(path)])
    driver.tick(3)
    driver.click(button_at(driver, "Cancel"))
    assert studio.ask is None and not opened(driver, "next") and studio.state.document.handles
    driver.app._dropped([str(path)])
    driver.tick(3)
    driver.click(button_at(driver, "Don't save"))
    driver.until(lambda: opened(driver, "next"))


def answering(monkeypatch: pytest.MonkeyPatch, driver: Driver, script: str) -> None:
    """A system dialog that is a process like the real one, with a person's answer already in it."""
    monkeypatch.setattr(file_dialog, "_SCRIPT", script)
    monkeypatch.setattr(file_dialog, "available", lambda: True)
    monkeypatch.setattr(driver.app.context, "files_available", True)


CHOOSE = "import sys; sys.stdout.buffer.write({path!r}.encode('utf-8'))"


def test_the_file_chosen_in_the_dialog_opens(driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_ball(tmp_path / "chosen ö.obj")
    answering(monkeypatch, driver, CHOOSE.format(path=str(path)))
    driver.key(psim.ImGuiKey_O, CTRL)
    driver.until(lambda: opened(driver, "chosen ö"))
    assert not driver.app.context.files.is_open


def test_the_dialog_is_told_what_can_be_opened_and_the_window_goes_on_meanwhile(
    driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, told = tmp_path / "gate", tmp_path / "told"
    wait = f"""
import pathlib, sys, time
pathlib.Path({str(told)!r}).write_text(repr(sys.argv[1:]))
while not pathlib.Path({str(gate)!r}).exists():
    time.sleep(0.01)
"""
    answering(monkeypatch, driver, wait)
    driver.key(psim.ImGuiKey_O, CTRL)
    driver.until(told.exists)
    yaw = driver.app.viewport.camera.yaw
    middle = driver.app.region.center
    driver.drag((middle[0] - 150, middle[1] + 90), (middle[0] - 60, middle[1] + 90))
    assert driver.app.viewport.camera.yaw != yaw and driver.app.context.files.is_open
    assert "'open'" in told.read_text() and "*.glb" in told.read_text() and "*.m2v" in told.read_text()
    gate.write_text("")
    driver.until(lambda: not driver.app.context.files.is_open)


def test_a_cancelled_dialog_changes_nothing(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, driver, "pass")
    before = driver.app.studio.state
    driver.key(psim.ImGuiKey_O, CTRL)
    driver.until(lambda: not driver.app.context.files.is_open)
    driver.tick(3)
    after = driver.app.studio.state
    assert after.document is before.document and after.notice is None and after.message == before.message


def test_the_place_to_save_comes_from_the_dialog(
    driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.click(driver.at_vertex(front_vertex(driver)))
    answering(monkeypatch, driver, CHOOSE.format(path=str(tmp_path / "mine.m2v")))
    driver.key(psim.ImGuiKey_S, CTRL)
    driver.tick(2)
    driver.click(button_at(driver, "Browse…"))
    driver.until(lambda: not driver.app.context.files.is_open)
    driver.click(button_at(driver, "Save"))
    driver.until((tmp_path / "mine.m2v").exists)
    driver.until(lambda: driver.app.studio.state.project.endswith("mine.m2v"))


def test_the_place_to_export_comes_from_the_dialog(
    driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate(driver)
    answering(monkeypatch, driver, CHOOSE.format(path=str(tmp_path / "walk.glb")))
    driver.key(psim.ImGuiKey_E, CTRL)
    driver.tick(2)
    driver.click(button_at(driver, "Browse…"))
    driver.until(lambda: not driver.app.context.files.is_open)
    assert driver.app.export_dialog.place.path == str(tmp_path / "walk.glb")
    driver.click(button_at(driver, "Export"))
    driver.until((tmp_path / "walk.glb").exists)


def test_without_tkinter_one_sentence_says_how_to_open_a_file(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tkinter", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not file_dialog.available()
    monkeypatch.setattr(driver.app.context, "files_available", file_dialog.available())
    driver.key(psim.ImGuiKey_O, CTRL)
    driver.tick(2)
    assert driver.app.studio.state.message == context.NO_DIALOG and not driver.app.context.files.is_open


def test_a_dialog_that_cannot_be_shown_says_so_instead_of_doing_nothing(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, driver, "raise SystemExit('no display name and no $DISPLAY environment variable')")
    driver.key(psim.ImGuiKey_O, CTRL)
    driver.until(lambda: not driver.app.context.files.is_open)
    driver.tick(2)
    assert driver.app.studio.state.message == context.NO_DIALOG and not driver.app.context.files_available


def test_the_path_field_opens_what_is_typed(driver: Driver, tmp_path: Path) -> None:
    path = write_ball(tmp_path / "typed.obj")
    driver.app.source_panel.path = f' "{path}" '
    driver.tick(2)
    np.testing.assert_equal(driver.app.source_panel.path.strip(), f'"{path}"')
    x, y = button_at(driver, "Samples")
    driver.click((x - 120, y))  # the field is left of it
    driver.key(psim.ImGuiKey_Enter)
    driver.until(lambda: opened(driver, "typed"))
    assert driver.app.source_panel.path == ""
