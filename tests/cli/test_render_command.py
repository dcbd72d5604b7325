"""`m2v render` reads what the other commands write, and says what it cannot use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.assets import asset_path
from core.cli import main
from core.cli.render_command import image_size, read_moving
from core.errors import ExportError
from core.io.export import export_sequence
from core.io.mesh.mesh_reader import read_mesh
from core.sequence import MeshSequence
from tests.drawing import skip_without_drawing

LAPTOP = asset_path("meshes", "laptop.glb")


@pytest.fixture(scope="module")
def moving(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A laptop that slides to the side, as .npz and .glb."""
    mesh = read_mesh(LAPTOP)
    track = np.stack([mesh.vertices + np.array([step, 0.0, 0.0]) for step in (0.0, 0.1, 0.2)])
    folder = tmp_path_factory.mktemp("moving")
    for name in ("slide.npz", "slide.glb"):
        export_sequence(MeshSequence(track, mesh.faces, 24.0), folder / name, mesh)
    return folder


@pytest.mark.parametrize("name", ["slide.npz", "slide.glb"])
def test_a_motion_lies_on_the_vertices_of_its_mesh(moving: Path, name: str) -> None:
    sequence, mesh = read_moving(moving / name, LAPTOP, 0)
    assert mesh is not None and sequence.fps == 24.0
    assert np.allclose(sequence.vertices[2] - sequence.vertices[0], [0.2, 0.0, 0.0], atol=1e-5)
    assert sequence.faces.shape == mesh.faces.shape and sequence.vertices.shape[1] == len(mesh.vertices)


def test_a_mesh_without_motion_stands_still() -> None:
    sequence, mesh = read_moving(LAPTOP, None, 0)
    assert mesh is not None and sequence.frames == 1


def test_what_cannot_be_filmed_is_said_in_a_sentence(
    moving: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ExportError, match="the mesh that it was made from"):
        read_moving(moving / "slide.npz", asset_path("meshes", "hound.glb"), 0)
    with pytest.raises(ExportError, match="1280x720"):
        image_size("large")
    assert image_size("640x360") == (640, 360)
    assert main(["render", str(moving / "slide.npz"), str(tmp_path / "film.avi")]) == 2
    assert main(["render", str(moving / "missing.npz"), str(tmp_path / "film.gif")]) == 2
    assert "does not exist" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_film_is_made_from_the_command_line(moving: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "film"
    code = main(["render", str(moving / "slide.glb"), str(out), "--size", "160x96", "--transparent"])
    said = capsys.readouterr().err
    if code:
        skip_without_drawing()
    assert code == 0, said
    assert [path.name for path in sorted(out.iterdir())] == [f"frame_000{number}.png" for number in range(3)]
