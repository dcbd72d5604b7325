"""Whatever is wrong with a file, a place or the model: one sentence in a dialog, and nothing of the work is lost."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import polyscope.imgui as psim
import pytest

from core.errors import CheckpointError
from m2v_studio.document import commands
from m2v_studio.document.project import save_project
from m2v_studio.document.state import Document, Notice
from m2v_studio.driver import Driver
from m2v_studio.work import worker

from .hands import CTRL, button_at, front_vertex

TRIANGLE = "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"
FILES: dict[str, bytes | None] = {
    "missing.obj": None,
    "empty.obj": b"",
    "empty.glb": b"",
    "cut.glb": b"glTF\x02\0\0\0",
    "picture.stl": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "words.txt": b"hello",
    "points.obj": b"v 0 0 0\nv 1 0 0\nv 0 1 0\n",
    "nan.obj": TRIANGLE.replace("v 1 0 0", "v nan 0 0").encode(),
    "dot.obj": b"v 1 1 1\nv 1 1 1\nv 1 1 1\nf 1 2 3\n",
    "far.obj": TRIANGLE.replace("f 1 2 3", "f 1 2 30").encode(),
    "project.m2v": b"PK\x03\x04 not really",
}


def told(driver: Driver, before: Document) -> Notice:
    """The notice of a dialog that is closed by its button, with the work still there."""
    studio = driver.app.studio
    driver.until(lambda: studio.state.notice is not None)
    driver.tick(2)
    notice = studio.state.notice
    assert notice is not None and notice.detail == "", f"a fault instead of a sentence: {notice}"
    assert notice.message.strip().endswith(".") and len(notice.message) < 400, notice.message
    driver.click(button_at(driver, "Close"))
    assert studio.state.notice is None
    assert studio.state.document is before and studio.state.results is not None
    return notice


def test_files_that_cannot_be_opened(work: Driver, tmp_path: Path) -> None:
    before = work.app.studio.state.document
    for name, content in FILES.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        work.app.studio.open_path(tmp_path / name, guard=False)
        assert name in told(work, before).message
    (tmp_path / "nothing in it").mkdir()
    work.app.studio.open_path(tmp_path / "nothing in it", guard=False)
    assert "nothing in it" in told(work, before).message


def edited(path: Path, **changes: object) -> Path:
    """The project with entries of its description replaced."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["project.json"] = json.dumps({**json.loads(parts["project.json"]), **changes}).encode()
    changed = path.with_name("changed.m2v")
    with zipfile.ZipFile(changed, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return changed


def test_projects_with_impossible_handles(work: Driver, tmp_path: Path) -> None:
    studio = work.app.studio
    before = studio.state.document
    save_project(studio.state, tmp_path / "good.m2v")
    good = {"vertex": 3, "name": "a", "pinned": False, "hold": False, "keys": {"16": [0.0, 0.0, 0.0]}}
    for handles in (
        [{**good, "vertex": 10**6}],
        [{**good, "keys": {"99": [0.0, 0.0, 0.0]}}],
        [{**good, "keys": {"16": [float("nan"), 0.0, 0.0]}}],
        [{**good, "keys": {"16": [1e30, 0.0, 0.0]}}],
        [good, good],
    ):
        studio.open_path(edited(tmp_path / "good.m2v", handles=handles), guard=False)
        assert "changed.m2v" in told(work, before).message
    for frames in (0, 1):
        studio.open_path(edited(tmp_path / "good.m2v", frames=frames), guard=False)
        told(work, before)


def test_places_that_cannot_be_written(work: Driver, tmp_path: Path) -> None:
    app, studio = work.app, work.app.studio
    before = studio.state.document
    (tmp_path / "file").write_text("in the way")
    studio.save(tmp_path / "file" / "work.m2v")
    assert "file" in told(work, before).message and studio.state.project == ""
    work.key(psim.ImGuiKey_E, CTRL)
    app.export_dialog.place.path = str(tmp_path / "file" / "out.glb")
    work.tick(2)
    work.click(button_at(work, "Export"))
    assert "file" in told(work, before).message
    left = [path.name for path in tmp_path.iterdir() if path.name != "config"]
    assert left == ["file"], "nothing half-written is left"


def test_a_model_that_cannot_be_loaded(work: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    """The dialog names the file; editing goes on, and Generate says why it cannot be pressed."""
    studio = work.app.studio
    before = studio.state.document
    sentence = "small/motion-diffusion.safetensors is damaged; install the studio again or train the model."

    def damaged() -> worker.AnimatorLike:
        raise CheckpointError(sentence)

    spare = worker.GenerationWorker(damaged, isolate=False)
    monkeypatch.setattr(studio, "worker", spare)
    spare.start()
    assert told(work, before).message == sentence
    assert studio.state.engine == "failed"
    studio.show(commands.set_time, 0.0)
    work.settle()
    work.click(work.at_vertex(front_vertex(work, 20)), shift=True)
    assert len(studio.state.document.handles) == 2
    work.key(psim.ImGuiKey_Enter, CTRL)
    assert studio.state.job is None and "model" in studio.state.message


def test_a_target_far_outside_is_brought_back_into_reach(work: Driver) -> None:
    studio = work.app.studio
    source = studio.state.document.source
    assert source is not None
    studio.do("move handle", commands.set_key, 0, 16, [1e12, 0.0, 0.0])
    reached = studio.state.document.handles[0].keys[16]
    assert np.abs(reached - source.vertices).max() < 100 * source.size
    studio.do("move handle", commands.set_key, 0, 16, [float("nan"), 0.0, 0.0])
    np.testing.assert_array_equal(studio.state.document.handles[0].keys[16], reached)
    assert "finite" in told(work, studio.state.document).message
