"""Tangents of normal-mapped meshes in GLB: along the image, across the normal, in every frame."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from core.io.export import export_sequence
from core.io.export_clip import ExportOptions
from core.io.gltf.file import GltfFile
from core.io.mesh.mesh_reader import read_mesh
from core.quaternions import rotation_matrices
from core.sequence import MeshSequence, SourceMesh
from tests.glb_writer import GlbWriter

FILES = Path(__file__).parents[1] / "files"


def wall(mirrored: bool, mapped: bool = True) -> GlbWriter:
    """A square in the plane z = 0 that faces +z, its image upright on it or mirrored."""
    writer = GlbWriter()
    positions = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], dtype=np.float32)
    u = 1 - positions[:, 0] if mirrored else positions[:, 0]
    attributes = {"POSITION": positions, "TEXCOORD_0": np.column_stack([u, 1 - positions[:, 1]])}
    material = {"normalTexture": {"index": 0}} if mapped else {}
    writer.textured(attributes, [0, 1, 2, 0, 2, 3], (FILES / "check er.png").read_bytes(), material)
    return writer


def exported(mesh: SourceMesh, turn: np.ndarray, folder: Path) -> GltfFile:
    """Two frames, in the second of which the mesh is turned."""
    frames = np.stack([mesh.vertices, mesh.vertices @ turn.T.astype(np.float32)])
    options = ExportOptions(blender_script=False)
    return GltfFile(export_sequence(MeshSequence(frames, mesh.faces), folder / "out.glb", mesh, options=options)[0])


@pytest.mark.parametrize("mirrored", [False, True])
def test_tangents_lie_along_the_image_and_turn_with_the_mesh(tmp_path: Path, mirrored: bool) -> None:
    turn = rotation_matrices(np.array([0, 0, np.sqrt(0.5), np.sqrt(0.5)]))  # a quarter about z: x becomes y
    file = exported(read_mesh(wall(mirrored).save(tmp_path / "wall.glb")), turn, tmp_path)
    primitive = file.json["meshes"][0]["primitives"][0]
    first = file.accessor(primitive["attributes"]["TANGENT"])
    right = [-1.0, 0, 0] if mirrored else [1.0, 0, 0]
    np.testing.assert_allclose(first[:, :3], np.tile(right, (4, 1)), atol=1e-6)
    # The image's up is y in both: across the normal z from the tangent, or against it where it is mirrored.
    np.testing.assert_allclose(first[:, 3], -1.0 if mirrored else 1.0)
    second = first[:, :3] + file.accessor(primitive["targets"][0]["TANGENT"])
    np.testing.assert_allclose(second, np.tile(turn @ right, (4, 1)), atol=1e-6)


def test_tangents_are_unit_vectors_across_the_normals(tmp_path: Path) -> None:
    mesh = read_mesh(FILES / "lamp.glb")
    turn = rotation_matrices(np.array([0.3, 0.1, 0.2, 0.927]) / np.linalg.norm([0.3, 0.1, 0.2, 0.927]))
    file = exported(mesh, turn, tmp_path)
    for primitive in file.json["meshes"][0]["primitives"]:
        normals, tangents = (file.accessor(primitive["attributes"][name]) for name in ("NORMAL", "TANGENT"))
        later = primitive["targets"][0]
        for n, t in (
            (normals, tangents[:, :3]),
            (normals + file.accessor(later["NORMAL"]), tangents[:, :3] + file.accessor(later["TANGENT"])),
        ):
            np.testing.assert_allclose(np.linalg.norm(t, axis=1), 1.0, atol=1e-5)
            np.testing.assert_allclose(np.einsum("ij,ij->i", n, t), 0.0, atol=1e-5)


def test_a_mesh_without_a_normal_map_has_none(tmp_path: Path) -> None:
    path = wall(False, mapped=False).save(tmp_path / "wall.glb")
    exported(read_mesh(path), np.eye(3), tmp_path)
    data = (tmp_path / "out.glb").read_bytes()
    document = json.loads(data[20 : 20 + struct.unpack_from("<I", data, 12)[0]])
    assert "TANGENT" not in document["meshes"][0]["primitives"][0]["attributes"]
