"""Files as people have them, through the commands as a person types them."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.cli import command_line as cli
from core.io.export_notes import export_notes
from core.io.mesh.mesh_reader import read_mesh
from tests.cases import MESHES, SCANS, MeshCase, ScanCase, mesh_file
from tests.cli.conftest import FakeReconstructor


def said(capsys: pytest.CaptureFixture[str], name: str) -> list[str]:
    """Lines on the error stream about this file."""
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith(f"{name}: ")]


def assert_notes(lines: list[str], notes: tuple[str, ...]) -> None:
    assert len(lines) == len(notes), lines
    for line, words in zip(lines, notes, strict=True):
        assert words in line and len(line) < 300


@pytest.mark.parametrize("case", MESHES, ids=lambda case: case.name)
def test_a_mesh_comes_out_as_it_came_in(
    case: MeshCase, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, handles = mesh_file(case, tmp_path), tmp_path / "handles.yaml"
    mesh = read_mesh(path)
    place = (mesh.vertices[0] + 0.02 * mesh.size + mesh.origin).tolist()
    handles.write_text(f"frames: 3\nhandles: [{{vertex: 0, keys: {{2: {place}}}}}, {{vertex: 7, pinned: true}}]\n")
    arguments = ["animate", str(path), "--handles", str(handles), "--preset", str(weights), "--device", "cpu"]
    arguments += ["--quality", "draft"]
    assert cli.main([*arguments, "--out", str(tmp_path / "out.glb")]) == 0
    assert_notes(said(capsys, case.name), case.notes)
    written = read_mesh(tmp_path / "out.glb")
    case.check(written)
    assert not export_notes(mesh, ".glb")
    # From the sequence file with the mesh beside it, which is how a result is exported later.
    assert cli.main([*arguments, "--out", str(tmp_path / "out.npz")]) == 0
    capsys.readouterr()
    again = [str(tmp_path / "out.npz"), str(tmp_path / "again.glb"), "--source", str(path)]
    assert cli.main(["export", *again]) == 0
    case.check(read_mesh(tmp_path / "again.glb"))
    if case.up is not None:
        assert cli.main([*arguments, "--up", case.up, "--out", str(tmp_path / "up.glb")]) == 0
        assert not any(f"{case.up} up" in line for line in said(capsys, case.name))
        low, high = read_mesh(tmp_path / "up.glb").vertices.min(0), read_mesh(tmp_path / "up.glb").vertices.max(0)
        assert (high - low).argmax() == 1, "it stands"


@pytest.mark.parametrize("suffix", ["usdc", "obj", "ply", "npz", "pc2"])
def test_what_a_format_leaves_out_is_one_line(
    suffix: str, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, handles, out = mesh_file(MESHES[2], tmp_path), tmp_path / "handles.yaml", tmp_path / f"out.{suffix}"
    handles.write_text("frames: 2\nhandles: [{vertex: 0, pinned: true}]\n")
    arguments = ["animate", str(path), "--handles", str(handles), "--preset", str(weights), "--device", "cpu"]
    assert cli.main([*arguments, "--quality", "draft", "--out", str(out)]) == 0
    lines = said(capsys, out.name)
    assert len(lines) == (0 if suffix == "usdc" else 1)
    assert all("cannot hold" in line and "a .glb keeps everything" in line for line in lines)


@pytest.mark.parametrize("case", SCANS, ids=lambda case: case.name)
def test_scans_are_read_as_they_are_laid_out(
    case: ScanCase, fake: FakeReconstructor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = case.write(tmp_path)
    out = str(tmp_path / "out.glb")
    assert cli.main(["reconstruct", str(folder), "--out", out, "--seeds", "1", "--no-cleaning"]) == 0
    assert_notes(said(capsys, case.name), case.notes)
    case.check(fake.asked[0])
    assert len(read_mesh(tmp_path / "out.glb").faces) == 4


@pytest.mark.parametrize("name", ["walk.fbx", "walk.dae", "walk.abc", "walk.blend", "walk.3mf"])
@pytest.mark.parametrize("command", ["animate", "render", "rig", "export", "bank"])
def test_other_programs_files_are_one_sentence(
    name: str, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    path.write_bytes(b"Kaydara FBX Binary")
    given = {
        "animate": ["animate", str(path), "--handles", "none.yaml", "--out", str(tmp_path / "out.glb")],
        "render": ["render", str(path), str(tmp_path / "out.gif")],
        "rig": ["rig", str(path), str(tmp_path / "out.glb")],
        "export": ["export", str(path), str(tmp_path / "out.glb")],
        "bank": ["bank", "add", str(path)],
    }[command]
    assert cli.main(given) == 2
    error = capsys.readouterr().err.strip()
    assert "Blender" in error and name in error
    assert len(error.splitlines()) == (2 if command == "bank" else 1), "which says besides that nothing was added"
    assert sorted(tmp_path.iterdir()) == [path]
