"""The entry of the export: options, names, and that a failed export leaves everything as it was."""

from __future__ import annotations

import ast
import errno
import os
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from core.errors import ExportError
from core.io import staging
from core.io.export import export_sequence
from core.io.export_clip import ExportOptions, prepare
from core.io.export_formats import FORMATS
from core.io.gltf import buffer
from core.io.mesh.source_mesh import build_source_mesh
from core.io.sequence_file import read_sequence
from core.io.shading import clip_normals
from core.sequence import MeshPart, MeshSequence, SourceMesh

FILES = [suffix for suffix in FORMATS if suffix not in (".obj", ".ply")]
FOLDERS = [".obj", ".ply"]
BLENDER = (".glb", ".usdc", ".usda", ".usdz", ".pc2", ".mdd", ".obj", ".ply")


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_returns_exactly_what_it_wrote(case, tmp_path, suffix):
    out = tmp_path / "new" / f"run{suffix}"
    paths = export_sequence(case.sequence, out, case.source)
    assert paths[0] == out
    assert sorted(paths) == sorted(out.parent.iterdir())
    scripts = [path.name for path in paths if path.suffix == ".py"]
    assert scripts == ([f"import_run_{suffix[1:]}.py"] if suffix in BLENDER else [])
    for script in scripts:
        ast.parse((out.parent / script).read_text())


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("stem", ['Über fox #2 """q', "3d.v1 [a]{b}", "back\\slash"])
def test_odd_names_give_plain_companions(shared, tmp_path, suffix, stem):
    out, *companions = export_sequence(shared.sequence, tmp_path / f"{stem}{suffix}", shared.source)
    assert out.exists() and out.name == f"{stem}{suffix}"
    for path in companions:
        assert path.exists() and not set(path.name) & set(' #"[]{}\\')
        if path.suffix == ".py":
            ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("suffix", FORMATS)
def test_writing_again_gives_the_same_files(case, tmp_path, suffix):
    first = export_sequence(case.sequence, tmp_path / f"run{suffix}", case.source)
    assert export_sequence(case.sequence, tmp_path / f"run{suffix}", case.source) == first
    assert sorted(first) == sorted(tmp_path.iterdir())


def test_range_rate_axes_and_scale(case, tmp_path):
    options = ExportOptions(fps=12.0, start=1, end=3, up_axis="z", scale=100.0)
    export_sequence(case.sequence, tmp_path / "run.npz", case.source, options=options)
    back = read_sequence(tmp_path / "run.npz")
    x, y, z = np.moveaxis(case.positions[1:4].astype(np.float64), -1, 0)
    np.testing.assert_allclose(back.vertices, 100 * np.stack([x, -z, y], -1), atol=1e-4)
    assert back.fps == 12.0


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_the_sources_up_axis_ends_up_as_y(case, axis):
    source = replace(case.source, up_axis=axis)
    clip = prepare(case.sequence, source, ExportOptions(), "run")
    np.testing.assert_array_equal(np.stack(list(clip.frames))[..., 1], case.positions[..., "xyz".index(axis)])
    unchanged = prepare(case.sequence, source, ExportOptions(up_axis=axis), "run")
    np.testing.assert_array_equal(np.stack(list(unchanged.frames)), case.positions)


def test_turning_keeps_faces_outwards(case):
    clip = prepare(case.sequence, replace(case.source, up_axis="x"), ExportOptions(up_axis="z"), "run")

    def volume(points, faces):
        a, b, c = (points[faces[:, i]].astype(np.float64) for i in range(3))
        return np.einsum("ij,ij->", a, np.cross(b, c))

    assert volume(clip.frames[0], clip.faces) == pytest.approx(volume(case.positions[0], clip.faces), rel=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (ExportOptions(fps=0.0), "frames per second"),
        (ExportOptions(fps=float("nan")), "frames per second"),
        (ExportOptions(scale=-1.0), "scale"),
        (ExportOptions(up_axis="w"), "x, y or z"),
        (ExportOptions(start=9), "frames 0 to 4"),
        (ExportOptions(start=3, end=2), "frames 0 to 4"),
        (ExportOptions(end=5), "frames 0 to 4"),
        (ExportOptions(start=-1), "frames 0 to 4"),
    ],
)
def test_impossible_options_are_refused_before_anything_is_written(separate, tmp_path, options, words):
    with pytest.raises(ExportError, match=words):
        export_sequence(separate.sequence, tmp_path / "run.glb", separate.source, options=options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["run.fbx", "run", ".glb", "run.glb.zip"])
def test_an_unknown_suffix_names_the_possible_ones(separate, tmp_path, name):
    with pytest.raises(ExportError) as caught:
        export_sequence(separate.sequence, tmp_path / name)
    for suffix in FORMATS:
        assert suffix in str(caught.value)


def test_a_mesh_that_is_not_the_sequences_own(separate, shared, tmp_path):
    with pytest.raises(ExportError, match="the mesh that it was made from"):
        export_sequence(separate.sequence, tmp_path / "run.glb", shared.source)


def test_a_sequence_without_faces(tmp_path):
    with pytest.raises(ExportError, match="no faces"):
        export_sequence(MeshSequence(np.zeros((2, 3, 3)), np.zeros((0, 3))), tmp_path / "run.glb")


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_full_disk_leaves_the_old_export_as_it_was(separate, tmp_path, suffix, monkeypatch):
    out = tmp_path / f"run{suffix}"
    export_sequence(separate.sequence, out, separate.source)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def full(folder, target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(staging, "commit", full)
    with pytest.raises(ExportError, match="No space left on device"):
        export_sequence(separate.sequence, out, separate.source, options=ExportOptions(scale=2.0))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_an_interrupted_export_leaves_nothing(separate, tmp_path, monkeypatch):
    def interrupt(folder, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(staging, "commit", interrupt)
    with pytest.raises(KeyboardInterrupt):
        export_sequence(separate.sequence, tmp_path / "run.obj", separate.source)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_swap_of_folders_puts_the_old_frames_back(separate, tmp_path, monkeypatch):
    out = tmp_path / "run.ply"
    export_sequence(separate.sequence, out, separate.source)
    before = (out / "frame_0003.ply").read_bytes()
    rename = type(out).rename

    def refuse(self, target):
        if self.name == "run.ply" and staging.PREFIX in str(self):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        return rename(self, target)

    monkeypatch.setattr(type(out), "rename", refuse)
    with pytest.raises(ExportError, match="Permission denied"):
        export_sequence(separate.sequence, out, separate.source, options=ExportOptions(scale=2.0))
    assert (out / "frame_0003.ply").read_bytes() == before


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_place_that_cannot_be_written(separate, tmp_path, suffix):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ExportError, match="cannot be written"):
        export_sequence(separate.sequence, tmp_path / "file" / f"run{suffix}", separate.source)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("suffix", FOLDERS)
def test_a_folder_with_other_files_is_never_touched(separate, tmp_path, suffix):
    out = tmp_path / f"run{suffix}"
    out.mkdir()
    (out / "thesis.txt").write_text("the only copy")
    (out / f"frame_0000{suffix}").write_text("old")
    with pytest.raises(ExportError, match=r"thesis\.txt"):
        export_sequence(separate.sequence, f"{out}/", separate.source)
    assert (out / "thesis.txt").read_text() == "the only copy"
    assert (out / f"frame_0000{suffix}").read_text() == "old"


@pytest.mark.parametrize("suffix", FOLDERS)
def test_a_file_where_the_frames_should_go(separate, tmp_path, suffix):
    (tmp_path / f"run{suffix}").write_text("a mesh")
    with pytest.raises(ExportError, match="need a folder"):
        export_sequence(separate.sequence, tmp_path / f"run{suffix}", separate.source)
    assert (tmp_path / f"run{suffix}").read_text() == "a mesh"


@pytest.mark.parametrize("suffix", FILES)
def test_a_folder_where_the_file_should_go(separate, tmp_path, suffix):
    (tmp_path / f"run{suffix}").mkdir()
    with pytest.raises(ExportError, match="is a folder"):
        export_sequence(separate.sequence, tmp_path / f"run{suffix}", separate.source)


def test_the_users_own_obj_beside_a_point_cache_stays(separate, tmp_path):
    for name in ("run.obj", "run.mtl", "run.png"):
        (tmp_path / name).write_text("mine")
    export_sequence(separate.sequence, tmp_path / "run.pc2", separate.source)
    assert all((tmp_path / name).read_text() == "mine" for name in ("run.obj", "run.mtl", "run.png"))


def cube(uv=None) -> tuple[MeshSequence, SourceMesh]:
    """A cube whose corners are split by side, as a file with hard edges has them."""
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=np.float32)
    sides = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
    quads = np.arange(24).reshape(6, 4)
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32)
    weld = sides.ravel().astype(np.int32)
    source = SourceMesh("cube", corners, weld[faces], weld, (MeshPart("cube", faces),), uv)
    return MeshSequence(np.repeat(corners[None], 2, axis=0), weld[faces]), source


@pytest.mark.parametrize(
    "uv", [None, np.zeros((24, 2), np.float32), np.random.default_rng(0).random((24, 2), np.float32)]
)
def test_hard_edges_stay_hard(uv):
    normals = np.stack(list(clip_normals(prepare(*cube(uv), ExportOptions(), "cube"))))
    np.testing.assert_allclose(np.abs(normals).max(-1), 1.0, atol=1e-6)


def test_shading_goes_on_smoothly_over_a_texture_seam(separate):
    normals = np.stack(list(clip_normals(prepare(separate.sequence, separate.source, ExportOptions(), "tube"))))
    weld = separate.source.file_to_vertex
    for point in np.unique(weld):
        twins = normals[:, weld == point]
        np.testing.assert_allclose(twins, np.repeat(twins[:, :1], twins.shape[1], axis=1), atol=1e-6)


def test_a_long_export_holds_no_copy_of_the_motion(tmp_path, monkeypatch):
    monkeypatch.setattr(buffer, "SMALL", 1 << 20)
    corners = np.arange(79 * 80).reshape(79, 80)[:, :-1].reshape(-1)
    places = np.stack([*np.divmod(np.arange(6400.0), 80), np.zeros(6400)], -1)
    source = build_source_mesh(np.concatenate([places, places[:1]]), np.stack([corners, corners + 1, corners + 80], -1))
    assert len(source.file_to_vertex) == len(source.vertices) + 1
    sequence = MeshSequence(np.repeat(source.vertices[None], 300, axis=0), source.faces)  # 23 MB
    options = ExportOptions(up_axis="y", scale=2.0)
    for name in ("a.glb", "a.npz", "a.pc2"):
        tracemalloc.start()
        export_sequence(sequence, tmp_path / name, source, options=options)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert most < 8 << 20, name
