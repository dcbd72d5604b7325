"""Files as people have them, opened in the real window: what is read, what is said, what can be set right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polyscope.imgui as psim
import pytest

from core.io.mesh.mesh_reader import read_mesh
from core.sequence import MeshSequence
from m2v_studio.document import commands
from m2v_studio.document.looks import own_looks
from m2v_studio.document.project import load_project, save_project
from m2v_studio.driver import Driver
from m2v_studio.view import widgets
from tests.cases import MESHES, SCANS, MeshCase, ScanCase, mesh_file, standing

from .hands import CTRL, button_at, generate

PATIENCE = 300.0
SHOWN = ("atlas_cube.glb", "lamp.glb", "coloured.glb", "coloured.obj", "coloured.ply", "texture_comment.ply")


def open_file(driver: Driver, path: Path) -> None:
    """As a person drops it on the window."""
    studio = driver.app.studio
    before = studio.state.document
    driver.app._dropped([str(path)])
    driver.until(lambda: studio.state.document is not before or studio.state.notice is not None, PATIENCE)
    driver.settle()


@pytest.mark.parametrize("case", MESHES, ids=lambda case: case.name)
def test_a_mesh_opens_as_it_is(driver: Driver, case: MeshCase, tmp_path: Path) -> None:
    studio = driver.app.studio
    open_file(driver, mesh_file(case, tmp_path))
    source = studio.state.document.source
    assert studio.state.notice is None and source is not None
    case.check(source)
    for words in case.notes:
        assert words.lower() in studio.state.message.lower()
    assert len(driver.app.viewport.figures) == 1
    assert (own_looks(source) is not None) == (case.name in SHOWN)


def test_a_mesh_on_its_back_is_stood_up_by_a_button(driver: Driver, tmp_path: Path) -> None:
    studio, case = driver.app.studio, MESHES[-1]
    open_file(driver, mesh_file(case, tmp_path))
    assert driver.app.viewport.norm is not None and studio.state.document.source is not None

    def height() -> float:
        return float(np.ptp(driver.app.viewport.norm.apply(studio.state.document.source.vertices)[:, 1]))  # type: ignore[union-attr]

    assert height() < 0.5
    driver.click(button_at(driver, "Turn Z up"))
    driver.settle()
    assert studio.state.document.source.up_axis == "z" and height() == pytest.approx(1.0)
    with pytest.raises(AssertionError, match="no button"):
        button_at(driver, "Turn Z up")
    driver.key(psim.ImGuiKey_Z, CTRL)
    driver.settle()
    assert height() < 0.5
    driver.click(button_at(driver, "Turn Z up"))
    generate(driver)
    save_project(studio.state, tmp_path / "upright.m2v")
    assert load_project(tmp_path / "upright.m2v")[0].source.up_axis == "z"  # type: ignore[union-attr]
    results = studio.state.results
    assert results is not None and isinstance(results.samples.samples[0].sequence, MeshSequence)
    studio.export(tmp_path / "out.glb", (0,), None)
    driver.until(lambda: (tmp_path / "out.glb").exists(), PATIENCE)
    written = read_mesh(tmp_path / "out.glb")
    standing(written)
    assert np.ptp(written.vertices, axis=0).argmax() == 1, "it stands in the export too"


@pytest.mark.parametrize("case", SCANS, ids=lambda case: case.name)
def test_scans_open_as_they_are_laid_out(driver: Driver, case: ScanCase, tmp_path: Path) -> None:
    studio = driver.app.studio
    open_file(driver, case.write(tmp_path))
    scans = studio.state.document.scans
    assert studio.state.notice is None and scans is not None
    assert (scans.sequence.frames, scans.sequence.fps) == (studio.state.document.frames, studio.state.document.fps)
    for words in case.notes:
        assert words in studio.state.message


def test_several_notes_are_counted_and_kept_in_sight(
    driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line at the bottom goes with the next message; the panel keeps them."""
    drawn: list[str] = []
    monkeypatch.setattr(widgets, "shorten", lambda text, width: drawn.append(text) or text)
    for case in (SCANS[1], SCANS[2]):
        open_file(driver, case.write(tmp_path))
        driver.app.studio.show(commands.say, "Something else.")
        drawn.clear()
        driver.tick(1)
        scans = driver.app.studio.state.document.scans
        assert scans is not None
        notes, count = scans.sequence.notes, len(scans.sequence.notes)
        assert (f"{count} notes: {notes[0]}" if count > 1 else notes[0]) in drawn


def test_another_depth_unit_is_chosen_and_kept(driver: Driver, tmp_path: Path) -> None:
    studio = driver.app.studio
    open_file(driver, SCANS[0].write(tmp_path))
    assert studio.state.document.scans is not None and studio.state.document.alignment is not None
    before = studio.state.document.alignment.scale
    driver.app.context.set_depth_scale(5000.0)  # what the list of the field does
    driver.until(lambda: studio.state.document.scans.reading.depth_scale == 5000.0, PATIENCE)  # type: ignore[union-attr]
    assert studio.state.document.alignment.scale == pytest.approx(before / 5, rel=0.02)
    assert "5,000 units per metre" in studio.state.message
    driver.settle()
    save_project(studio.state, tmp_path / "depth.m2v")
    again = load_project(tmp_path / "depth.m2v")[0]
    assert again.scans is not None and again.alignment is not None and again.scans.reading.depth_scale == 5000.0
    assert again.alignment.scale == studio.state.document.alignment.scale
    driver.key(psim.ImGuiKey_Z, CTRL)
    assert studio.state.document.alignment.scale == before


@pytest.mark.parametrize("name", ["walk.fbx", "walk.blend"])
def test_another_programs_file_is_refused_with_the_way_through_blender(
    driver: Driver, name: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(b"Kaydara FBX Binary")
    open_file(driver, tmp_path / name)
    notice = driver.app.studio.state.notice
    assert notice is not None and "Blender" in notice.message and not notice.detail
    driver.click(button_at(driver, "Close"))


@pytest.mark.parametrize("suffix", ["usda", "usdz"])
def test_usd_opens(driver: Driver, suffix: str, tmp_path: Path) -> None:
    from core.io.export import export_sequence

    mesh = read_mesh(mesh_file(MESHES[1], tmp_path))
    export_sequence(MeshSequence(np.stack([mesh.vertices] * 2), mesh.faces), tmp_path / f"box.{suffix}", mesh)
    open_file(driver, tmp_path / f"box.{suffix}")
    source = driver.app.studio.state.document.source
    assert driver.app.studio.state.notice is None and source is not None and source.name == "box"
    MESHES[1].check(source)
