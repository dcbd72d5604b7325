"""Animations that a file holds, on the command line: as keys in a handle file, or followed at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.cli import command_line as cli
from core.geometry.key_fitting import at_first_pose
from core.io.gltf.clip_reader import read_clip
from core.io.handle_file import read_handle_file
from core.io.mesh.mesh_reader import read_mesh
from core.io.mesh.source_mesh import first_file_vertices
from core.io.sequence_file import read_sequence
from tests.glb_writer import arm, breathing_box


@pytest.fixture
def moving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return arm(3, duration=1.0).save(tmp_path / "arm.glb")


def animate(weights: Path, source: Path, *more: str) -> int:
    common = ["--preset", str(weights), "--device", "cpu", "--quality", "draft"]
    return cli.main(["animate", str(source), *common, "--out", "out.npz", *more])


def test_keys_of_a_clip_follow_it(moving: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["keys", str(moving), "--clip", "bend2", "--out", "keys.yaml"]) == 0
    said = capsys.readouterr()
    assert said.out.strip() == "keys.yaml" and "follow 'bend2' for 25 frames" in said.err
    motion = read_clip(moving, "bend2")
    mesh = at_first_pose(read_mesh(moving), motion)
    tracks = read_handle_file("keys.yaml", mesh)
    assert tracks.frames == 25 and 0 < sum(len(handle.keys) for handle in tracks.handles) < 25 * len(tracks.handles)
    targets, given = tracks.constraints(mesh.vertices)
    assert given.all()
    for row, handle in enumerate(tracks.handles):
        assert np.linalg.norm(targets[row] - motion.vertices[:, handle.vertex], axis=1).max() <= 0.02 * mesh.size
    # What is written is what `animate --clip` follows by itself.
    assert animate(weights, moving, "--clip", "bend2", "--handles", "keys.yaml") == 0
    given_file = read_sequence("out.npz").vertices
    assert animate(weights, moving, "--clip", "bend2") == 0
    np.testing.assert_allclose(read_sequence("out.npz").vertices, given_file, atol=1e-5)
    rows = first_file_vertices(mesh.file_to_vertex)[[handle.vertex for handle in tracks.handles]]
    np.testing.assert_allclose(given_file[:, rows], targets.transpose(1, 0, 2), atol=1e-4)


def test_a_clip_that_begins_in_another_pose_begins_there(
    moving: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = arm(1, duration=1.0)
    sampler = writer.json["animations"][0]["samplers"][0]
    bent = [0, 0, np.sin(np.pi / 8), np.cos(np.pi / 8)]
    sampler["output"] = writer.accessor([bent, [0, 0, 0, 1], bent])
    path = writer.save(tmp_path / "bent.glb")
    assert animate(weights, path, "--clip", "0", "--frames", "9") == 0
    assert "of which it has 25" in capsys.readouterr().err
    result, motion = read_sequence("out.npz").vertices, read_clip(path, 0)
    assert len(result) == 9
    mesh = read_mesh(path)
    np.testing.assert_allclose(result[0], motion.vertices[0][mesh.file_to_vertex], atol=1e-6)
    assert np.abs(result[0] - mesh.vertices[mesh.file_to_vertex]).max() > 0.1


def test_animations_that_are_not_used_are_named(
    moving: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("pinned.yaml").write_text("frames: 3\nhandles: [{vertex: 0, pinned: true}]\n")
    assert animate(weights, moving, "--handles", "pinned.yaml") == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("arm.glb: ")]
    assert len(lines) == 1 and "3 animations (bend0, bend1, bend2)" in lines[0] and "--clip" in lines[0]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "3 animations (bend0, bend1, bend2); choose one with --clip"),
        (["--clip", "walk"], "no clip 'walk'; its clips are: bend0, bend1, bend2"),
        (["--clip", "7"], "no clip 7"),
        (["--clip", "bend0", "--frames", "1"], "would give 1 frames"),
        (["--clip", "bend0", "--out", "keys.txt"], "must end in .yaml"),
    ],
)
def test_what_cannot_be_followed_is_one_sentence(
    moving: Path, arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["keys", str(moving), "--out", "keys.yaml", *arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert sentence in error and len(error.splitlines()) == 1
    assert not list(Path().glob("keys*"))


def test_a_mesh_without_animation_and_a_request_without_handles_are_refused(
    moving: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("still.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 2 3 4\nf 1 4 3\n")
    assert cli.main(["keys", "still.obj", "--out", "keys.yaml"]) == 2
    assert "still.obj has no animation" in capsys.readouterr().err
    assert animate(weights, moving) == 2
    assert "--handles H.yaml, or --clip NAME" in capsys.readouterr().err


def test_the_end_of_a_name_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    writer = breathing_box()
    writer.json["animations"][0]["name"] = "Armature|Breathe"
    path = writer.save(tmp_path / "box.glb")
    assert cli.main(["keys", str(path), "--clip", "breathe", "--out", "a.yaml"]) == 0
    assert cli.main(["keys", str(path), "--out", "b.yaml"]) == 0, "the only one needs no name"
    assert Path("a.yaml").read_text() == Path("b.yaml").read_text()
