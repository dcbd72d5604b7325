"""Nothing that a mesh file holds is dropped without a word: one short note a kind, in every format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh

from core.cli.arguments import print_mesh_notes
from core.io.mesh.mesh_reader import read_mesh
from tests.glb_writer import GlbWriter, box

PLY = """ply
format ascii 1.0
element vertex 3
property float x
property float y
property float z
property float nx
property float ny
property float nz
property float quality
element face 1
property list uchar int vertex_indices
property int flags
element edge 1
property int vertex1
property int vertex2
end_header
0 0 0 0 0 1 0.5
1 0 0 0 0 1 0.5
0 1 0 0 0 1 0.5
3 0 1 2 7
0 1
"""
USD = """#usda 1.0
def Mesh "m" {
    point3f[] points = [(0, 0, 0), (1, 0, 0), (0, 1, 0)]
    int[] faceVertexCounts = [3]
    int[] faceVertexIndices = [0, 1, 2]
    float[] primvars:heat = [1, 2, 3] (interpolation = "vertex")
    texCoord2f[] primvars:st = [(0, 0), (1, 0), (0, 1)] (interpolation = "vertex")
}
def Sphere "ball" {}
def SphereLight "lamp" {}
def Camera "camera" {}
"""


def written(kind: str, folder: Path) -> Path:
    path = folder / f"thing.{kind}"
    if kind == "glb":
        positions, faces = box((0, 0, 0), (1, 1, 1))
        writer = GlbWriter()
        values = {"POSITION": 3, "TEXCOORD_0": 2, "TEXCOORD_3": 2, "COLOR_0": 3, "COLOR_1": 3, "_HEAT": 1}
        attributes = {name: writer.accessor(np.abs(positions[:, :width])) for name, width in values.items()}
        surface = {"attributes": attributes, "indices": writer.accessor(np.ravel(faces), "u2")}
        line = {"attributes": {"POSITION": attributes["POSITION"]}, "mode": 1}
        writer.json |= {
            "meshes": [{"primitives": [surface, line, line]}],
            "nodes": [{"mesh": 0}, {"camera": 0}],
            "scenes": [{"nodes": [0, 1]}],
            "cameras": [{"type": "perspective", "perspective": {"yfov": 1.0, "znear": 0.1}}],
            "extensionsUsed": ["KHR_lights_punctual", "KHR_materials_variants"],
        }
        return writer.save(path)
    if kind == "stl":
        data = bytearray(trimesh.creation.box().export(file_type="stl"))
        data[84 + 49] |= 0x80  # the first facet has a colour of its own
        path.write_bytes(bytes(data))
        return path
    text = {
        "ply": PLY,
        "usda": USD,
        "off": "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2 0.5 0.2 0.1\n",
        "obj": "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\nl 1 2 3\np 2\n",
    }[kind]
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        ("glb", ["cameras, lights, variants of materials", "Points and lines", "COLOR_1, TEXCOORD_3, _HEAT"]),
        ("usda", ["Sphere", "the primvar heat, cameras and lights"]),
        ("ply", ["'edge', 'quality' of vertex, 'flags' of face"]),
        ("off", ["Colours of faces"]),
        ("stl", ["colours of its facets"]),
        ("obj", ["Lines, Points"]),
    ],
)
def test_what_is_left_out_is_named(
    kind: str, named: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(kind, tmp_path)
    mesh = read_mesh(path)
    assert len(mesh.notes) == len(named)
    for note, words in zip(mesh.notes, named, strict=True):
        assert words in note and len(note) <= 300
    print_mesh_notes(path, mesh)
    assert capsys.readouterr().err.splitlines()[: len(named)] == [f"{path.name}: {note}" for note in mesh.notes]


def test_many_names_are_counted(tmp_path: Path) -> None:
    extra = "".join(f"property float value_{number}_{'x' * 60}\n" for number in range(40))
    rows = "".join(f"{place} {' '.join(['0'] * 40)}\n" for place in ("0 0 0", "1 0 0", "0 1 0"))
    head = "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
    faces = "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
    (tmp_path / "many.ply").write_text(head + extra + faces + rows + "3 0 1 2\n")
    (note,) = read_mesh(tmp_path / "many.ply").notes
    assert "and 35 more" in note and len(note) <= 300
