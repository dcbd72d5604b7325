"""Scans of true meshes: exact where they can be computed by hand, and readable as the files a person would have."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from core.data import scan_simulation as simulate
from core.data.procedural import HELD_OUT, ProceduralSource
from core.errors import DataError
from core.geometry.rasteriser import rasterise
from core.io.scans.cutting import Cut
from core.io.scans.scan_reader import read_scans
from core.sequence import MeshSequence, ScanSequence
from tests.io.scans.scan_writer import write_depth_maps

SAMPLES = Path(__file__).parents[2] / "assets" / "scans"


@pytest.fixture(scope="module")
def creature() -> MeshSequence:
    return ProceduralSource().mesh_sequence(HELD_OUT + 3, HELD_OUT + 5, 4, 40, kind="quadruped")


def ball(frames: int = 2, radius: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """A finely divided sphere that drifts along x: vertices [T, V, 3], faces."""
    import trimesh

    sphere = trimesh.creation.icosphere(subdivisions=4, radius=radius)
    drift = np.arange(frames)[:, None, None] * np.array([0.1, 0, 0])
    return sphere.vertices[None] + drift, sphere.faces


def scans_of(mesh: MeshSequence, seed: int) -> dict[str, ScanSequence]:
    vertices, faces = mesh.vertices, mesh.faces
    return {
        "tracked": simulate.simulate_tracked(vertices, faces, 100, seed=seed),
        "half": simulate.simulate_half_body(vertices, faces, 100, seed=seed),
        "depth": simulate.simulate_depth(vertices, faces, resolution=48, moving=True, seed=seed),
        "images": simulate.simulate_images(vertices, faces, size=32, seed=seed),
    }


def test_the_rasteriser_agrees_with_casting_a_ray_through_every_pixel() -> None:
    rng = np.random.default_rng(2)
    vertices = rng.uniform(-1, 1, (60, 3)) + np.array([0, 0, 3.0])
    faces = rng.permutation(60).reshape(20, 3)
    size = 40
    intrinsics = np.array([[30.0, 0, 19.5], [0, 30.0, 19.5], [0, 0, 1]])
    raster = rasterise(vertices, faces, intrinsics, size)
    row, column = np.mgrid[:size, :size]
    rays = np.stack([column, row, np.ones_like(row)], axis=-1).reshape(-1, 3) @ np.linalg.inv(intrinsics).T
    depth = np.full(size * size, np.inf)
    for a, b, c in vertices[faces]:
        # Solves a + u (b - a) + v (c - a) = t ray for every pixel at once.
        systems = np.stack([np.broadcast_to(b - a, rays.shape), np.broadcast_to(c - a, rays.shape), -rays], axis=-1)
        u, v, t = np.linalg.solve(systems, np.broadcast_to(-a, rays.shape)[..., None])[..., 0].T
        hit = (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0)
        depth = np.where(hit & (t < depth), t, depth)
    depth[np.isinf(depth)] = 0
    assert (depth > 0).sum() > 200
    np.testing.assert_allclose(raster.depth.ravel(), depth, atol=1e-9)
    seen = raster.face >= 0
    on_face = (vertices[faces[raster.face[seen]]] * raster.barycentric[seen][..., None]).sum(axis=1)
    np.testing.assert_allclose(on_face, (rays.reshape(size, size, 3) * raster.depth[..., None])[seen], atol=1e-9)


def test_faces_in_several_runs_are_seen_as_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    vertices, faces = ball()
    view, intrinsics = vertices[0] + [0, 0, 2.0], np.array([[60.0, 0, 23.5], [0, 60.0, 23.5], [0, 0, 1]])
    whole = rasterise(view, faces, intrinsics, 48)
    monkeypatch.setattr("core.geometry.rasteriser._CANDIDATES", 1000)
    parts = rasterise(view, faces, intrinsics, 48)
    assert np.array_equal(whole.depth, parts.depth)


def test_tracked_points_stay_on_their_place_of_the_surface() -> None:
    vertices, faces = ball(3)
    scans = simulate.simulate_tracked(vertices, faces, count=200, sigma=0.0)
    assert scans.tracked and not scans.partial and [len(points) for points in scans.points] == [200] * 3
    assert np.abs(np.linalg.norm(scans.points[0], axis=1) - 0.5).max() < 0.003
    np.testing.assert_allclose(scans.points[2] - scans.points[0], np.broadcast_to([0.2, 0, 0], (200, 3)), atol=1e-6)


def test_noise_is_as_large_as_asked() -> None:
    vertices, faces = ball()
    exact, noisy = (simulate.simulate_tracked(vertices, faces, 2000, sigma, seed=4) for sigma in (0.0, 0.03))
    assert np.std(noisy.points[1] - exact.points[1]) == pytest.approx(0.03, rel=0.05)


def test_half_a_body_keeps_what_is_above_its_plane(creature: MeshSequence) -> None:
    for seed in range(4):
        scans = simulate.simulate_half_body(creature.vertices, creature.faces, 400, 0.0, seed)
        normal, level = simulate.half_body_plane(creature.vertices, creature.faces, seed)
        assert scans.partial and scans.tracked and len(scans.points[0]) == 400
        assert normal[1] > 0.9 and (scans.points[0] @ normal).min() > level - 1e-6
        whole = simulate.simulate_tracked(creature.vertices, creature.faces, 4000, 0.0, seed).points[0]
        assert 0.35 < (whole @ normal < level).mean() < 0.65


def test_depth_is_that_of_the_near_side_of_a_ball() -> None:
    vertices, faces = ball(1)
    scan = simulate.render_depth(vertices, faces, 0.7, 0.3, 2.5, resolution=96, sigma=0.0)
    points, eye = scan.scans.points[0], np.array(scan.scans.viewpoint)
    assert np.abs(np.linalg.norm(points, axis=1) - 0.5).max() < 0.003
    assert np.linalg.norm(eye) == pytest.approx(2.5)
    # What a camera at distance d sees of a sphere is above radius / d of the radius towards it.
    assert (points @ eye / 2.5 / 0.5).min() > 0.2
    assert scan.depth[scan.depth > 0].min() == pytest.approx(2.0, abs=0.003)


def test_the_whole_motion_is_in_the_pictures_and_grazing_surface_is_not() -> None:
    vertices, faces = ball(12)
    scan = simulate.render_depth(vertices, faces, 0.0, 0.0, resolution=96, sigma=0.0)
    border = np.concatenate([scan.depth[:, 0], scan.depth[:, -1], scan.depth[:, :, 0], scan.depth[:, :, -1]], axis=1)
    assert not border.any() and (scan.depth > 0).any(axis=(1, 2)).all()
    for frame, points in enumerate(scan.scans.points):
        rays = points - np.array(scan.scans.viewpoint)
        normals = (points - vertices[frame].mean(axis=0)) / 0.5
        cosine = -(rays * normals).sum(axis=1) / np.linalg.norm(rays, axis=1)
        assert cosine.min() > 0.1 and (cosine < 0.4).mean() < 0.25


def test_depth_noise_lies_along_the_ray() -> None:
    vertices, faces = ball(1)
    exact, noisy = (
        simulate.render_depth(vertices, faces, 0.0, 0.0, 2.0, resolution=96, sigma=sigma) for sigma in (0.0, 0.02)
    )
    assert np.array_equal(exact.depth > 0, noisy.depth > 0)
    ranges = [np.linalg.norm(scan.scans.points[0] - np.array(scan.scans.viewpoint), axis=1) for scan in (exact, noisy)]
    assert np.std(ranges[1] - ranges[0]) == pytest.approx(0.02, rel=0.05)


def test_depth_maps_come_back_from_their_files_as_the_same_points(creature: MeshSequence, tmp_path: Path) -> None:
    scan = simulate.render_depth(creature.vertices, creature.faces, 1.0, 0.2, resolution=64, moving=True, seed=3)
    write_depth_maps(scan.depth, scan.intrinsics, tmp_path / "scan", scan.poses)
    back = read_scans(tmp_path / "scan", cut=Cut(cleaned=False))
    assert back.modality == "depth" and back.frames == 4 and back.up_axis == "y"
    for written, read in zip(scan.scans.points, back.points, strict=True):
        np.testing.assert_allclose(read, written, atol=0.001)  # whole millimetres


def test_a_moving_camera_orbits_and_a_still_one_does_not(creature: MeshSequence) -> None:
    for moving in (True, False):
        scan = simulate.render_depth(creature.vertices, creature.faces, resolution=32, moving=moving, seed=1)
        forward = scan.poses[:, :3, 2]
        angle = math.acos(np.clip(forward[0] @ forward[-1], -1, 1))
        assert (math.radians(10) < angle < math.radians(61)) if moving else angle < 1e-6
    fixed = simulate.render_depth(creature.vertices, creature.faces, resolution=32)
    assert np.abs(fixed.poses[:, :3, :3] @ fixed.poses[:, :3, :3].transpose(0, 2, 1) - np.eye(3)).max() < 1e-9


def test_voxels_are_the_cells_that_the_surface_passes() -> None:
    shell = simulate.simulate_voxels(*ball())
    assert shell.voxels is not None and shell.voxels.shape == (2, 32, 32, 32)
    cell = 1.1 / 32
    assert not shell.voxels[0, 10:22, 10:22, 10:22].any()
    assert np.abs(np.linalg.norm(shell.points[0], axis=1) - 0.5).max() < cell * math.sqrt(3) / 2 + 1e-6
    assert len(shell.points[0]) == shell.voxels[0].sum()


def test_images_show_the_shape_lit_from_above(creature: MeshSequence) -> None:
    frames = simulate.simulate_images(creature.vertices, creature.faces, 0.6, 0.25, 2.2, size=64).images
    assert frames is not None and frames.shape == (4, 64, 64, 3) and (frames[:, :4] == 0).all()
    ball_frames = simulate.simulate_images(*ball(), 0.6, 0.25, 2.2, size=64).images
    assert ball_frames is not None
    image = ball_frames[0, ..., 0] / 255.0
    # Seen from 2.2, the outline of radius 0.5 is 0.5 / sqrt(1 - (0.5 / 2.2)^2) wide in the plane through the centre.
    radius = 0.5 / math.sqrt(1 - (0.5 / 2.2) ** 2) / 1.5 * 64
    assert 0.95 < (image > 0.1).sum() / (math.pi * radius**2) < 1.05
    assert image[16:28, 24:40].mean() > image[38:48, 24:40].mean() + 0.2


def test_the_same_seed_gives_the_same_scan(creature: MeshSequence) -> None:
    first, again, other = scans_of(creature, 1), scans_of(creature, 1), scans_of(creature, 2)
    for kind, scans in first.items():
        what = (lambda s: s.images) if kind == "images" else (lambda s: np.concatenate(s.points))
        assert np.array_equal(what(scans), what(again[kind])), kind
        assert what(scans).shape != what(other[kind]).shape or not np.array_equal(what(scans), what(other[kind])), kind


def test_bad_input_is_said_in_one_sentence() -> None:
    vertices, faces = ball()
    broken = vertices.copy()
    broken[1, 0, 0] = np.nan
    cases = [
        (vertices[0], faces, "frames x vertices x 3"),
        (vertices, faces[:0], "no triangles"),
        (vertices, faces + 1, "outside 0 to"),
        (broken, faces, "not finite"),
    ]
    for bad, corners, words in cases:
        with pytest.raises(DataError, match=words):
            simulate.simulate_depth(bad, corners)
    with pytest.raises(DataError, match="noise"):
        simulate.simulate_tracked(vertices, faces, sigma=-1.0)
    with pytest.raises(DataError, match="pixels a side"):
        simulate.simulate_depth(vertices, faces, resolution=2)
    with pytest.raises(DataError, match="sees nothing in frame 0"):
        simulate.simulate_depth(vertices[:1] * 1e-4 + [0, 0, 0.3], faces, 0.0, 0.0, 0.01)


@pytest.mark.parametrize("folder", sorted(path.name for path in SAMPLES.iterdir() if path.is_dir()))
def test_sample_scans_can_be_read(folder: str) -> None:
    scans = read_scans(SAMPLES / folder)
    assert scans.frames == 17 and not [note for note in scans.notes if "skipped" in note]
    assert sum(path.stat().st_size for path in (SAMPLES / folder).iterdir()) < 1_000_000
