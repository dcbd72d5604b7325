"""Scans on disk: folders with and without the real surface, and projects that name them."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from core.errors import DataError
from core.io.export import export_sequence
from core.io.export_clip import ExportOptions
from core.pipelines.request import ReconstructionSet
from m2v_studio.document import commands, job_commands, scan_commands
from m2v_studio.document.project import load_project, save_project
from m2v_studio.document.scan_files import is_scans, read_scan_document
from m2v_studio.document.state import State, is_stale, reconstruction

from .fake_animator import FakeAnimator
from .shapes import scans


def write_scans(folder: Path, truth: bool = False, frames: int = 4) -> Path:
    """A folder of point clouds as text, with or without the real surface."""
    folder.mkdir()
    opened = scans(frames, truth=True)
    for frame, points in enumerate(opened.sequence.points):
        np.savetxt(folder / f"frame{frame}.xyz", points, fmt="%.4f")
    if truth:
        assert opened.truth is not None
        export_sequence(opened.truth, folder / "truth.npz", options=ExportOptions(blender_script=False))
    return folder


def test_a_folder_is_read_with_its_truth(tmp_path: Path) -> None:
    folder = write_scans(tmp_path / "läufer scans", truth=True)
    assert is_scans(folder) and is_scans(tmp_path / "a.npz") and not is_scans(tmp_path / "a.glb")
    opened = read_scan_document(folder)
    assert opened.sequence.frames == 4 and opened.truth is not None and not opened.sequence.notes
    assert opened.path == str(folder)
    real = opened.truth.vertices[0]
    assert (opened.guess.center > real.min(0)).all() and (opened.guess.center < real.max(0)).all()


def test_a_truth_that_does_not_fit_is_named_and_left_out(tmp_path: Path) -> None:
    folder = write_scans(tmp_path / "scans", truth=True)
    (folder / "frame3.xyz").unlink()
    opened = read_scan_document(folder)
    assert opened.truth is None and opened.sequence.frames == 3
    assert any("truth.npz has 4 frames" in note for note in opened.sequence.notes)


def test_an_empty_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="empty"):
        read_scan_document(tmp_path / "none")


def test_a_project_keeps_the_path_the_alignment_and_the_meshes(tmp_path: Path) -> None:
    folder = write_scans(tmp_path / "scans")
    opened = read_scan_document(folder)
    state = commands.set_seeds(scan_commands.open_scans(State(), opened), 2)
    state = scan_commands.set_alignment(state, center=[1.0, 2.0, 3.0], scale=40.0, up_axis="z")
    state = scan_commands.set_one_shape(scan_commands.set_resolution(state, 64), True)
    made = FakeAnimator(steps=1).reconstruct(opened.sequence, reconstruction(state.document))
    state = job_commands.job_finished(job_commands.job_started(state, 1, "best", 2), 1, made)
    save_project(state, tmp_path / "a.m2v")
    document, results = load_project(tmp_path / "a.m2v")
    place = document.alignment
    assert place is not None and document.scans is not None and results is not None
    assert (place.center.tolist(), place.scale, place.up_axis) == ([1.0, 2.0, 3.0], 40.0, "z")
    assert (document.seeds, document.resolution, document.one_shape, document.frames) == (2, 64, True, 4)
    loaded = commands.opened_project(document, results, "a.m2v")
    assert not is_stale(loaded) and results.quality == "best"
    assert isinstance(results.samples, ReconstructionSet)
    for before, after in zip(made.samples, results.samples.samples, strict=True):
        np.testing.assert_array_equal(before.sequence.vertices, after.sequence.vertices)
        np.testing.assert_array_equal(before.sequence.faces, after.sequence.faces)
        np.testing.assert_array_equal(before.disagreement, after.disagreement)
        assert before.seed == after.seed and after.body == before.body == "Horse"
    save_project(scan_commands.set_one_shape(loaded, False), tmp_path / "b.m2v")
    stale, old = load_project(tmp_path / "b.m2v")
    assert is_stale(commands.opened_project(stale, old, "b.m2v"))


def test_scans_that_moved_are_found_beside_the_project_or_asked_for(tmp_path: Path) -> None:
    folder = write_scans(tmp_path / "scans")
    save_project(scan_commands.open_scans(State(), read_scan_document(folder)), tmp_path / "a.m2v")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    folder.rename(elsewhere / "scans")
    with pytest.raises(DataError, match="are missing; restore them"):
        load_project(tmp_path / "a.m2v")
    (tmp_path / "a.m2v").rename(elsewhere / "a.m2v")
    document, results = load_project(elsewhere / "a.m2v")
    assert results is None and document.scans is not None and document.scans.path == str(elsewhere / "scans")


@pytest.mark.parametrize("change", [{"resolution": 7}, {"scans": {"path": 3}}, {"quality": "x"}, {"seeds": "x"}])
def test_a_damaged_project_of_scans_is_one_sentence(tmp_path: Path, change: dict) -> None:
    folder = write_scans(tmp_path / "scans")
    path = tmp_path / "a.m2v"
    save_project(scan_commands.open_scans(State(), read_scan_document(folder)), path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["project.json"] = json.dumps({**json.loads(parts["project.json"]), **change}).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    with pytest.raises(DataError):
        load_project(path)
