"""glTF reading: posing, welding, materials, and every way a file can be broken."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import MeshError
from core.io.gltf.scene import GltfScene, read_gltf_mesh
from core.sequence import Texture
from tests.glb_writer import GlbWriter, arm, box, breathing_box

RIGS = Path(__file__).resolve().parents[4] / "shared" / "data" / "rigs"
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)


def plain(positions: np.ndarray, indices: np.ndarray | None, mode: int = 4, **attributes: int) -> GlbWriter:
    writer = GlbWriter()
    primitive = {"attributes": {"POSITION": writer.accessor(positions), **attributes}, "mode": mode}
    if indices is not None:
        primitive["indices"] = writer.accessor(indices, "u2")
    writer.json["meshes"] = [{"primitives": [primitive]}]
    writer.json["nodes"] = [{"mesh": 0}]
    return writer


def cube() -> GlbWriter:
    positions, faces = box((0, 0, 0), (1, 1, 1))
    return plain(positions, faces.reshape(-1))


def test_split_vertices_are_welded_and_mapped_back(tmp_path: Path) -> None:
    mesh = read_gltf_mesh(cube().save(tmp_path / "cube.glb"))
    positions, faces = box((0, 0, 0), (1, 1, 1))
    assert mesh.vertices.shape == (8, 3) and mesh.faces.shape == (12, 3)
    assert np.array_equal(mesh.vertices[mesh.file_to_vertex], positions)
    assert np.array_equal(mesh.parts[0].faces, faces)
    edges = np.sort(np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]]), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()  # closed after welding


def test_a_skinned_mesh_ignores_its_own_node_and_broken_weights(tmp_path: Path) -> None:
    mesh = read_gltf_mesh(arm().save(tmp_path / "arm.glb"))
    assert np.allclose(mesh.vertices.min(0), [-0.2, 0, -0.2]) and np.allclose(mesh.vertices.max(0), [0.2, 2, 0.2])


def test_a_rotated_joint_turns_its_vertices(tmp_path: Path) -> None:
    scene = GltfScene(arm().save(tmp_path / "arm.glb"))
    assert scene.clip_names == ("bend0",) and scene.clips[0].duration == 2.0
    half, full = scene.positions(0, np.array([0.5, 1.0]))
    top = scene.rest[:, 1] > 1.5
    for posed, degrees in ((half, 45), (full, 90)):
        turn = np.radians(degrees)
        x, y = scene.rest[top, 0], scene.rest[top, 1] - 1
        expected = np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn) + 1], 1)
        assert np.allclose(posed[top, :2], expected, atol=1e-6)
        assert np.allclose(posed[~top], scene.rest[~top], atol=1e-6)


def test_morph_weights_are_animated_under_the_node_transform(tmp_path: Path) -> None:
    scene = GltfScene(breathing_box().save(tmp_path / "box.glb"))
    heights = scene.positions(0, np.array([0.0, 0.25, 1.0, 9.0]))[..., 1]
    assert np.allclose(heights.max(1), [4.0, 4.25, 5.0, 5.0]) and np.allclose(heights.min(1), 3.0)


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        ("STEP", [[0, 0, 0], [2, 0, 0]], [0.0, 0.0, 2.0]),
        ("LINEAR", [[0, 0, 0], [2, 0, 0]], [0.0, 1.0, 2.0]),
        # in-tangent, value, out-tangent per key: Hermite at 1/2 is 1 + (8 - 0) / 8
        ("CUBICSPLINE", [[0, 0, 0], [0, 0, 0], [8, 0, 0], [0, 0, 0], [2, 0, 0], [0, 0, 0]], [0.0, 2.0, 2.0]),
    ],
)
def test_interpolations(tmp_path: Path, kind: str, values: list, expected: list) -> None:
    writer = cube()
    sampler = {"input": writer.accessor([0.0, 1.0]), "output": writer.accessor(values), "interpolation": kind}
    channel = {"sampler": 0, "target": {"node": 0, "path": "translation"}}
    writer.json["animations"] = [{"samplers": [sampler], "channels": [channel]}]
    scene = GltfScene(writer.save(tmp_path / "a.glb"))
    assert np.allclose(scene.positions(0, np.array([0.0, 0.5, 1.0]))[..., 0].min(1), expected)


def test_strips_fans_and_unindexed_triangles_keep_their_winding(tmp_path: Path) -> None:
    strip = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]], dtype=np.float32)
    fan = strip[[0, 1, 3, 2]]
    loose = strip[[0, 1, 2, 2, 1, 3]]
    for mode, positions in ((5, strip), (6, fan), (4, loose)):
        mesh = read_gltf_mesh(plain(positions, None, mode).save(tmp_path / "s.glb"))
        a, b, c = (mesh.vertices[mesh.faces[:, i]] for i in range(3))
        assert np.allclose(np.cross(b - a, c - a)[:, 2], 1.0) and len(mesh.faces) == 2


def test_sparse_and_normalised_accessors(tmp_path: Path) -> None:
    writer = cube()
    positions = writer.json["accessors"][0]
    rows, moved = writer.view(np.array([0], dtype="<u2").tobytes()), writer.view(np.float32([-5, 0, 0]).tobytes())
    positions["sparse"] = {
        "count": 1,
        "indices": {"bufferView": rows, "componentType": 5123},
        "values": {"bufferView": moved},
    }
    uv = writer.accessor(np.tile([0, 65535], (24, 1)), "u2", normalized=True)
    writer.json["meshes"][0]["primitives"][0]["attributes"]["TEXCOORD_0"] = uv
    mesh = read_gltf_mesh(writer.save(tmp_path / "sparse.glb"))
    assert mesh.vertices[:, 0].min() == -5.0
    assert mesh.uv is not None and np.allclose(mesh.uv, [0.0, 0.0])  # glTF v = 1 is the bottom


def test_material_and_texture_are_kept(tmp_path: Path) -> None:
    writer = cube()
    writer.json["images"] = [{"bufferView": writer.view(PNG)}]
    writer.json["textures"] = [{"source": 0}]
    look = {"baseColorTexture": {"index": 0}, "metallicFactor": 0.25, "roughnessFactor": 0.5}
    writer.json["materials"] = [{"name": "skin", "pbrMetallicRoughness": look, "doubleSided": True}]
    writer.json["meshes"][0]["primitives"][0]["material"] = 0
    material = read_gltf_mesh(writer.save(tmp_path / "m.glb")).parts[0].material
    assert material is not None and material.base_color_texture == Texture(PNG)
    assert (material.name, material.metallic, material.roughness, material.double_sided) == ("skin", 0.25, 0.5, True)


def test_external_buffer(tmp_path: Path) -> None:
    writer = cube()
    (tmp_path / "my data.bin").write_bytes(writer.binary)
    path = tmp_path / "cube.gltf"
    path.write_text(json.dumps(writer.document("my%20data.bin")))
    assert len(read_gltf_mesh(path).vertices) == 8
    (tmp_path / "my data.bin").unlink()
    with pytest.raises(MeshError, match="needs the file"):
        read_gltf_mesh(path)


def test_faces_without_area_leave_the_welded_surface_only(tmp_path: Path) -> None:
    positions = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0]], dtype=np.float32)
    mesh = read_gltf_mesh(plain(positions, np.array([0, 1, 2, 1, 2, 3])).save(tmp_path / "d.glb"))
    assert len(mesh.faces) == 1 and len(mesh.parts[0].faces) == 2 and "1 of 2 faces" in mesh.notes[0]


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    good = cube().bytes()
    path = tmp_path / "bad.glb"
    cases = {
        b"": "is empty",
        good[:-40]: "cut short",
        good[:16]: "cut short",
        b"solid nothing": "not a glTF file",
        b"glTF" + b"\x01" + good[5:]: "version 1",
        b'{"asset": {"version": "2.0"}}': "no triangles",
        b"[" * 100_000: "JSON cannot be read",
    }
    for content, sentence in cases.items():
        path.write_bytes(content)
        with pytest.raises(MeshError, match=sentence):
            read_gltf_mesh(path)
    with pytest.raises(MeshError, match="cannot be read"):
        read_gltf_mesh(tmp_path / "missing.glb")
    with pytest.raises(MeshError, match="cannot be read"):
        read_gltf_mesh(tmp_path)


def test_hostile_numbers_end_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "bad.glb"

    def broken(change) -> None:  # type: ignore[no-untyped-def]
        writer = cube()
        change(writer.json)
        with pytest.raises(MeshError, match=r"bad\.glb"):
            read_gltf_mesh(writer.save(path))

    broken(lambda j: j["accessors"][0].update(count=10**15))
    broken(lambda j: j["accessors"][0].update(count=-1))
    broken(lambda j: (j["accessors"][0].pop("bufferView"), j["accessors"][0].update(count=10**12)))
    broken(lambda j: j["accessors"][0].update(byteOffset=-4))
    broken(lambda j: j["bufferViews"][0].update(byteLength=10**9))
    broken(lambda j: j["bufferViews"][0].update(byteStride=1))
    broken(lambda j: j["nodes"][0].update(children=[0]))
    broken(lambda j: j["nodes"].extend([{"children": [2]}, {"children": [1]}]))
    broken(lambda j: j["nodes"][0].update(mesh=7))
    broken(lambda j: j["nodes"][0].update(scale=[float("nan"), 1, 1]))
    broken(lambda j: j["nodes"][0].update(scale=[0, 0, 0]))
    broken(lambda j: j.update(extensionsRequired=["VENDOR_anything"]))
    broken(lambda j: j["meshes"][0]["primitives"][0].update(mode=1))


def test_nan_vertices_and_wild_indices(tmp_path: Path) -> None:
    positions, faces = box((0, 0, 0), (1, 1, 1))
    nan = positions.copy()
    nan[3, 1] = np.nan
    with pytest.raises(MeshError, match="not finite"):
        read_gltf_mesh(plain(nan, faces.reshape(-1)).save(tmp_path / "nan.glb"))
    with pytest.raises(MeshError, match="beyond its 24"):
        read_gltf_mesh(plain(positions, np.array([0, 1, 24])).save(tmp_path / "wild.glb"))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_random_damage_never_escapes_as_anything_but_a_sentence(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from([ARM, BREATHING])))
    for _ in range(data.draw(st.integers(1, 12))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    path = tmp_path / "damaged.glb"
    path.write_bytes(content if data.draw(st.booleans()) else content[:cut])
    try:
        mesh = read_gltf_mesh(path)
    except MeshError as error:
        assert "damaged.glb" in str(error)
    else:
        assert np.isfinite(mesh.vertices).all() and mesh.faces.max() < len(mesh.vertices)


ARM, BREATHING = arm().bytes(), breathing_box().bytes()


@pytest.mark.skipif(not RIGS.is_dir(), reason="needs the shared rigs")
def test_real_rigs_stand_upright_and_map_back() -> None:
    for name in ("animals/Fox", "animals/Bee", "humans/RobotExpressive", "objects/Chest"):
        scene = GltfScene(RIGS / f"{name}.glb")
        mesh = read_gltf_mesh(RIGS / f"{name}.glb")
        assert np.abs(scene.bone_weight.sum(1) - 1).max() < 1e-9, name
        assert np.abs(mesh.vertices[mesh.file_to_vertex] - scene.positions()[0]).max() < 2e-6 * mesh.size, name
        assert -0.05 * mesh.size < mesh.vertices[:, 1].min() < 0.1 * mesh.size, name  # feet on the ground, Y up
        assert sum(len(part.faces) for part in mesh.parts) >= len(mesh.faces), name
