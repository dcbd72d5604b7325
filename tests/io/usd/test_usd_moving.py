"""A USD file that moves is read as the mesh of its first moment, and says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.io.export import export_sequence
from core.io.export_clip import ExportOptions
from core.io.usd.usd_mesh import read_usd_mesh
from core.sequence import MeshSequence
from tests.pipelines.conftest import tube

STILL = """#usda 1.0
def Mesh "tet" {
    int[] faceVertexCounts = [3, 3, 3, 3]
    int[] faceVertexIndices = [0, 2, 1, 0, 1, 3, 1, 2, 3, 0, 3, 2]
    point3f[] points = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
}
"""


@pytest.mark.parametrize("suffix", [".usda", ".usdc", ".usdz"])
def test_a_moving_file_gives_its_first_moment(tmp_path: Path, suffix: str) -> None:
    vertices, faces = tube(rings=8, around=6)
    moving = MeshSequence(np.stack([vertices, vertices + 0.1, vertices + 0.2]).astype(np.float32), faces)
    options = ExportOptions(blender_script=False)
    mesh = read_usd_mesh(export_sequence(moving, tmp_path / f"out{suffix}", options=options)[0])
    np.testing.assert_allclose(mesh.vertices[mesh.file_to_vertex], vertices, atol=1e-6)
    assert len(mesh.notes) == 1 and "3 time samples" in mesh.notes[0]


def test_a_still_file_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "tet.usda").write_text(STILL)
    assert read_usd_mesh(tmp_path / "tet.usda").notes == ()
