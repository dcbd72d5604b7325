"""GLB against pygltflib: positions of every frame, limits, weights, UVs, materials, vertex order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pygltflib
import pytest

from core.errors import ExportError
from core.io.export import export_sequence
from core.io.export_clip import ExportOptions, prepare
from core.io.gltf.glb_writer import arrange

TYPES = {5126: np.float32, 5125: np.uint32, 5123: np.uint16}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3}


def accessor(gltf, index):
    entry = gltf.accessors[index]
    view = gltf.bufferViews[entry.bufferView]
    assert view.byteOffset % 4 == 0
    values = np.frombuffer(
        gltf.binary_blob(), TYPES[entry.componentType], entry.count * WIDTHS[entry.type], view.byteOffset
    )
    values = values.reshape(entry.count, WIDTHS[entry.type])
    assert values.nbytes <= view.byteLength
    if entry.min:
        np.testing.assert_array_equal(values.min(0), np.float32(entry.min))
        np.testing.assert_array_equal(values.max(0), np.float32(entry.max))
    return values


def write(case, folder, **options):
    path = export_sequence(case.sequence, folder / "run.glb", case.source, options=ExportOptions(**options))[0]
    return pygltflib.GLTF2().load(str(path))


def triangles(gltf, weights):
    """[F, 3, 3] corner positions of all primitives, with the morph weights applied, faces without area left out."""
    result = []
    for primitive in gltf.meshes[0].primitives:
        points = accessor(gltf, primitive.attributes.POSITION).astype(np.float64)
        for weight, target in zip(weights, primitive.targets or [], strict=True):
            if weight:
                points = points + weight * accessor(gltf, target["POSITION"])
        faces = accessor(gltf, primitive.indices).reshape(-1, 3)
        result.append(points[faces[faces[:, 0] != faces[:, 1]]])
    return np.concatenate(result)


def test_every_frame_has_the_sources_triangles(case, tmp_path):
    gltf = write(case, tmp_path)
    animation = gltf.animations[0]
    times = accessor(gltf, animation.samplers[0].input)[:, 0]
    weights = accessor(gltf, animation.samplers[0].output).reshape(len(times), -1)
    assert animation.samplers[0].interpolation == "LINEAR"
    assert animation.channels[0].target.path == "weights"
    np.testing.assert_allclose(times, np.arange(case.sequence.frames) / case.sequence.fps, rtol=1e-6)
    faces = np.concatenate([part.faces for part in case.source.parts])
    for t in range(case.sequence.frames):
        assert weights[t].sum() == (1.0 if t else 0.0)
        np.testing.assert_allclose(triangles(gltf, weights[t]), case.positions[t][faces], atol=1e-6)


def test_targets_are_named_and_positions_have_limits(case, tmp_path):
    gltf = write(case, tmp_path)
    mesh = gltf.meshes[0]
    assert mesh.extras["targetNames"] == [f"frame_{t:04d}" for t in range(1, case.sequence.frames)]
    assert mesh.weights == [0.0] * (case.sequence.frames - 1)
    for primitive in mesh.primitives:
        for index in (primitive.attributes.POSITION, *(target["POSITION"] for target in primitive.targets)):
            assert len(gltf.accessors[index].min) == len(gltf.accessors[index].max) == 3


def test_normals_are_unit_length_in_every_frame(case, tmp_path):
    gltf = write(case, tmp_path)
    for primitive in gltf.meshes[0].primitives:
        base = accessor(gltf, primitive.attributes.NORMAL)
        for turn in [0 * base, *(accessor(gltf, target["NORMAL"]) for target in primitive.targets)]:
            np.testing.assert_allclose(np.linalg.norm(base + turn, axis=1), 1.0, atol=1e-5)


def test_uv_start_at_the_top_left(case, tmp_path):
    gltf = write(case, tmp_path)
    corners = []
    for primitive in gltf.meshes[0].primitives:
        faces = accessor(gltf, primitive.indices).reshape(-1, 3)
        corners.append(accessor(gltf, primitive.attributes.TEXCOORD_0)[faces[faces[:, 0] != faces[:, 1]]])
    uv = np.concatenate(corners)
    np.testing.assert_allclose(uv[..., 0], case.corner_uv[..., 0], atol=1e-6)
    np.testing.assert_allclose(uv[..., 1], 1 - case.corner_uv[..., 1], atol=1e-6)


def test_materials_and_textures_are_embedded_once(shared, tmp_path):
    gltf = write(shared, tmp_path)
    assert [material.name for material in gltf.materials] == ["weave", "red"]
    assert [primitive.material for primitive in gltf.meshes[0].primitives] == [0, 1, 1]
    assert len(gltf.images) == 1 and gltf.images[0].mimeType == "image/png"
    view = gltf.bufferViews[gltf.images[0].bufferView]
    blob = gltf.binary_blob()[view.byteOffset : view.byteOffset + view.byteLength]
    assert blob == shared.source.parts[0].material.base_color_texture.data
    assert gltf.materials[0].pbrMetallicRoughness.baseColorTexture.index == 0
    assert gltf.materials[1].pbrMetallicRoughness.roughnessFactor == 0.4


def test_parts_with_equal_materials_share_one(shared, tmp_path):
    """As after reading a file whose parts all name the same material."""
    parts = tuple(replace(part, material=replace(part.material)) for part in shared.source.parts)
    assert parts[1].material is not parts[2].material
    gltf = write(replace(shared, source=replace(shared.source, parts=parts)), tmp_path)
    assert [material.name for material in gltf.materials] == ["weave", "red"]
    assert [primitive.material for primitive in gltf.meshes[0].primitives] == [0, 1, 1]


def test_separate_parts_lie_one_after_another_in_the_files_order(separate, tmp_path):
    gltf = write(separate, tmp_path)
    primitives = gltf.meshes[0].primitives
    points = np.concatenate([accessor(gltf, primitive.attributes.POSITION) for primitive in primitives])
    np.testing.assert_array_equal(points, separate.positions[0])


def test_shared_vertices_keep_their_numbers_in_an_attribute(shared):
    clip = prepare(shared.sequence, shared.source, ExportOptions(), "run")
    layout = arrange(clip)
    assert not layout.in_order
    own = len(shared.source.file_to_vertex)
    np.testing.assert_array_equal(layout.origin[:own], np.arange(own))
    np.testing.assert_array_equal(layout.clip.frames, shared.positions[:, layout.origin])
    used = np.unique(np.concatenate([primitive.faces for primitive in layout.primitives]))
    np.testing.assert_array_equal(used, np.arange(len(layout.origin)))


def test_one_frame_is_a_still_mesh(separate, tmp_path):
    gltf = write(separate, tmp_path, start=2, end=2)
    assert not gltf.animations
    faces = np.concatenate([part.faces for part in separate.source.parts])
    np.testing.assert_allclose(triangles(gltf, []), separate.positions[2][faces], atol=1e-6)


def test_another_up_axis_is_refused(separate, tmp_path):
    with pytest.raises(ExportError, match="always has Y up"):
        write(separate, tmp_path, up_axis="z")
    assert list(tmp_path.iterdir()) == []
