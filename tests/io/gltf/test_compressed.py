"""Compressed glTF: Draco and meshoptimizer are read where their library is, refused by name where it is not; KTX2."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.errors import MeshError
from core.io.export import export_sequence
from core.io.gltf import extensions
from core.io.gltf.clip_reader import read_clip
from core.io.mesh.mesh_reader import read_mesh
from core.sequence import MeshSequence
from tests.glb_writer import GlbWriter, arm, box

DRACO, MESHOPT = extensions.DRACO, extensions.MESHOPT[0]
KTX2 = b"\xabKTX 20\xbb\r\n\x1a\n" + bytes(96)


def plain_box() -> GlbWriter:
    writer = GlbWriter()
    positions, faces = box((-1, -1, -1), (1, 2, 1))
    attributes = {"POSITION": writer.accessor(positions), "TEXCOORD_0": writer.accessor((positions[:, :2] + 1) / 3)}
    primitive = {"attributes": attributes, "indices": writer.accessor(faces.reshape(-1), "u2")}
    writer.json |= {"meshes": [{"primitives": [primitive]}], "nodes": [{"mesh": 0}]}
    return writer


def draco_box(required: bool = True) -> GlbWriter:
    import DracoPy

    writer = plain_box()
    positions, faces = box((-1, -1, -1), (1, 2, 1))
    data = DracoPy.encode(positions, faces.astype(np.uint32), preserve_order=True, quantization_bits=14)
    packed = {"bufferView": writer.view(data), "attributes": {"POSITION": 0}}
    primitive = writer.json["meshes"][0]["primitives"][0]
    del primitive["attributes"]["TEXCOORD_0"]
    primitive["extensions"] = {DRACO: packed}
    for accessor in writer.json["accessors"]:
        accessor.pop("bufferView")
    writer.json |= {"extensionsUsed": [DRACO], "extensionsRequired": [DRACO] if required else []}
    return writer


def packed(writer: GlbWriter, name: str = MESHOPT, required: bool = True) -> GlbWriter:
    """The same file with every buffer view as gltfpack writes it: packed bytes, and a buffer without any for others."""
    import meshopt

    indexed = {p["indices"] for mesh in writer.json["meshes"] for p in mesh["primitives"]}
    done = set()
    for number, accessor in enumerate(list(writer.json["accessors"])):
        view = accessor["bufferView"]
        if view in done or accessor["componentType"] not in (5123, 5126):
            continue
        done.add(view)
        info = writer.json["bufferViews"][view]
        raw = bytes(writer.binary[info.get("byteOffset", 0) :][: info["byteLength"]])
        if number in indexed:
            mode, stride = "TRIANGLES", 2
            data = meshopt.encode_gltf_buffer(np.frombuffer(raw, "<u2").astype(np.uint32), mode)
        else:
            mode, stride = "ATTRIBUTES", len(raw) // accessor["count"]
            data = meshopt.encode_gltf_buffer(np.frombuffer(raw, np.uint8).reshape(-1, stride), mode)
        inner = writer.json["bufferViews"][writer.view(data)]
        where = {"buffer": 0, "byteOffset": inner["byteOffset"], "byteLength": len(data)}
        info["extensions"] = {name: where | {"byteStride": stride, "mode": mode, "count": len(raw) // stride}}
        info["buffer"], info["byteOffset"] = 1, 0
    writer.json["buffers"] = [{"byteLength": 1 << 20, "extensions": {name: {"fallback": True}}}]
    writer.json |= {"extensionsUsed": [name], "extensionsRequired": [name] if required else []}
    return writer


def test_draco_is_read_as_it_was(tmp_path: Path) -> None:
    plain, read = read_mesh(plain_box().save(tmp_path / "a.glb")), read_mesh(draco_box().save(tmp_path / "b.glb"))
    assert read.faces.tolist() == plain.faces.tolist() and not read.notes
    np.testing.assert_allclose(read.vertices, plain.vertices, atol=3e-4)


@pytest.mark.parametrize("name", extensions.MESHOPT)
def test_meshopt_is_read_as_it_was(tmp_path: Path, name: str) -> None:
    plain = read_mesh(plain_box().save(tmp_path / "a.glb"))
    read = read_mesh(packed(plain_box(), name).save(tmp_path / "b.glb"))
    assert np.array_equal(read.vertices, plain.vertices) and not read.notes
    assert read.uv is not None and plain.uv is not None and np.array_equal(read.uv, plain.uv)
    corners = [np.sort(np.sort(mesh.faces, axis=1), axis=0).tolist() for mesh in (read, plain)]
    assert corners[0] == corners[1], "the codec may turn a triangle's corners round, and nothing else"


def test_animations_are_unpacked_too(tmp_path: Path) -> None:
    plain = read_clip(arm().save(tmp_path / "a.glb"), "bend0")
    read = read_clip(packed(arm()).save(tmp_path / "b.glb"), "bend0")
    np.testing.assert_array_equal(read.vertices, plain.vertices)


def test_filtered_values_are_what_they_stand_for(tmp_path: Path) -> None:
    import meshopt

    writer = packed(plain_box())
    positions, _ = box((-1, -1, -1), (1, 2, 1))
    data = meshopt.encode_gltf_buffer(meshopt.encode_filter_exp(positions, 15), "ATTRIBUTES")
    inner = writer.json["bufferViews"][writer.view(data)]
    where = {"buffer": 0, "byteOffset": inner["byteOffset"], "byteLength": len(data), "filter": "EXPONENTIAL"}
    view = writer.json["accessors"][0]["bufferView"]
    writer.json["bufferViews"][view]["extensions"][MESHOPT] |= where
    np.testing.assert_allclose(
        np.ptp(read_mesh(writer.save(tmp_path / "b.glb")).vertices, axis=0), [2, 3, 2], atol=1e-3
    )


@pytest.mark.parametrize(("library", "name"), [("_draco", DRACO), ("_meshopt", MESHOPT)])
def test_without_its_library_a_file_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str, name: str
) -> None:
    writer = draco_box() if name == DRACO else packed(plain_box())
    monkeypatch.setattr(extensions, library, lambda: None)
    with pytest.raises(MeshError, match=rf"compressed with {name}; install .*m2v-studio\[compressed\]"):
        read_mesh(writer.save(tmp_path / "box.glb"))


def test_without_its_library_plain_bytes_beside_the_packed_ones_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = plain_box()
    for view in writer.json["bufferViews"]:
        view["extensions"] = {
            MESHOPT: {"buffer": 0, "byteLength": 4, "byteStride": 4, "mode": "ATTRIBUTES", "count": 1}
        }
    writer.json["extensionsUsed"] = [MESHOPT]
    monkeypatch.setattr(extensions, "_meshopt", lambda: None)
    assert len(read_mesh(writer.save(tmp_path / "box.glb")).faces) == 12


@pytest.mark.parametrize(
    "change",
    [
        {"count": 1 << 27, "byteStride": 4},
        {"count": -1},
        {"byteStride": 0},
        {"byteLength": 1 << 20},
        {"byteLength": 7},
        {"mode": "SCRAMBLED"},
        {"filter": "NOTHING"},
        {"count": "many"},
    ],
)
def test_damaged_meshopt_is_one_sentence(tmp_path: Path, change: dict) -> None:
    writer = packed(plain_box())
    view = writer.json["accessors"][0]["bufferView"]
    writer.json["bufferViews"][view]["extensions"][MESHOPT] |= change
    with pytest.raises(MeshError) as caught:
        read_mesh(writer.save(tmp_path / "bad.glb"))
    assert "bad.glb" in str(caught.value) and len(str(caught.value)) < 300


def test_damaged_draco_is_one_sentence(tmp_path: Path) -> None:
    writer = draco_box()
    view = writer.json["meshes"][0]["primitives"][0]["extensions"][DRACO]["bufferView"]
    writer.json["bufferViews"][view]["byteLength"] = 40
    with pytest.raises(MeshError, match="Draco data are damaged"):
        read_mesh(writer.save(tmp_path / "bad.glb"))


def test_a_ktx2_image_is_kept_and_said_not_to_be_shown(tmp_path: Path) -> None:
    writer = plain_box()
    writer.json |= {
        "images": [{"bufferView": writer.view(KTX2), "mimeType": "image/ktx2"}],
        "textures": [{"extensions": {"KHR_texture_basisu": {"source": 0}}}],
        "materials": [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}],
        "extensionsUsed": ["KHR_texture_basisu"],
        "extensionsRequired": ["KHR_texture_basisu"],
    }
    writer.json["meshes"][0]["primitives"][0]["material"] = 0
    mesh = read_mesh(writer.save(tmp_path / "box.glb"))
    assert len(mesh.notes) == 1 and "KTX2" in mesh.notes[0]
    export_sequence(MeshSequence(np.stack([mesh.vertices] * 2), mesh.faces), tmp_path / "out.glb", mesh)
    material = read_mesh(tmp_path / "out.glb").parts[0].material
    assert material is not None and material.base_color_texture is not None
    assert (material.base_color_texture.data, material.base_color_texture.mime) == (KTX2, "image/ktx2")
