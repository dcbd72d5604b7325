"""PC2 and MDD against readers written from their layouts, and their base OBJ against trimesh."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from core.io.export import export_sequence
from core.io.export_clip import ExportClip, ExportOptions, Frames
from core.io.point_cache import write_mdd, write_pc2
from core.sequence import MeshPart


def read_pc2(path: Path) -> np.ndarray:
    data = path.read_bytes()
    signature, version, points, start, rate, samples = struct.unpack_from("<12siiffi", data)
    assert (signature, version, start, rate) == (b"POINTCACHE2\0", 1, 0.0, 1.0)
    assert len(data) == 32 + samples * points * 12
    return np.frombuffer(data, "<f4", offset=32).reshape(samples, points, 3)


def read_mdd(path: Path) -> tuple[np.ndarray, np.ndarray]:
    data = path.read_bytes()
    frames, points = struct.unpack_from(">ii", data)
    assert len(data) == 8 + frames * 4 + frames * points * 12
    times = np.frombuffer(data, ">f4", count=frames, offset=8)
    return times, np.frombuffer(data, ">f4", offset=8 + 4 * frames).reshape(frames, points, 3)


def test_pc2_holds_the_files_own_vertices(case, tmp_path):
    export_sequence(case.sequence, tmp_path / "run.pc2", case.source)
    np.testing.assert_array_equal(read_pc2(tmp_path / "run.pc2"), case.positions)


def test_mdd_holds_positions_and_seconds(case, tmp_path):
    export_sequence(case.sequence, tmp_path / "run.mdd", case.source)
    times, positions = read_mdd(tmp_path / "run.mdd")
    np.testing.assert_array_equal(positions, case.positions)
    np.testing.assert_allclose(times, np.arange(len(times)) / case.sequence.fps, rtol=1e-6)


def test_the_base_obj_has_the_caches_vertex_order(case, tmp_path):
    paths = export_sequence(case.sequence, tmp_path / "run.pc2", case.source)
    assert [path.name for path in paths][:4] == ["run.pc2", "import_run_pc2.py", "run_pc2_base.mtl", "run_pc2_base.obj"]
    vertices = [
        line.split()[1:] for line in (tmp_path / "run_pc2_base.obj").read_text().splitlines() if line[:2] == "v "
    ]
    np.testing.assert_array_equal(np.array(vertices, dtype=np.float32), case.positions[0])
    texture = next(part.material.base_color_texture for part in case.source.parts if part.material.base_color_texture)
    assert (tmp_path / "run_pc2_base_texture0.png").read_bytes() == texture.data


@pytest.mark.filterwarnings("ignore::RuntimeWarning:trimesh")  # its packing of a texture next to a plain colour
def test_trimesh_reads_the_base_obj_with_its_uv(separate, tmp_path):
    export_sequence(separate.sequence, tmp_path / "run.mdd", separate.source)
    scene = trimesh.load(tmp_path / "run_mdd_base.obj", process=False, maintain_order=True)
    meshes = list(scene.geometry.values()) if isinstance(scene, trimesh.Scene) else [scene]
    area = sum(mesh.area for mesh in meshes)
    points, faces = separate.positions[0], np.concatenate([part.faces for part in separate.source.parts])
    assert abs(area - trimesh.Trimesh(points, faces, process=False).area) < 1e-5
    by_material = {mesh.visual.material.name: mesh for mesh in meshes}
    assert set(by_material) == {"cloth", "steel_blue"}
    assert by_material["cloth"].visual.uv.shape == (len(by_material["cloth"].vertices), 2)


def test_no_source_and_no_script_write_the_cache_and_a_plain_base(separate, tmp_path):
    paths = export_sequence(separate.sequence, tmp_path / "a.pc2", options=ExportOptions(blender_script=False))
    assert sorted(path.name for path in paths) == sorted(path.name for path in tmp_path.iterdir())
    assert [path.name for path in paths] == ["a.pc2", "a_pc2_base.obj"]
    np.testing.assert_array_equal(read_pc2(paths[0]), separate.sequence.vertices)


@settings(deadline=None, max_examples=30)
@given(
    frames=hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 6), st.integers(1, 9), st.just(3)),
        elements=st.floats(-1e6, 1e6, width=32),
    ),
    fps=st.floats(1, 240),
)
def test_any_positions_come_back_bit_for_bit(tmp_path_factory, frames, fps):
    folder = tmp_path_factory.mktemp("caches")
    part = MeshPart("only", np.zeros((1, 3), np.int32))
    clip = ExportClip("any", Frames(frames), (part,), np.arange(frames.shape[1], dtype=np.int32), fps)
    write_pc2(clip, folder / "any.pc2")
    write_mdd(clip, folder / "any.mdd")
    np.testing.assert_array_equal(read_pc2(folder / "any.pc2"), frames)
    np.testing.assert_array_equal(read_mdd(folder / "any.mdd")[1], frames)
