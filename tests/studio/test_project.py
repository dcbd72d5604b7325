"""Project files and settings: everything comes back, and damaged files are one sentence."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.errors import DataError
from core.sequence import Material, Texture
from m2v_studio.document import commands
from m2v_studio.document.project import load_project, save_project
from m2v_studio.document.settings import Settings, load_settings, save_settings
from m2v_studio.document.state import Results, State, edit_key, is_stale

from .shapes import opened_state, sample_set


def edited_state() -> State:
    state = commands.set_key(commands.add_handle(opened_state(), 3), 0, 12, [0.25, 1.5, -0.125])
    state = commands.set_hold(commands.rename_handle(state, 0, "nose"), 0, True)
    state = commands.set_seeds(commands.add_handle(state, 90, pinned=True), 3)
    return replace(state, results=Results(sample_set(state, 3), edit_key(state.document), "normal"))


def test_a_project_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    state = edited_state()
    source = state.document.source
    assert source is not None
    material = Material("fur", base_color=(0.1, 0.2, 0.3, 1.0), base_color_texture=Texture(b"\x89PNG not really"))
    source = replace(source, parts=tuple(replace(part, material=material) for part in source.parts))
    state = replace(state, document=replace(state.document, source=source))
    save_project(state, tmp_path / "a.m2v")
    document, results = load_project(tmp_path / "a.m2v")
    assert document.source is not None and results is not None and state.results is not None
    np.testing.assert_array_equal(document.source.vertices, source.vertices)
    np.testing.assert_array_equal(document.source.faces, source.faces)
    assert document.source.parts[0].material == replace(material) or (
        document.source.parts[0].material is not None
        and document.source.parts[0].material.base_color_texture == material.base_color_texture
        and document.source.parts[0].material.base_color == material.base_color
    )
    assert [(h.vertex, h.name, h.pinned, h.hold) for h in document.handles] == [
        (h.vertex, h.name, h.pinned, h.hold) for h in state.document.handles
    ]
    np.testing.assert_array_equal(document.handles[0].keys[12], [0.25, 1.5, -0.125])
    assert document.seeds == 3
    for before, after in zip(state.results.samples.samples, results.samples.samples, strict=True):
        np.testing.assert_array_equal(before.sequence.vertices, after.sequence.vertices)
        assert (before.seed, before.difference) == (after.seed, after.difference)
    assert list(tmp_path.iterdir()) == [tmp_path / "a.m2v"]


def test_results_are_stored_as_they_are_and_the_rest_is_packed(tmp_path: Path) -> None:
    """Packing floats takes a hundred times as long as writing them: a project of gigabytes would not be saved."""
    save_project(edited_state(), tmp_path / "a.m2v")
    with zipfile.ZipFile(tmp_path / "a.m2v") as archive:
        kinds = {info.filename: info.compress_type for info in archive.infolist()}
    assert kinds["results.npz"] == zipfile.ZIP_STORED
    assert kinds["source.npz"] == kinds["project.json"] == zipfile.ZIP_DEFLATED


def test_results_of_an_older_edit_are_still_stale_after_loading(tmp_path: Path) -> None:
    fresh = edited_state()
    stale = commands.set_key(fresh, 0, 5, [0, 0, 0])
    for state, expected in ((stale, True), (replace(stale, document=fresh.document), False)):
        save_project(state, tmp_path / "a.m2v")
        document, results = load_project(tmp_path / "a.m2v")
        assert is_stale(commands.opened_project(document, results, "a.m2v")) is expected


@pytest.mark.parametrize("cut", [0, 1, 30, 700, -40])
def test_a_cut_file_is_one_sentence(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.m2v"
    save_project(edited_state(), path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError, match="damaged or not an m2v project"):
        load_project(path)


def rewritten(path: Path, change: dict) -> None:
    """The same zip with entries of its description replaced."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    description = {**json.loads(parts["project.json"]), **change}
    parts["project.json"] = json.dumps(description).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


HANDLE = {"vertex": 3, "name": "x", "pinned": False, "hold": False, "keys": {}}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 99}, "version 99"),
        ({"format": "other"}, "not an m2v project"),
        ({"quality": "super"}, "damaged"),
        ({"frames": 1}, "damaged"),
        ({"frames": "many"}, "damaged"),
        ({"handles": [{**HANDLE, "vertex": 10**6}]}, "damaged"),
        ({"handles": [{**HANDLE, "keys": {"5": [0, 0]}}]}, "damaged"),
        ({"handles": [{**HANDLE, "keys": {"400": [0, 0, 0]}}]}, "damaged"),
        ({"source": {}}, "damaged"),
    ],
)
def test_wrong_values_are_one_sentence(tmp_path: Path, change: dict, words: str) -> None:
    path = tmp_path / "a.m2v"
    save_project(edited_state(), path)
    rewritten(path, change)
    with pytest.raises(DataError, match=words):
        load_project(path)


def test_missing_files_and_places_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        load_project(tmp_path / "none.m2v")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        save_project(edited_state(), tmp_path / "file" / "a.m2v")


def test_settings_come_back_and_damage_means_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("M2V_CONFIG_DIR", str(tmp_path))
    chosen = Settings(width=1600, height=950, text_scale=2.0).with_recent(tmp_path / "a.glb")
    save_settings(chosen)
    assert load_settings() == chosen
    for content in ("{", "[]", '{"width": "wide"}', '{"recent": 3}'):
        (tmp_path / "settings.json").write_text(content)
        assert load_settings() == Settings()
    (tmp_path / "settings.json").write_text('{"width": 3, "text_scale": 99}')
    assert load_settings().width == 960 and load_settings().text_scale == 3.0


def test_what_would_be_too_large_to_open_again_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = edited_state()
    save_project(state, tmp_path / "a.m2v")
    before = (tmp_path / "a.m2v").read_bytes()
    monkeypatch.setattr("m2v_studio.document.project.MAX_JSON_BYTES", 1 << 20)
    monkeypatch.setattr("m2v_studio.document.project.MAX_BYTES", (1 << 20) + 1000)
    with pytest.raises(DataError, match="export the results"):
        save_project(state, tmp_path / "a.m2v")
    assert (tmp_path / "a.m2v").read_bytes() == before and len(list(tmp_path.iterdir())) == 1
