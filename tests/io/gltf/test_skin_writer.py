"""GLB with bones: what our reader, and whoever follows the specification, makes of it is the motion."""

from __future__ import annotations

import json
import struct
from dataclasses import replace

import numpy as np
import pytest

from core.errors import ExportError
from core.io.export import export_sequence
from core.io.export_clip import ExportOptions, prepare, sequence_rows
from core.io.gltf.clip_reader import read_clip
from core.io.gltf.glb_writer import arrange
from core.io.gltf.scene import GltfScene
from core.io.rig_export import export_rig
from core.pipelines.make_rig import RigOptions, make_rig
from tests.rigging.bent_tube import bent_tube


@pytest.fixture(scope="module")
def sequence():
    return bent_tube()


@pytest.fixture(scope="module")
def rig(sequence):
    return make_rig([sequence, bent_tube(9, 1.0)], ["bend", "an other"], RigOptions(8)).rig


def document(path):
    data = path.read_bytes()
    size = struct.unpack_from("<I", data, 12)[0]
    return json.loads(data[20 : 20 + size]), data[28 + size :]


def values(gltf, binary, index):
    entry = gltf["accessors"][index]
    view = gltf["bufferViews"][entry["bufferView"]]
    dtype = {5121: "<u1", 5123: "<u2", 5126: "<f4"}[entry["componentType"]]
    width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}[entry["type"]]
    return np.frombuffer(binary, dtype, entry["count"] * width, view["byteOffset"]).reshape(-1, width)


def test_our_reader_sees_the_motion_again(rig, sequence, tmp_path) -> None:
    path = export_rig(rig, sequence, tmp_path / "rig.glb")[0]
    assert GltfScene(path).clip_names == ("bend", "an other")
    for number, motion in enumerate((sequence, bent_tube(9, 1.0))):
        read = read_clip(path, number)
        made = rig.vertices(motion.vertices[0].astype(np.float64), rig.actions[number])
        # 16 bits a weight, single precision in the file.
        np.testing.assert_allclose(read.vertices, made, atol=1e-4)
        assert np.linalg.norm(read.vertices - motion.vertices, axis=-1).mean() < 2e-3 * 3


def test_the_skin_is_what_the_specification_asks_for(rig, sequence, tmp_path) -> None:
    gltf, binary = document(export_rig(rig, sequence, tmp_path / "rig.glb")[0])
    (skin,) = gltf["skins"]
    joints = skin["joints"]
    assert [gltf["nodes"][joint]["name"] for joint in joints] == list(rig.names)
    # At rest every joint's world transform undoes its inverse bind matrix.
    places = dict.fromkeys(joints, np.zeros(3))
    for joint in joints:
        places[joint] = places[joint] + gltf["nodes"][joint]["translation"]
        for child in gltf["nodes"][joint].get("children", ()):
            places[child] = places[joint]
    back = values(gltf, binary, skin["inverseBindMatrices"]).reshape(-1, 4, 4)
    np.testing.assert_allclose(back[:, 3, :3], -np.stack([places[joint] for joint in joints]), atol=1e-5)
    np.testing.assert_array_equal(back[:, :3], np.tile(np.eye(4)[:3], (len(joints), 1, 1)))
    assert (back[:, 3, 3] == 1).all()
    attributes = gltf["meshes"][0]["primitives"][0]["attributes"]
    weights = values(gltf, binary, attributes["WEIGHTS_0"]).astype(np.int64)
    assert (weights.sum(1) == 65535).all()
    bones = values(gltf, binary, attributes["JOINTS_0"])
    assert bones.max() < len(joints) and (bones[weights == 0] == 0).all()
    for animation in gltf["animations"]:
        paths = [channel["target"]["path"] for channel in animation["channels"]]
        assert paths.count("rotation") == len(joints) and paths.count("translation") >= 1
        for sampler in animation["samplers"]:
            times = values(gltf, binary, sampler["input"])[:, 0]
            assert (np.diff(times) > 0).all() and len(times) == gltf["accessors"][sampler["output"]]["count"]


def world_maps(gltf, binary, animation, seconds):
    """[N, 4, 4] of all nodes at one time, by the specification alone: linear in places, on the arc in rotations."""
    local = {}
    for number, node in enumerate(gltf["nodes"]):
        rest = node.get("translation", [0, 0, 0])
        local[number] = {"rotation": np.array([0.0, 0, 0, 1]), "translation": np.array(rest)}
    for channel in animation["channels"]:
        sampler = animation["samplers"][channel["sampler"]]
        times, keys = (values(gltf, binary, sampler[end]).astype(np.float64) for end in ("input", "output"))
        after = int(np.searchsorted(times[:, 0], seconds).clip(1, max(len(times) - 1, 1)))
        before = after - 1
        if len(keys) == 1:
            value = keys[0]
        else:
            share = np.clip((seconds - times[before, 0]) / (times[after, 0] - times[before, 0]), 0, 1)
            a, b = keys[before], keys[after]
            value = (1 - share) * a + share * b
            if channel["target"]["path"] == "rotation":
                cosine = float(a @ b)
                b, angle = b * np.sign(cosine), np.arccos(min(abs(cosine), 1.0))
                value = a
                if angle > 1e-6:
                    value = (np.sin((1 - share) * angle) * a + np.sin(share * angle) * b) / np.sin(angle)
        local[channel["target"]["node"]][channel["target"]["path"]] = value
    maps = {}

    def place(number, above):
        x, y, z, w = local[number]["rotation"]
        own = np.eye(4)
        own[:3, 3] = local[number]["translation"]
        cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        own[:3, :3] += 2 * w * cross + 2 * cross @ cross
        maps[number] = above @ own
        for child in gltf["nodes"][number].get("children", ()):
            place(child, maps[number])

    for root in gltf["scenes"][gltf["scene"]]["nodes"]:
        place(root, np.eye(4))
    return np.stack([maps[number] for number in range(len(gltf["nodes"]))])


def test_whoever_follows_the_specification_sees_the_motions(rig, sequence, tmp_path) -> None:
    gltf, binary = document(export_rig(rig, sequence, tmp_path / "rig.glb")[0])
    (holder,) = [node for node in gltf["nodes"] if "mesh" in node]
    skin = gltf["skins"][holder["skin"]]
    assert skin["skeleton"] in skin["joints"]
    assert not any(joint in gltf["scenes"][0]["nodes"] for joint in skin["joints"])
    (primitive,) = gltf["meshes"][holder["mesh"]]["primitives"]
    assert gltf["accessors"][primitive["attributes"]["JOINTS_0"]]["componentType"] in (5121, 5123)
    assert gltf["accessors"][primitive["attributes"]["WEIGHTS_0"]]["normalized"] is True
    position, bones, weights = (
        values(gltf, binary, primitive["attributes"][name]) for name in ("POSITION", "JOINTS_0", "WEIGHTS_0")
    )
    back = values(gltf, binary, skin["inverseBindMatrices"]).reshape(-1, 4, 4).transpose(0, 2, 1)
    places = np.c_[position, np.ones(len(position))]
    for number, motion in enumerate((sequence, bent_tube(9, 1.0))):
        for frame in range(motion.frames):
            maps = world_maps(gltf, binary, gltf["animations"][number], frame / motion.fps)[skin["joints"]] @ back
            moved = np.einsum("vb,vbij,vj->vi", weights / 65535, maps[bones], places)[:, :3]
            assert np.linalg.norm(moved - motion.vertices[frame], axis=-1).mean() < 5e-3 * 3
            wanted = rig.vertices(sequence.vertices[0].astype(np.float64), rig.actions[number])[frame]
            np.testing.assert_allclose(moved, wanted, atol=2e-4)


def test_materials_seams_and_places_of_the_input_stay(case, tmp_path) -> None:
    """The mesh's own vertices, also where a file far from 0 counts from elsewhere; scaled as asked."""
    source = replace(case.source, origin=(1e6, 0.0, -5.0))
    motion = replace(case.sequence, origin=source.origin)
    result = make_rig([motion], ["bend"], RigOptions(6))
    path = export_rig(result.rig, motion, tmp_path / "rig.glb", source, options=ExportOptions(scale=2.0))[0]
    morphs = export_sequence(motion, tmp_path / "morph.glb", source, options=ExportOptions(scale=2.0))[0]
    bones, shapes = GltfScene(path), GltfScene(morphs)
    gltf, reference = document(path)[0], document(morphs)[0]
    assert gltf["materials"] == reference["materials"]
    assert [p["attributes"].keys() - {"JOINTS_0", "WEIGHTS_0"} for p in gltf["meshes"][0]["primitives"]] == [
        p["attributes"].keys() for p in reference["meshes"][0]["primitives"]
    ]
    when = np.arange(motion.frames) / motion.fps
    rest = shapes.pose(shapes.bones(0, when)[0], shapes.morph_weights(0, when)[0])
    layout = arrange(prepare(motion, source, ExportOptions(), "rig"))
    rows = sequence_rows(motion, source)[layout.origin]
    rows = np.tile(rows, len(rest) // len(rows))  # parts that share their vertices are read one after another
    wanted = result.rig.vertices(motion.vertices[0].astype(np.float64), result.rig.actions[0])[:, rows]
    pose, weights = bones.bones(0, when), bones.morph_weights(0, when)
    for t in range(motion.frames):
        found = bones.pose(pose[t], weights[t])
        np.testing.assert_allclose(found / 2 - source.origin, wanted[t], atol=2e-4)


def test_a_rig_far_smaller_than_morphs(tmp_path) -> None:
    motion = bent_tube(frames=33)
    result = make_rig([motion], ["bend"])
    rigged = export_rig(result.rig, motion, tmp_path / "rig.glb")[0].stat().st_size
    assert rigged < export_sequence(motion, tmp_path / "morph.glb")[0].stat().st_size / 5


def test_what_cannot_hold_bones_is_refused(rig, sequence, tmp_path) -> None:
    with pytest.raises(ExportError, match="cannot hold bones"):
        export_rig(rig, sequence, tmp_path / "rig.pc2")
    with pytest.raises(ExportError, match="Y up"):
        export_rig(rig, sequence, tmp_path / "rig.glb", options=ExportOptions(up_axis="z"))
    assert list(tmp_path.iterdir()) == []
