"""Files as people have them, with what is right of each: for the readers, the command line and the window alike.

The meshes lie in `tests/io/files`; scans and the mesh without units are written when they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import trimesh

from core.sequence import ScanSequence, SourceMesh
from tests.io.scans.test_dataset_layouts import depth_png, rows, scannet
from tests.io.scans.test_scan_reader_grids import INTRINSICS

FILES = Path(__file__).parent / "io" / "files"
TIMES = (1305031453.374112, 1305031453.407445, 1305031453.440778)


class MeshCase(NamedTuple):
    """A mesh, what holds of it once it is read, and words of each note that a person has to see."""

    name: str
    check: Callable[[SourceMesh], None]
    notes: tuple[str, ...] = ()
    up: str | None = None  # the axis that is to be offered as the likely one


class ScanCase(NamedTuple):
    """Scans, how they are written, what holds of them, words of their notes."""

    name: str
    write: Callable[[Path], Path]
    check: Callable[[ScanSequence], None]
    notes: tuple[str, ...] = ()


def volume(mesh: SourceMesh, left: bool | None = None) -> float:
    """Signed volume, of the half with x below or above 0 if asked."""
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    if left is not None:
        corners = corners[(corners[..., 0].mean(axis=1) < 0) == left]
    return float((corners[:, 0] * np.cross(corners[:, 1], corners[:, 2])).sum() / 6)


def right_side_out(mesh: SourceMesh) -> None:
    assert [round(volume(mesh, left), 3) for left in (True, False)] == [0.506, 0.506]


def atlas(mesh: SourceMesh) -> None:
    assert mesh.uv is not None
    np.testing.assert_allclose([mesh.uv.min(0), mesh.uv.max(0)], [[0.5, 0.25], [0.75, 0.75]], atol=1e-6)
    textured(mesh)


def textured(mesh: SourceMesh) -> None:
    assert mesh.parts[0].material is not None and mesh.parts[0].material.base_color_texture is not None


def lamp(mesh: SourceMesh) -> None:
    material = mesh.parts[0].material
    assert material is not None and (material.alpha_mode, material.alpha_cutoff) == ("MASK", 0.1)
    for channel in ("base_color", "metallic_roughness", "normal", "emissive"):
        texture = getattr(material, f"{channel}_texture")
        assert texture is not None and texture.wrap == ("clamp", "mirror"), channel


def coloured(mesh: SourceMesh) -> None:
    assert mesh.colors is not None
    bytes_of = np.round(mesh.colors[:, :3] * 255).astype(int)
    assert bytes_of.tolist() == [[32 * row, 32 * row + 8, 32 * row + 16] for row in range(8)]


def three_cubes(mesh: SourceMesh) -> None:
    assert (len(mesh.vertices), len(mesh.faces)) == (24, 36)
    assert (mesh.vertices[:, 0].min(), mesh.vertices[:, 0].max()) == (-0.5, 4.5)


def utm_ball(mesh: SourceMesh) -> None:
    lines = (FILES / "utm_ball.obj").read_text().splitlines()
    own = np.array([line.split()[1:4] for line in lines if line.startswith("v ")], dtype=np.float64)
    np.testing.assert_allclose(mesh.vertices[mesh.file_to_vertex] + np.array(mesh.origin), own, atol=1e-5 * mesh.size)


def cube(mesh: SourceMesh) -> None:
    assert (len(mesh.vertices), len(mesh.faces)) == (8, 12)


def textured_cube(mesh: SourceMesh) -> None:
    cube(mesh)
    textured(mesh)


def standing(mesh: SourceMesh) -> None:
    assert np.ptp(mesh.vertices, axis=0).round().tolist() in ([600, 600, 2400], [600, 2400, 600])


MESHES = (
    MeshCase("mirrored_pair.glb", right_side_out),
    MeshCase("atlas_cube.glb", atlas),
    MeshCase("lamp.glb", lamp),
    MeshCase("coloured.glb", coloured),
    MeshCase("coloured.obj", coloured),
    MeshCase("coloured.ply", coloured),
    MeshCase("three_cubes.glb", three_cubes),
    MeshCase("utm_ball.obj", utm_ball, ("far from 0",)),
    MeshCase("cube_wrapped.off", cube),
    MeshCase("extra_values.ply", cube, ("more values than the header declares",)),
    MeshCase("texture_comment.ply", textured_cube),
    MeshCase("utf16_box.obj", cube),
    MeshCase("zup_mm.stl", standing, ("z up", "millimetres"), "z"),
)


def mesh_file(case: MeshCase, folder: Path) -> Path:
    """Where the case's file is; the one without units is written into `folder`."""
    if case.name != "zup_mm.stl":
        return FILES / case.name
    path = folder / case.name
    body = trimesh.creation.cylinder(300.0, 2400.0)
    body.apply_translation([0, 0, 1200.0])
    body.export(path)
    return path


def write_scannet(folder: Path) -> Path:
    return scannet(folder / "scannet")


def write_tum(folder: Path) -> Path:
    """With its cameras in a file beside it, as people keep them who leave a data set's folder as it is."""
    tum = folder / "tum"
    (tum / "depth").mkdir(parents=True)
    for time in TIMES:
        (tum / "depth" / f"{time:.6f}.png").write_bytes(depth_png(5000))
    (tum / "depth.txt").write_text("".join(f"{time:.6f} depth/{time:.6f}.png\n" for time in TIMES))
    (folder / "tum-intrinsics.txt").write_text(rows(np.array(INTRINSICS)))
    return tum


def _cloud() -> np.ndarray:
    points = np.random.default_rng(0).normal(size=(120, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def write_gaps(folder: Path) -> Path:
    (folder / "gaps").mkdir()
    for frame in (0, 1, 2, 6, 7, 8):
        np.savetxt(folder / "gaps" / f"scan_{frame:03d}.xyz", _cloud() + 0.01 * frame)
    return folder / "gaps"


def write_varying(folder: Path) -> Path:
    (folder / "varying").mkdir()
    for frame in range(4):
        text = "X Y Z\n" + rows(_cloud()[: 90 + 10 * frame])
        (folder / "varying" / f"v{frame}.xyz").write_text(text)
    return folder / "varying"


def scannet_frames(scans: ScanSequence) -> None:
    assert (scans.frames, scans.modality) == (4, "depth") and scans.viewpoints is not None
    np.testing.assert_allclose(np.diff(np.abs(scans.viewpoints[:, 0])), 0.1)


def tum_size(scans: ScanSequence) -> None:
    from core.io.scans.scan_reader import read_scans

    right = read_scans(scans.path, depth_scale=5000, intrinsics=INTRINSICS)
    assert np.ptp(scans.points[0], axis=0).max() == np.ptp(right.points[0], axis=0).max()
    assert (scans.frames, round(scans.fps)) == (3, 30)


def nine_moments(scans: ScanSequence) -> None:
    assert scans.frames == 9 and [bool(len(points)) for points in scans.points] == [True] * 3 + [False] * 3 + [True] * 3
    assert round((scans.frames - 1) / scans.fps, 3) == 0.333


def every_frame(scans: ScanSequence) -> None:
    assert [len(points) for points in scans.points] == [90, 100, 110, 120]


SCANS = (
    ScanCase("scannet", write_scannet, scannet_frames, ("layout of ScanNet",)),
    ScanCase("tum", write_tum, tum_size, ("layout of TUM", "5,000 units per metre", "tum-intrinsics.txt")),
    ScanCase("gaps", write_gaps, nine_moments, ("3 frames are missing",)),
    ScanCase("varying", write_varying, every_frame),
)
