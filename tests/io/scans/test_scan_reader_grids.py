"""Depth maps, pictures and voxel grids as scans; writing scans."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from core.errors import DataError
from core.io.scans.depth import background_limit
from core.io.scans.scan_reader import read_scans
from core.sequence import ScanSequence
from tests.io.scans.scan_writer import write_depth_maps, write_scans
from tests.io.scans.test_scan_reader import check, cloud, filled, moving

INTRINSICS = np.array([[60.0, 0, 31.5], [0, 60.0, 23.5], [0, 0, 1]])


def ball_depth(wall: float = 0.0, radius: float = 0.5, distance: float = 2.0) -> NDArray[np.float64]:
    """Depth [48, 64] along z of a ball in front of the camera, and of a wall behind it if its depth is given."""
    row, column = np.mgrid[:48, :64]
    rays = np.stack([column, row, np.ones_like(row)], axis=-1) @ np.linalg.inv(INTRINSICS).T
    a, b, c = (rays**2).sum(-1), -2 * distance * rays[..., 2], distance**2 - radius**2
    inside = b * b - 4 * a * c
    return np.where(inside > 0, (-b - np.sqrt(np.maximum(inside, 0))) / (2 * a), wall)


def png(picture: NDArray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture).save(out, format="PNG")
    return out.getvalue()


def binvox(grid: NDArray[np.bool_]) -> bytes:
    x, y, z = grid.shape
    flat = grid.transpose(0, 2, 1).reshape(-1)
    runs = b"".join(bytes([int(value), 1]) for value in flat)
    return f"#binvox 1\ndim {x} {z} {y}\ntranslate 1 2 3\nscale 2\ndata\n".encode() + runs


def test_depth_maps_become_points_with_y_up_before_the_camera(tmp_path: Path) -> None:
    folder = write_depth_maps(np.stack([ball_depth(), ball_depth(distance=2.1)]), INTRINSICS, tmp_path / "Tiefe 深")
    scans = read_scans(folder)
    check(scans)
    assert (scans.modality, scans.partial, scans.tracked, scans.up_axis) == ("depth", True, False, "y")
    assert scans.viewpoint == (0, 0, 0)
    for points, distance in zip(scans.points, (2.0, 2.1), strict=True):
        radius = np.linalg.norm(points - [0, 0, -distance], axis=1)
        np.testing.assert_allclose(radius, 0.5, atol=0.001)  # millimetres
        assert points[:, 2].min() > -distance  # the near half of it


def test_what_is_up_in_the_picture_is_up_in_space(tmp_path: Path) -> None:
    depth = ball_depth()
    depth[24:] = 0  # the upper half of the picture
    points = read_scans(write_depth_maps(depth[None], INTRINSICS, tmp_path / "up")).points[0]
    assert points[:, 1].min() >= 0


def test_a_wall_is_removed_and_the_subject_stays(tmp_path: Path) -> None:
    folder = write_depth_maps(np.stack([ball_depth(wall=3.5)]), INTRINSICS, tmp_path / "room")
    points = read_scans(folder).points[0]
    assert len(points) == (ball_depth() > 0).sum()
    # A wall so near that no gap is left cannot be told from the subject, but by the greatest depth.
    near = write_depth_maps(np.stack([ball_depth(wall=1.9)]), INTRINSICS, tmp_path / "near")
    scans = read_scans(near)
    assert len(scans.points[0]) == 48 * 64
    assert "greatest depth" in scans.notes[0]
    assert len(read_scans(near, depth_max=1.87).points[0]) == (ball_depth() > 0).sum()


def test_a_gap_within_the_subject_cuts_nothing() -> None:
    depth = ball_depth()
    depth[20:28, 28:36] = 1.0  # a hand held out to the camera
    assert background_limit(depth) is None
    depth[depth == 0] = 4.0
    limit = background_limit(depth)
    assert limit is not None
    assert 1.85 < limit < 4


def test_poses_put_frames_into_one_world(tmp_path: Path) -> None:
    # Z up; the camera looks along +y, then along -y from the other side, at a ball at (0, 5, 1).
    first = np.array([[1, 0, 0, 0], [0, 0, 1, 3], [0, -1, 0, 1], [0, 0, 0, 1.0]])
    second = np.array([[-1, 0, 0, 0], [0, 0, -1, 7], [0, -1, 0, 1], [0, 0, 0, 1.0]])
    depth = np.stack([ball_depth(), ball_depth()])
    folder = write_depth_maps(depth, INTRINSICS, tmp_path / "poses", np.stack([first, second]))
    scans = read_scans(folder)
    assert (scans.up_axis, scans.viewpoint) == ("z", (0, 3, 1))
    assert scans.viewpoints is not None
    np.testing.assert_allclose(scans.viewpoints, [[0, 3, 1], [0, 7, 1]])
    again = read_scans(write_scans(scans, tmp_path / "again"))
    assert again.viewpoint == scans.viewpoint
    assert again.viewpoints is not None
    np.testing.assert_allclose(again.viewpoints, scans.viewpoints)
    for points in scans.points:
        np.testing.assert_allclose(np.linalg.norm(points - [0, 5, 1], axis=1), 0.5, atol=0.002)
    (folder / "poses.txt").write_text("1 2 3")
    with pytest.raises(DataError, match=r"poses.txt: 3 numbers"):
        read_scans(folder)
    np.savetxt(folder / "poses.txt", np.concatenate([first, 2 * second]))
    with pytest.raises(DataError, match="frame 1 is not a rotation"):
        read_scans(folder)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("intrinsics.txt", b"60 0 31.5\n0 60 23.5\n0 0 1\n"),
        ("intrinsics.txt", b"60, 60, 31.5, 23.5"),
        ("intrinsics.json", json.dumps(INTRINSICS.tolist()).encode()),
        ("intrinsics.json", b'{"fx": 60, "fy": 60, "cx": 31.5, "cy": 23.5}'),
        ("camera.json", b'{"width": 64, "intrinsic_matrix": [60, 0, 0, 0, 60, 0, 31.5, 23.5, 1]}'),
        ("given", b""),
    ],
)
def test_intrinsics_in_every_place(tmp_path: Path, name: str, data: bytes) -> None:
    folder = write_depth_maps(ball_depth()[None], INTRINSICS, tmp_path / "scan")
    wanted = read_scans(folder).points[0]
    (folder / "intrinsics.txt").unlink()
    with pytest.raises(DataError, match=r"without camera intrinsics; put the 3 x 3 matrix into intrinsics.txt"):
        read_scans(folder)
    if name == "given":
        np.testing.assert_array_equal(read_scans(folder, intrinsics=INTRINSICS).points[0], wanted)
        return
    (folder / name).write_bytes(data)
    np.testing.assert_array_equal(read_scans(folder).points[0], wanted)
    for damaged in (b"sixty", b"1 2", b"-1 0 0 0 1 0 0 0 1", b"nan 1 1 1"):
        (folder / name).write_bytes(damaged)
        with pytest.raises(DataError, match=name):
            read_scans(folder)


def test_depth_arrays_in_metres_and_millimetres(tmp_path: Path) -> None:
    depth = np.stack([ball_depth()])
    np.savez(tmp_path / "m.npz", depth=depth.astype(np.float32), intrinsics=INTRINSICS)
    np.savez(tmp_path / "mm.npz", depth=np.round(depth * 1000).astype(np.uint16), intrinsics=INTRINSICS)
    np.savez(tmp_path / "named.npz", depth_mm=depth * 1000, intrinsics=INTRINSICS)
    for name in ("m.npz", "mm.npz", "named.npz"):
        scans = read_scans(tmp_path / name)
        np.testing.assert_allclose(np.linalg.norm(scans.points[0] - [0, 0, -2], axis=1), 0.5, atol=0.001)
    np.save(tmp_path / "plain.npy", np.repeat(depth, 4, axis=0))
    plain = read_scans(tmp_path / "plain.npy", modality="depth", intrinsics=INTRINSICS)
    assert (plain.frames, len(plain.points[0])) == (4, (depth > 0).sum())
    with pytest.raises(DataError, match="several sequences of depth"):
        read_scans(tmp_path, modality="depth")
    np.savez(tmp_path / "bare.npz", depth=depth)
    with pytest.raises(DataError, match="without camera intrinsics"):
        read_scans(tmp_path / "bare.npz")


def test_depth_maps_beside_photographs_win(tmp_path: Path) -> None:
    folder = write_depth_maps(np.stack([ball_depth()] * 2), INTRINSICS, tmp_path / "rgbd")
    (folder / "color0.png").write_bytes(png(np.zeros((48, 64, 3), np.uint8)))
    (folder / "color1.png").write_bytes(png(np.zeros((48, 64, 3), np.uint8)))
    scans = read_scans(folder)
    assert scans.modality == "depth"
    assert "color0.png, color1.png were skipped" in scans.notes[0]
    assert read_scans(folder, modality="images").frames == 2


def test_pictures_of_one_shape_are_scaled_and_others_skipped(tmp_path: Path) -> None:
    red = np.zeros((60, 80, 4), np.uint8)
    red[..., 0] = 255
    red[30:, :, 3] = 255
    files = {"a1.png": png(red), "a2.png": png(np.zeros((120, 160), np.uint8)), "a10.png": png(red[:, :30])}
    scans = read_scans(filled(tmp_path / "film", files))
    check(scans)
    assert scans.images is not None
    assert scans.images.shape == (2, 60, 80, 3)
    assert scans.images[0, 0, 0].tolist() == [255, 255, 255]  # transparent parts are white
    assert scans.images[0, -1, 0].tolist() == [255, 0, 0]
    assert scans.images[1].max() == 0
    assert "a10.png has 30 x 60 pixels" in scans.notes[0]
    assert "1 image was scaled" in scans.notes[1]
    assert read_scans(filled(tmp_path / "large", {"a.png": png(np.zeros((1024, 256, 3), np.uint8))})).images.shape == (  # type: ignore[union-attr]
        1, 512, 128, 3,
    )  # fmt: skip


def test_voxel_grids_of_every_kind(tmp_path: Path) -> None:
    grid = np.zeros((8, 8, 8), bool)
    grid[1, 2, 3] = grid[1, 2, 4] = True
    np.save(tmp_path / "one.npy", grid)
    np.savez(tmp_path / "all.npz", voxels=np.stack([grid, ~grid, grid & False]))
    np.savez(tmp_path / "float.npz", occupancy=grid * 0.7 + 0.2, center=np.array([1.0, 0, 0]), side=np.array(2.2))
    folder = filled(tmp_path / "grids", {"f1.binvox": binvox(grid), "f2.binvox": binvox(grid)[:-2]})
    scans = read_scans(tmp_path / "one.npy")
    check(scans)
    assert scans.modality == "voxels"
    assert scans.voxels is not None
    np.testing.assert_array_equal(scans.voxels[0], grid)
    cell = 1.1 / 8
    np.testing.assert_allclose(scans.points[0], (np.array([[1, 2, 3], [1, 2, 4]]) - 3.5) * cell, atol=1e-6)
    several = read_scans(tmp_path / "all.npz")
    assert several.frames == 2
    assert "frame 2 has no occupied cells" in several.notes[0]
    placed = read_scans(tmp_path / "float.npz")
    np.testing.assert_allclose(placed.points[0], 2 * scans.points[0] + [1, 0, 0], atol=1e-6)
    boxes = read_scans(folder)
    np.testing.assert_array_equal(boxes.voxels, grid[None])
    np.testing.assert_allclose(boxes.points[0], np.array([[1, 2, 3], [1, 2, 4]]) / 4 + 0.125 + [1, 2, 3], atol=1e-6)
    assert "f2.binvox holds 511 of 512 cells" in boxes.notes[0]


def test_a_grid_that_is_no_cube_is_filled_up_and_stays_in_place(tmp_path: Path) -> None:
    grid = np.zeros((8, 5, 4), bool)
    grid[0, 0, 0] = grid[7, 4, 3] = True
    np.save(tmp_path / "box.npy", grid)
    scans = read_scans(tmp_path / "box.npy")
    assert scans.voxels is not None
    assert scans.voxels.shape == (1, 8, 8, 8)
    np.testing.assert_allclose(scans.points[0] * 8 / 1.1, [[-3.5, -2, -1.5], [3.5, 2, 1.5]], atol=1e-5)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    clouds = tuple(cloud(frame, 20 + frame) for frame in range(12))
    one_sided = ScanSequence(clouds, 12.0, modality="depth", partial=True, up_axis="z", viewpoint=(1.0, 2.0, 3.5))
    tracks = ScanSequence(tuple(moving(3)), 30.0, tracked=True, partial=True)
    grids = rng.random((2, 8, 8, 8)) > 0.5
    voxels = ScanSequence(
        (clouds[0],) * 2, modality="voxels", dense=grids, voxel_center=(1.0, 2.0, 3.0), voxel_side=2.0
    )
    pictures = rng.integers(0, 255, (2, 12, 10, 3)).astype(np.uint8)
    images = ScanSequence((clouds[0][:0],) * 2, modality="images", dense=pictures, partial=True)
    for name, scans in {"depth": one_sided, "tracks": tracks, "voxels": voxels, "images": images}.items():
        read = read_scans(write_scans(scans, tmp_path / f"{name} ñ"))
        check(read)
        for field in ("fps", "tracked", "modality", "partial", "up_axis", "voxel_center", "voxel_side", "viewpoint"):
            assert getattr(read, field) == getattr(scans, field), (name, field)
        assert read.notes == ()
        if name in ("depth", "tracks"):
            for have, want in zip(read.points, scans.points, strict=True):
                np.testing.assert_array_equal(have, want)
        np.testing.assert_array_equal(read.voxels, scans.voxels)  # type: ignore[arg-type]
        np.testing.assert_array_equal(read.images, scans.images)  # type: ignore[arg-type]


def test_writing_replaces_its_own_frames_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    write_scans(ScanSequence(tuple(moving(5))), folder)
    write_scans(ScanSequence(tuple(moving(2))), folder)
    assert sorted(entry.name for entry in folder.iterdir()) == ["frame0000.ply", "frame0001.ply", "scan.json"]
    (folder / "thesis.doc").write_bytes(b"years of work")
    with pytest.raises(DataError, match=r"thesis.doc"):
        write_scans(ScanSequence(tuple(moving(2))), folder)
    with pytest.raises(DataError, match="is a file"):
        write_scans(ScanSequence(tuple(moving(2))), folder / "thesis.doc")
    with pytest.raises(DataError, match="16 bits"):
        write_depth_maps(np.full((1, 2, 2), 70.0), INTRINSICS, tmp_path / "far")
    assert not (tmp_path / "far").exists()
