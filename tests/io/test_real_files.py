"""Files as people have them: what comes in stays what it was, in what is read and in every export."""

from __future__ import annotations

import json
import struct
import time
from pathlib import Path

import numpy as np
import pytest
import trimesh

from core.errors import MeshError
from core.io.export import export_sequence
from core.io.export_clip import ExportOptions
from core.io.export_notes import export_notes
from core.io.handle_file import read_handle_file
from core.io.mesh.mesh_formats import THROUGH_BLENDER
from core.io.mesh.mesh_reader import read_mesh
from core.io.mesh.source_mesh import guess_units, guess_up_axis
from core.io.sequence_file import read_sequence
from core.io.usd.usd_mesh import read_usd_mesh
from core.sequence import MeshSequence, SourceMesh
from tests.cases import volume
from tests.glb_writer import GlbWriter, box

FILES = Path(__file__).parent / "files"
SURFACES = (".glb", ".usdc", ".usda", ".usdz")


def still(mesh: SourceMesh) -> MeshSequence:
    return MeshSequence(np.stack([mesh.vertices, mesh.vertices]), mesh.faces)


def exported(mesh: SourceMesh, folder: Path, suffix: str) -> SourceMesh:
    """The mesh after an export of two equal frames and reading it back."""
    path = export_sequence(still(mesh), folder / f"out{suffix}", mesh, options=ExportOptions(blender_script=False))[0]
    if suffix.startswith(".usd"):
        return read_usd_mesh(path)  # `read_mesh` starts a process for each
    return read_mesh(path / f"frame_0000{suffix}" if suffix in (".obj", ".ply") else path)


def document(path: Path) -> dict:
    data = path.read_bytes()
    return json.loads(data[20 : 20 + struct.unpack_from("<I", data, 12)[0]])


@pytest.mark.parametrize("suffix", [*SURFACES, ".obj", ".ply"])
def test_a_mirrored_node_is_not_inside_out(tmp_path: Path, suffix: str) -> None:
    mesh = read_mesh(FILES / "mirrored_pair.glb")
    for read in (mesh, exported(mesh, tmp_path, suffix)):
        assert [round(volume(read, left), 3) for left in (True, False)] == [0.506, 0.506]


@pytest.mark.parametrize("suffix", ["", *SURFACES, ".obj", ".ply"])
def test_a_texture_transform_is_baked(tmp_path: Path, suffix: str) -> None:
    mesh = read_mesh(FILES / "atlas_cube.glb")
    mesh = exported(mesh, tmp_path, suffix) if suffix else mesh
    assert mesh.uv is not None
    np.testing.assert_allclose([mesh.uv.min(0), mesh.uv.max(0)], [[0.5, 0.25], [0.75, 0.75]], atol=1e-6)
    assert mesh.parts[0].material is not None and mesh.parts[0].material.base_color_texture is not None


def test_all_channels_wrap_and_cutoff_come_back_from_glb(tmp_path: Path) -> None:
    mesh = read_mesh(FILES / "lamp.glb")
    material = mesh.parts[0].material
    assert material is not None and material.emissive == (1, 1, 1) and material.alpha_cutoff == 0.1
    textures = [material.base_color_texture, material.metallic_roughness_texture, material.normal_texture]
    for texture in (*textures, material.emissive_texture):
        assert texture is not None and texture.wrap == ("clamp", "mirror") and texture.data.startswith(b"\x89PNG")
    assert len({texture.data for texture in textures if texture}) == 3
    back = exported(mesh, tmp_path, ".glb").parts[0].material
    assert back is not None and back.name == "painted_lamp"
    for name in ("base_color_texture", "metallic_roughness_texture", "normal_texture", "emissive_texture"):
        assert getattr(back, name) == getattr(material, name)
    assert (back.alpha_mode, back.alpha_cutoff, back.emissive, back.metallic) == ("MASK", 0.1, (1, 1, 1), 1.0)
    assert export_notes(mesh, ".glb") == ()


@pytest.mark.parametrize("suffix", SURFACES[1:])
def test_usd_holds_the_channels_that_it_knows(tmp_path: Path, suffix: str) -> None:
    mesh = read_mesh(FILES / "lamp.glb")
    material, back = mesh.parts[0].material, exported(mesh, tmp_path, suffix).parts[0].material
    assert material is not None and back is not None
    for name in ("base_color_texture", "metallic_roughness_texture", "normal_texture", "emissive_texture"):
        assert getattr(back, name) == getattr(material, name)
    assert (back.alpha_mode, round(back.alpha_cutoff, 6)) == ("MASK", 0.1)
    assert (back.emissive, back.metallic, back.roughness) == ((1, 1, 1), 1.0, 1.0)
    assert export_notes(mesh, suffix) == ()


def test_what_obj_cannot_hold_is_named_and_its_factor_neutral(tmp_path: Path) -> None:
    mesh = read_mesh(FILES / "lamp.glb")
    (note,) = export_notes(mesh, ".obj")
    assert "metal and roughness images" in note and "alpha cutoffs" in note and "emissive" not in note
    back = exported(mesh, tmp_path, ".obj").parts[0].material
    assert back is not None and back.metallic == 0 and back.emissive == (1, 1, 1)
    assert back.emissive_texture is not None and back.normal_texture is not None
    assert "emissive images" in export_notes(mesh, ".ply")[0]


def looked(change) -> GlbWriter:  # type: ignore[no-untyped-def]
    """A textured box whose material is changed."""
    writer = GlbWriter()
    positions, faces = box((0, 0, 0), (1, 1, 1))
    attributes = {"POSITION": positions, "TEXCOORD_0": positions[:, :2], "TEXCOORD_1": positions[:, 1:]}
    material = {"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}
    writer.textured(attributes, faces, (FILES / "check er.png").read_bytes(), material)
    change(writer.json)
    return writer


def test_unlit_specular_glossiness_and_other_extensions_stay_in_glb(tmp_path: Path) -> None:
    extensions = {
        "KHR_materials_unlit": {},
        "KHR_materials_pbrSpecularGlossiness": {
            "diffuseFactor": [0.5, 0.25, 1, 1], "glossinessFactor": 0.25, "diffuseTexture": {"index": 0},
            "specularGlossinessTexture": {"index": 0, "texCoord": 1},
        },
        "KHR_materials_emissive_strength": {"emissiveStrength": 4.0},
    }  # fmt: skip

    def change(gltf: dict) -> None:
        gltf["materials"] = [{"extensions": extensions}]

    mesh = read_mesh(looked(change).save(tmp_path / "glossy.glb"))
    material = mesh.parts[0].material
    assert material is not None and material.unlit and material.roughness == 0.75 and material.metallic == 0
    assert material.base_color == (0.5, 0.25, 1, 1) and material.base_color_texture is not None
    exported(mesh, tmp_path, ".glb")
    written = document(tmp_path / "out.glb")["materials"][0]["extensions"]
    assert written["KHR_materials_unlit"] == {} and written["KHR_materials_emissive_strength"]["emissiveStrength"] == 4
    glossy = written["KHR_materials_pbrSpecularGlossiness"]
    assert glossy["glossinessFactor"] == 0.25 and glossy["specularGlossinessTexture"]["texCoord"] == 1
    assert "specular-glossiness" in export_notes(mesh, ".usdc")[0] and "unlit" in export_notes(mesh, ".usdc")[0]


def test_pictures_that_lie_differently_get_their_own_coordinates(tmp_path: Path) -> None:
    def change(gltf: dict) -> None:
        moved = {"KHR_texture_transform": {"offset": [0.1, 0.2], "rotation": np.pi / 2, "scale": [2, 3], "texCoord": 1}}
        gltf["materials"][0]["occlusionTexture"] = {"index": 0, "extensions": moved}
        gltf["materials"][0]["emissiveTexture"] = {"index": 0, "texCoord": 1}  # a third way
        gltf["materials"][0]["emissiveFactor"] = [1, 1, 1]

    mesh = read_mesh(looked(change).save(tmp_path / "layers.glb"))
    material = mesh.parts[0].material
    assert material is not None and material.occlusion_texture is not None and material.occlusion_texture.uv_set == 1
    assert material.emissive_texture is None and material.emissive == (0, 0, 0)
    assert "emissive" in mesh.notes[0] and len(mesh.notes) == 1
    positions = box((0, 0, 0), (1, 1, 1))[0]
    u, v = 2 * positions[:, 1], 3 * positions[:, 2]  # a quarter turn: (u, v) becomes (v, -u) where v points down
    assert mesh.uv1 is not None
    np.testing.assert_allclose(mesh.uv1, np.stack([v + 0.1, 1 - (0.2 - u)], -1), atol=1e-6)
    back = exported(mesh, tmp_path, ".glb")
    np.testing.assert_allclose(back.uv1, mesh.uv1, atol=1e-6)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["glb", "obj", "ply"])
@pytest.mark.parametrize("suffix", ["", ".glb", ".usdc", ".ply", ".obj"])
def test_vertex_colours_stay(tmp_path: Path, kind: str, suffix: str) -> None:
    mesh = read_mesh(FILES / f"coloured.{kind}")
    mesh = exported(mesh, tmp_path, suffix) if suffix else mesh
    assert mesh.colors is not None
    bytes_of = np.round(mesh.colors[:, :3] * 255).astype(int)
    assert bytes_of.tolist() == [[32 * row, 32 * row + 8, 32 * row + 16] for row in range(8)]


def test_instances_are_geometry(tmp_path: Path) -> None:
    mesh = read_mesh(FILES / "three_cubes.glb")
    assert (len(mesh.vertices), len(mesh.faces)) == (24, 36)
    assert (mesh.vertices[:, 0].min(), mesh.vertices[:, 0].max()) == (-0.5, 4.5)
    assert len(exported(mesh, tmp_path, ".glb").faces) == 36


def test_an_unknown_required_extension_is_named(tmp_path: Path) -> None:
    writer = looked(lambda gltf: gltf.update(extensionsRequired=["VENDOR_bent_space"]))
    with pytest.raises(MeshError, match="VENDOR_bent_space"):
        read_mesh(writer.save(tmp_path / "vendor.glb"))
    used = looked(lambda gltf: gltf.update(extensionsUsed=["VENDOR_bent_space"]))
    assert "VENDOR_bent_space" in read_mesh(used.save(tmp_path / "used.glb")).notes[0]


@pytest.mark.parametrize("suffix", [".glb", ".usdc", ".obj", ".ply", ".npz"])
def test_a_shape_far_from_zero_keeps_its_form_and_place(tmp_path: Path, suffix: str) -> None:
    own = np.array(
        [line.split()[1:4] for line in (FILES / "utm_ball.obj").read_text().splitlines() if line[:2] == "v "], float
    )
    mesh = read_mesh(FILES / "utm_ball.obj")
    assert "far from 0" in mesh.notes[0]
    tolerance = 1e-6 * mesh.size
    np.testing.assert_allclose(mesh.vertices[mesh.file_to_vertex] + np.array(mesh.origin), own, atol=tolerance)
    if suffix == ".npz":
        path = export_sequence(still(mesh), tmp_path / "out.npz", mesh)[0]
        sequence = read_sequence(path)
        np.testing.assert_allclose(sequence.vertices[0] + np.array(sequence.origin), own, atol=tolerance)
        return
    back = exported(mesh, tmp_path, suffix)
    np.testing.assert_allclose(back.vertices[back.file_to_vertex] + np.array(back.origin), own, atol=tolerance)
    if suffix == ".glb":
        assert document(tmp_path / "out.glb")["nodes"][0]["translation"] == list(mesh.origin)


def test_handles_are_where_the_file_has_its_vertices(tmp_path: Path) -> None:
    mesh = read_mesh(FILES / "utm_ball.obj")
    path = tmp_path / "h.yaml"
    path.write_text(
        "handles:\n- position: [512342.6213, 5412349.7533, 301.1250]\n  keys: {4: [512343.0, 5412349.5, 302.0]}\n"
    )
    (handle,) = read_handle_file(path, mesh).handles
    assert handle.vertex == 0
    np.testing.assert_allclose(handle.keys[4], np.array([512343.0, 5412349.5, 302.0]) - mesh.origin)


@pytest.mark.parametrize("name", ["cube_wrapped.off", "extra_values.ply", "utf16_box.obj", "texture_comment.ply"])
def test_loose_formats_give_the_whole_cube(name: str) -> None:
    mesh = read_mesh(FILES / name)
    assert (len(mesh.vertices), len(mesh.faces)) == (8, 12)
    assert len(mesh.notes) == (1 if name == "extra_values.ply" else 0)


@pytest.mark.parametrize("suffix", [".glb", ".usdc", ".obj", ".ply"])
def test_the_picture_of_a_texture_comment_stays(tmp_path: Path, suffix: str) -> None:
    mesh = read_mesh(FILES / "texture_comment.ply")
    material = exported(mesh, tmp_path, suffix).parts[0].material
    assert material is not None and material.base_color_texture is not None
    assert material.base_color_texture.data == (FILES / "check er.png").read_bytes()


def test_off_with_colours_on_faces_and_vertices(tmp_path: Path) -> None:
    path = tmp_path / "c.off"
    path.write_text(
        "COFF\n4 2 0\n0 0 0 255 0 0 255\n1 0 0 0 255 0 255\n0 1 0 0 0 255 255\n0 0 1 9 9 9 128\n"
        "3 0 1 2 1 0 0\n3 0 1 3\n"
    )
    mesh = read_mesh(path)
    assert len(mesh.faces) == 2 and mesh.colors is not None
    np.testing.assert_allclose(mesh.colors[3], np.array([9, 9, 9, 128]) / 255, atol=1e-6)


def test_the_likely_up_axis_and_units_are_said(tmp_path: Path) -> None:
    path = tmp_path / "part.stl"
    trimesh.creation.cylinder(300.0, 2400.0).export(path)
    mesh = read_mesh(path)
    assert (mesh.up_axis, guess_up_axis(mesh), guess_units(mesh)) == ("y", "z", "millimetres")
    assert read_mesh(path, up_axis="z").up_axis == "z"
    cube = read_mesh(FILES / "coloured.ply")
    assert (guess_up_axis(cube), guess_units(cube)) == ("y", None)


@pytest.mark.parametrize("suffix", sorted(THROUGH_BLENDER))
def test_other_programs_formats_are_refused_with_the_way_through_blender(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"model{suffix}"
    path.write_bytes(b"Kaydara FBX Binary")
    with pytest.raises(MeshError, match="Blender"):
        read_mesh(path)


def test_usd_hands_over_both_hands(tmp_path: Path) -> None:
    """A mirrored transform and a left-handed orientation each turn the faces round; both together do not."""
    text = """#usda 1.0
(upAxis = "Z")
def Mesh "tet" {{
    uniform token orientation = "{hand}"
    point3f[] points = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    int[] faceVertexCounts = [3, 3, 3, 3]
    int[] faceVertexIndices = [0, 2, 1, 0, 1, 3, 1, 2, 3, 0, 3, 2]
    double3 xformOp:scale = ({scale}, 1, 1)
    uniform token[] xformOpOrder = ["xformOp:scale"]
}}
"""
    for hand, scale, sign in (
        ("rightHanded", 1, 1),
        ("rightHanded", -1, 1),
        ("leftHanded", 1, -1),
        ("leftHanded", -1, -1),
    ):
        path = tmp_path / f"{hand}{scale}.usda"
        path.write_text(text.format(hand=hand, scale=scale))
        mesh = read_usd_mesh(path)
        assert mesh.up_axis == "z" and volume(mesh) == pytest.approx(sign / 6)
    outside = tmp_path / "in" / "ref.usda"
    outside.parent.mkdir()
    outside.write_text(f'#usda 1.0\ndef "a" (references = @../{path.name}@</tet>) {{}}\n')
    with pytest.raises(MeshError, match="outside"):
        read_mesh(outside)
    (tmp_path / "broken.usda").write_text("#usda 1.0\ndef Mesh (")
    with pytest.raises(MeshError, match="damaged"):
        read_mesh(tmp_path / "broken.usda")


def test_usd_through_a_process_of_its_own_is_the_same(tmp_path: Path) -> None:
    mesh = read_mesh(FILES / "lamp.glb")
    path = export_sequence(still(mesh), tmp_path / "out.usdz", mesh)[0]
    apart, here = read_mesh(path), read_usd_mesh(path)
    for name in ("vertices", "faces", "file_to_vertex", "uv"):
        np.testing.assert_array_equal(getattr(apart, name), getattr(here, name))
    assert apart.parts[0].material == here.parts[0].material and apart.path == str(path)


def test_an_obj_of_a_hundred_thousand_quads_is_read_in_seconds(tmp_path: Path) -> None:
    side = 317
    u, v = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    corner = (u[:-1, :-1] * side + v[:-1, :-1]).ravel() + 1
    ring = np.stack([corner, corner + side, corner + side + 1, corner + 1], -1)
    text = "".join(
        f"v {x} {y} {0.1 * np.sin(x)}\nvt {x / side} {y / side}\n" for x, y in zip(u.ravel(), v.ravel(), strict=True)
    )
    text += "".join("f " + " ".join(f"{i}/{i}" for i in row) + "\n" for row in ring.tolist())
    path = tmp_path / "grid.obj"
    path.write_text(text)
    start = time.process_time()
    mesh = read_mesh(path)
    assert time.process_time() - start < 4.0  # 1.3 s on an idle machine
    assert len(mesh.faces) == 2 * 316 * 316
