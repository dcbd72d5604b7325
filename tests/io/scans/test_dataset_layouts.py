"""Folders as RGB-D data sets lay them out, depth units, and frame numbers as times."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.errors import DataError
from core.io.scans.frame_numbers import frame_places, numbers_in_names, places_of_times
from core.io.scans.scan_reader import read_scans
from tests.io.scans.test_scan_reader_grids import INTRINSICS, ball_depth, png

TURN = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])  # a quarter turn about y


def rows(matrix: np.ndarray) -> str:
    return "\n".join(" ".join(f"{value:.9f}" for value in row) for row in matrix) + "\n"


def pose(shift: float) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = TURN, (shift, 0.5, 1.0)
    return matrix


def depth_png(scale: float) -> bytes:
    return png(np.round(ball_depth() * scale).astype(np.uint16))


def scannet(folder: Path) -> Path:
    for name in ("color", "depth", "intrinsic", "pose"):
        (folder / name).mkdir(parents=True)
    wide = np.eye(4)
    wide[:3, :3] = INTRINSICS
    (folder / "intrinsic" / "intrinsic_depth.txt").write_text(rows(wide))
    for frame in range(4):
        (folder / "depth" / f"{frame}.png").write_bytes(depth_png(1000))
        (folder / "color" / f"{frame}.png").write_bytes(png(np.zeros((8, 8, 3), np.uint8)))
        (folder / "pose" / f"{frame}.txt").write_text(rows(pose(0.1 * frame)))
    return folder


def test_a_scannet_folder_opens_as_it_is(tmp_path: Path) -> None:
    folder = scannet(tmp_path / "scene")
    scans = read_scans(folder)
    assert scans.frames == 4 and scans.modality == "depth" and "ScanNet" in scans.notes[0]
    assert scans.viewpoints is not None and np.allclose(np.diff(np.abs(scans.viewpoints[:, 0])), 0.1)
    inner = read_scans(folder / "depth")
    np.testing.assert_array_equal(inner.points[0], scans.points[0])
    assert read_scans(folder, modality="images").modality == "images"
    (folder / "pose" / "1.txt").write_text("-inf " * 16)  # where tracking was lost
    scans = read_scans(folder)
    assert scans.frames == 3 or len(scans.points[1]) == 0
    assert any("no camera pose" in note for note in scans.notes)


def test_a_tum_folder_has_its_own_unit_and_times(tmp_path: Path) -> None:
    (tmp_path / "depth").mkdir()
    times = [1305031453.374112, 1305031453.407445, 1305031453.474112, 1305031453.507445]
    for time in times:
        (tmp_path / "depth" / f"{time:.6f}.png").write_bytes(depth_png(5000))
    (tmp_path / "depth.txt").write_text("".join(f"{time:.6f} depth/{time:.6f}.png\n" for time in times))
    half = np.sqrt(0.5)
    lines = "".join(f"{time + 0.003:.6f} 0.5 0 0 0 {half} 0 {half}\n" for time in times)
    (tmp_path / "groundtruth.txt").write_text("# timestamp tx ty tz qx qy qz qw\n" + lines)
    scans = read_scans(tmp_path, intrinsics=INTRINSICS)
    assert scans.fps == 30.0 and scans.frames == 5 and len(scans.points[2]) == 0  # one moment was not seen
    assert any("5,000" in note for note in scans.notes)
    plain = read_scans(tmp_path, intrinsics=INTRINSICS, depth_scale=2500)
    size = [np.ptp(s.points[0], axis=0).max() for s in (plain, scans)]
    assert size[0] == pytest.approx(2 * size[1], rel=1e-3)
    assert scans.viewpoint is not None and scans.viewpoint[0] == pytest.approx(0.5)


def test_seven_scenes_frames_are_found(tmp_path: Path) -> None:
    for frame in range(3):
        (tmp_path / f"frame-{frame:06d}.depth.png").write_bytes(depth_png(1000))
        (tmp_path / f"frame-{frame:06d}.color.png").write_bytes(png(np.zeros((8, 8, 3), np.uint8)))
        (tmp_path / f"frame-{frame:06d}.pose.txt").write_text(rows(pose(0.0)))
    (tmp_path / "intrinsics.txt").write_text(rows(np.array(INTRINSICS)))
    scans = read_scans(tmp_path)
    assert scans.frames == 3 and scans.modality == "depth" and "7-Scenes" in scans.notes[0]


def test_far_depths_are_taken_for_another_unit_and_said(tmp_path: Path) -> None:
    for frame in range(2):
        (tmp_path / f"{frame}.png").write_bytes(depth_png(5000))
    (tmp_path / "intrinsics.txt").write_text(rows(np.array(INTRINSICS)))
    guessed, told = read_scans(tmp_path), read_scans(tmp_path, depth_scale=5000)
    np.testing.assert_array_equal(guessed.points[0], told.points[0])
    assert any("5,000" in note for note in guessed.notes) and not any("5,000" in note for note in told.notes)
    with pytest.raises(DataError, match="depth scale"):
        read_scans(tmp_path, depth_scale=-1.0)


def test_missing_frame_numbers_are_moments(tmp_path: Path) -> None:
    cloud = np.random.default_rng(0).random((50, 3))
    for frame in (0, 1, 2, 6, 7, 8):
        text = "X Y Z\n" + rows(cloud + 0.01 * frame)
        (tmp_path / f"scan_{frame:03d}.xyz").write_text(text)
    scans = read_scans(tmp_path)
    assert scans.frames == 9 and [len(frame) for frame in scans.points] == [50] * 3 + [0] * 3 + [50] * 3
    assert any("3 frames are missing" in note for note in scans.notes)
    assert (scans.frames - 1) / scans.fps == pytest.approx(1 / 3)


def test_which_numbers_are_moments() -> None:
    assert numbers_in_names(["a1.ply", "a2.ply", "a10.ply"]) == [1, 2, 10]
    assert numbers_in_names(["a1.ply", "b.ply"]) is None
    assert numbers_in_names(["s1_f1.ply", "s2_f2.ply"]) is None
    assert frame_places([0, 5, 10, 15]) is None  # every fifth picture of a film
    assert frame_places([0, 5, 15]) == [0, 1, 3]
    assert frame_places([3, 4, 900]) is None  # another numbering
    assert places_of_times([1.0, 1.04, 1.08, 1.2]) == ([0, 1, 2, 5], 25.0)


def test_scans_far_from_zero_keep_their_form(tmp_path: Path) -> None:
    cloud = np.random.default_rng(0).random((2, 60, 3)) + np.array([512345.25, 5412345.5, 300.0])
    np.save(tmp_path / "far.npy", cloud)
    scans = read_scans(tmp_path / "far.npy")
    np.testing.assert_allclose(scans.points[1] + np.array(scans.origin), cloud[1], atol=1e-6)
    assert any("far from 0" in note for note in scans.notes)
