"""Mesh readers: order kept, ways back kept, and nothing but MeshError for any damaged file."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import MeshError
from core.io.mesh.mesh_reader import read_mesh
from core.io.mesh.seams import split_by_uv
from core.io.mesh.source_mesh import build_source_mesh, guess_up_axis
from core.sequence import SourceMesh, Texture
from tests.io.damage import damaged

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 20
QUAD_OBJ = """mtllib two words.mtl
o Board
v 0 0 0
v 1 0 0 0.5 0.5 0.5
v 1 1 0
v 0 1 0
v 9 9 9
v 0.5 0.5 1
vt 0 0
vt 1 0
vt 1 1
vt 0 1
vt 0.5 0.5
usemtl wood
f 1/1 2/2 3/3 4/4
usemtl paint
f -6/5/1 -5/2 \\
 -1/3
"""


def check(mesh: SourceMesh) -> None:
    """What every SourceMesh has to satisfy."""
    assert mesh.vertices.dtype == np.float32
    assert mesh.faces.dtype == mesh.file_to_vertex.dtype == np.int32
    assert np.isfinite(mesh.vertices).all()
    assert mesh.size > 0
    assert len(mesh.faces) > 0
    assert mesh.faces.min() >= 0
    assert mesh.faces.max() < len(mesh.vertices)
    assert np.array_equal(np.unique(mesh.file_to_vertex), np.arange(len(mesh.vertices)))
    for part in mesh.parts:
        assert len(part.faces) == 0 or 0 <= part.faces.min() <= part.faces.max() < len(mesh.file_to_vertex)
    assert mesh.uv is None or mesh.uv.shape == (len(mesh.file_to_vertex), 2)


@pytest.mark.parametrize("suffix", ["obj", "ply", "off", "stl"])
def test_the_file_s_own_vertices_come_back_in_order(tmp_path: Path, suffix: str) -> None:
    sphere = trimesh.creation.icosphere(2)
    path = tmp_path / f"ball.{suffix}"
    sphere.export(path)
    mesh = read_mesh(path)
    check(mesh)
    assert len(mesh.vertices) == len(sphere.vertices)
    assert len(mesh.faces) == len(sphere.faces)
    own = sphere.vertices[sphere.faces].reshape(-1, 3) if suffix == "stl" else sphere.vertices
    assert np.allclose(mesh.vertices[mesh.file_to_vertex], own, atol=1e-6)
    assert len(mesh.file_to_vertex) == len(own)


def test_obj_keeps_polygons_materials_pictures_seams_and_unused_vertices(tmp_path: Path) -> None:
    (tmp_path / "board.obj").write_text(QUAD_OBJ)
    (tmp_path / "two words.mtl").write_text(
        "newmtl wood\nKd 0.5 0.5 0.5\nmap_Kd wood.png\nd 0.5\nPm 1\nnewmtl paint\nKd 1 0 bad\n"
        "Kd 1 0 0\nmap_Kd none.png\n"
    )
    (tmp_path / "wood.png").write_bytes(PNG)
    mesh = read_mesh(tmp_path / "board.obj", up_axis="z")
    check(mesh)
    assert any("'Kd 1 0 bad'" in note for note in mesh.notes)
    assert mesh.up_axis == "z"
    assert len(mesh.file_to_vertex) == 6
    assert mesh.vertices[mesh.file_to_vertex[4]].tolist() == [9, 9, 9]
    wood, paint = mesh.parts
    assert (len(wood.faces), len(paint.faces)) == (2, 1)
    assert wood.material is not None
    assert wood.material.base_color_texture == Texture(PNG)
    assert wood.material.base_color == (1, 1, 1, 0.5)
    assert wood.material.metallic == 1
    assert paint.material is not None
    assert paint.material.base_color == (1, 0, 0, 1)
    assert paint.faces.tolist() == [[0, 1, 5]]
    assert any("none.png" in note for note in mesh.notes)
    # Vertex 0 has (0, 0) on the board and (0.5, 0.5) on the painted face: a seam.
    assert mesh.uv is not None
    assert mesh.uv[0].tolist() == [0, 0]
    assert wood.corner_uv is None
    assert paint.corner_uv is not None
    assert paint.corner_uv[0, 0].tolist() == [0.5, 0.5]
    uv, parts, origin = split_by_uv(mesh.uv, mesh.parts)
    assert uv[parts[1].faces[0, 0]].tolist() == [0.5, 0.5]
    assert parts[1].corner_uv is None
    assert origin.tolist() == [0, 1, 2, 3, 4, 5, 0]
    assert split_by_uv(uv, parts)[0] is uv


def test_a_missing_material_file_is_a_note(tmp_path: Path) -> None:
    (tmp_path / "board.obj").write_text(QUAD_OBJ)
    mesh = read_mesh(tmp_path / "board.obj")
    assert any(".mtl" in note for note in mesh.notes)
    assert mesh.parts[0].material is not None
    assert mesh.parts[0].material.name == "wood"


def test_concave_quads_are_cut_inside() -> None:
    from core.geometry.polygons import triangulate

    arrow = np.array([[0, 0, 0], [2, 0, 0], [0.5, 0.5, 0], [0, 2, 0.0]])
    cut = triangulate(arrow, range(4), [4])
    areas = [np.cross(arrow[b] - arrow[a], arrow[c] - arrow[a])[2] / 2 for a, b, c in cut]
    assert min(areas) > 0
    assert sum(areas) == pytest.approx(1.0)


@pytest.mark.parametrize("order", ["<", ">"])
def test_binary_ply_with_mixed_polygons_and_texture_coordinates(tmp_path: Path, order: str) -> None:
    name = "little" if order == "<" else "big"
    heading = (
        f"ply\nformat binary_{name}_endian 1.0\ncomment from a modeller\nelement vertex 5\nproperty float x\n"
        "property float y\nproperty float z\nproperty float s\nproperty float t\nelement face 2\n"
        "property uchar flag\nproperty list uchar int vertex_indices\nelement edge 1\nproperty int a\nend_header\n"
    ).encode()
    points = [(0, 0, 0, 0, 0), (1, 0, 0, 1, 0), (1, 1, 0, 1, 1), (0, 1, 0, 0, 1), (0.5, 0.5, 1, 0.5, 0.5)]
    body = b"".join(struct.pack(order + "5f", *point) for point in points)
    body += struct.pack(order + "BB4i", 7, 4, 0, 1, 2, 3) + struct.pack(order + "BB3i", 7, 3, 0, 1, 4)
    path = tmp_path / "mixed.ply"
    path.write_bytes(heading + body + struct.pack(order + "i", 3))
    mesh = read_mesh(path)
    check(mesh)
    assert len(mesh.faces) == 3
    assert mesh.uv is not None
    assert mesh.uv[2].tolist() == [1, 1]
    path.write_bytes(heading + body[:-3])
    with pytest.raises(MeshError, match="ends within its 2 of face"):
        read_mesh(path)


def test_text_ply_with_texture_coordinates_per_face(tmp_path: Path) -> None:
    path = tmp_path / "faces.ply"
    path.write_text(
        "ply\nformat ascii 1.0\nelement vertex 4\nproperty double x\nproperty double y\nproperty double z\n"
        "element face 2\nproperty list uchar int vertex_index\nproperty list uchar float texcoord\nend_header\n"
        "0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 1 2 6 0 0 1 0 0 1\n3 0 1 3 6 0.5 0 1 0 0 1\n"
    )
    mesh = read_mesh(path)
    check(mesh)
    corner_uv = mesh.parts[0].corner_uv
    assert corner_uv is not None
    assert corner_uv[1, 0].tolist() == [0.5, 0]
    assert mesh.uv is not None
    assert len(split_by_uv(mesh.uv, mesh.parts)[2]) == 5


def test_welding_joins_seams_keeps_numbering_and_drops_faces_without_area() -> None:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 0, 2e-7], [0, 1, 0], [1, 1, 0], [3, 3, 3]])
    faces = np.array([[0, 1, 2], [3, 5, 4], [1, 3, 5], [0, 0, 1]])
    mesh = build_source_mesh(vertices, faces)
    check(mesh)
    assert mesh.file_to_vertex.tolist() == [0, 1, 2, 1, 2, 3, 4]
    assert mesh.faces.tolist() == [[0, 1, 2], [1, 3, 2]]
    assert len(mesh.parts[0].faces) == 4
    assert "2 of 4 faces" in mesh.notes[0]


def test_thousands_of_vertices_at_one_place_are_welded() -> None:
    vertices = np.concatenate([np.eye(3), np.full((20_000, 3), 0.5)])
    assert len(build_source_mesh(vertices, [[0, 1, 2]]).vertices) == 4


def test_up_axis_is_only_suggested(tmp_path: Path) -> None:
    box = trimesh.creation.box((1, 1, 3))
    box.apply_translation([0, 0, 1.5])
    box.export(tmp_path / "tower.stl")
    mesh = read_mesh(tmp_path / "tower.stl")
    assert mesh.up_axis == "y"
    assert guess_up_axis(mesh) == "z"
    box.export(tmp_path / "tower.obj")
    assert guess_up_axis(read_mesh(tmp_path / "tower.obj")) == "y"


POINTS_PLY = b"""ply
format ascii 1.0
element vertex 1
property float x
property float y
property float z
end_header
1 2 3
"""
TRIANGLE = "v 0 0 0\nv 1 0 0\nv 0 1 0\n"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("gone.obj", None, "does not exist"),
        ("empty.ply", b"", "is empty"),
        ("song.mp3", b"ID3", "not a mesh file"),
        ("image.obj", PNG, "holds .png data"),
        ("model.obj", b"glTF\2\0\0\0", "holds .glb data"),
        ("binary.obj", b"v 0 0 0\0", "binary data"),
        ("points.obj", TRIANGLE.encode(), "point cloud"),
        ("points.ply", POINTS_PLY, "point cloud"),
        ("nothing.obj", b"# nothing\n", "no vertices"),
        ("nan.obj", b"v nan 0 0\n" + TRIANGLE.encode() + b"f 1 2 3\n", "vertex 0 is not a finite"),
        ("dot.obj", b"v 1 1 1\nv 1 1 1\nv 1 1 1\nf 1 2 3\n", "no size"),
        ("line.obj", b"v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n", "zero area"),
        ("huge.obj", b"v 1e300 0 0\n" + TRIANGLE.encode() + b"f 1 2 3\n", "too large"),
        ("cut.obj", TRIANGLE.encode() + b"f 1 2 4\n", "vertex 3"),
        ("cut2.obj", TRIANGLE.encode() + b"f 1 2 9999999999999999999999\n", "not valid OBJ"),
        ("cut3.obj", TRIANGLE.encode() + b"f 1 2 4 7\n", "does not exist"),
        ("word.obj", TRIANGLE.encode() + b"f a b c\n", "line 4"),
        ("short.stl", b"\0" * 40, "STL"),
        ("text.stl", b"solid x\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\n", "endsolid"),
        ("cut.off", b"OFF\n3 5 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n", "declares 5 faces"),
        ("heading.ply", b"ply\nformat ascii 1.0\nelement vertex 3\n", "header"),
        ("lie.ply", b"ply\nformat ascii 1.0\nelement vertex 99999999\nproperty float x\nend_header\n1\n", "cut short"),
    ],
)  # fmt: skip
def test_bad_files_get_one_sentence(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MeshError) as caught:
        read_mesh(path)
    message = str(caught.value)
    assert words in message
    assert name in message
    assert "\n" not in message


def test_a_folder_and_an_unknown_axis_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.obj").mkdir()
    with pytest.raises(MeshError, match="not a file"):
        read_mesh(tmp_path / "folder.obj")
    with pytest.raises(MeshError, match="up axis"):
        read_mesh(tmp_path / "folder.obj", up_axis="w")


def test_too_many_vertices_are_refused() -> None:
    points = np.random.default_rng(0).random((200_001, 3))
    with pytest.raises(MeshError, match="decimate"):
        build_source_mesh(points, [[0, 1, 2]], path="big.ply")


def _valid_files() -> list[tuple[str, bytes]]:
    ball = trimesh.creation.icosphere(1)
    files = [(kind, ball.export(file_type=kind)) for kind in ("obj", "ply", "off", "stl", "stl_ascii")]
    files.append(("ply", ball.export(file_type="ply", encoding="ascii")))
    return [(kind[:3], data.encode() if isinstance(data, str) else data) for kind, data in files]


VALID = _valid_files()


def _reads_or_says_why(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    try:
        mesh = read_mesh(path)
    except MeshError as error:
        assert path.name in str(error)
    else:
        check(mesh)


@settings(max_examples=80, deadline=None)
@given(damaged(VALID))
def test_cut_and_changed_files_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, file: tuple[str, list[bytes]]
) -> None:
    kind, versions = file
    for data in versions:
        _reads_or_says_why(tmp_path_factory.getbasetemp() / f"changed.{kind}", data)


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(["obj", "ply", "off", "stl"]),
    st.sampled_from([b"", b"ply\n", b"OFF\n", b"solid a\nfacet ", b"v 0 0 0\nf ", b"ply\nformat ascii 1.0\nelement "]),
    st.binary(max_size=300),
)
def test_random_bytes_are_refused(
    tmp_path_factory: pytest.TempPathFactory, kind: str, start: bytes, data: bytes
) -> None:
    _reads_or_says_why(tmp_path_factory.getbasetemp() / f"random.{kind}", start + data)
