"""OBJ and PLY frames against trimesh and a plain reading of the text."""

from __future__ import annotations

import numpy as np
import trimesh

from core.io.export import export_sequence
from core.io.export_clip import ExportOptions


def read_obj(path):
    """Positions, UVs, faces [F, 3, (vertex, uv)] and the material of each face, as the text has them.

    Vertices without a face have one without area, which is left out here.
    """
    rows = {"v": [], "vt": [], "f": [], "loose": []}
    materials, current = [], None
    for line in path.read_text(encoding="utf-8").splitlines():
        keyword, *words = line.split()
        if keyword == "usemtl":
            current = words[0]
        elif keyword in ("v", "vt"):
            rows[keyword].append([float(word) for word in words])
        elif keyword == "f" and len(set(words)) == 1:
            rows["loose"].append(int(words[0]) - 1)
        elif keyword == "f":
            rows["f"].append([[int(number) - 1 for number in word.split("/")] for word in words])
            materials.append(current)
    return (
        np.array(rows["v"], np.float32),
        np.array(rows["vt"], np.float32),
        np.array(rows["f"]),
        materials,
        rows["loose"],
    )


def test_each_obj_frame_has_the_same_faces_and_its_own_positions(case, tmp_path):
    export_sequence(case.sequence, tmp_path / "run.obj", case.source)
    folder = tmp_path / "run.obj"
    frames = [read_obj(folder / f"frame_{t:04d}.obj") for t in range(case.sequence.frames)]
    faces = np.concatenate([part.faces for part in case.source.parts])
    for t, (points, uv, corners, _, loose) in enumerate(frames):
        np.testing.assert_array_equal(points, case.positions[t])
        np.testing.assert_array_equal(corners[..., 0], faces)
        np.testing.assert_array_equal(loose, np.setdiff1d(np.arange(len(points)), faces))
        np.testing.assert_array_equal(uv[corners[..., 1]], case.corner_uv)


def test_obj_faces_keep_their_materials(shared, tmp_path):
    export_sequence(shared.sequence, tmp_path / "run.obj", shared.source)
    materials = read_obj(tmp_path / "run.obj" / "frame_0000.obj")[3]
    third = len(materials) // 3
    assert materials == ["weave"] * third + ["red"] * 2 * third
    mtl = (tmp_path / "run.obj" / "materials.mtl").read_text()
    assert mtl.count("newmtl") == 2
    assert "map_Kd materials_texture0.png" in mtl
    assert "Kd 0.9 0.1 0.1" in mtl


def test_every_ply_frame_has_the_files_vertices_and_faces(case, tmp_path):
    export_sequence(case.sequence, tmp_path / "run.ply", case.source)
    faces = np.concatenate([part.faces for part in case.source.parts])
    for t, positions in enumerate(case.positions):
        path = tmp_path / "run.ply" / f"frame_{t:04d}.ply"
        header, body = path.read_bytes().split(b"end_header\n")
        assert f"element vertex {len(positions)}".encode() in header
        rows = np.frombuffer(body, "<f4", count=5 * len(positions)).reshape(-1, 5)
        np.testing.assert_array_equal(rows, np.column_stack([positions, case.source.uv]))
        # trimesh leaves out vertices without a face, so corners are compared.
        mesh = trimesh.load(path, process=False)
        np.testing.assert_array_equal(mesh.triangles.astype(np.float32), positions[faces])


def test_a_shorter_export_leaves_no_old_frames(separate, tmp_path):
    out = tmp_path / "run.ply"
    export_sequence(separate.sequence, out, separate.source)
    export_sequence(separate.sequence, out, separate.source, options=ExportOptions(end=1))
    assert sorted(path.name for path in out.iterdir()) == [
        "frame_0000.ply",
        "frame_0001.ply",
        "materials_texture0.png",
    ]
