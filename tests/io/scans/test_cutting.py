"""The shape cut out of a scan by boxes, masks and what is plainly not the shape."""

from pathlib import Path

import numpy as np
import pytest

from core.errors import DataError
from core.io.scans.cutting import Cut
from core.io.scans.scan_reader import read_scans
from tests.geometry.test_scan_cleaning import ball, plane
from tests.io.scans.test_scan_reader_grids import INTRINSICS, ball_depth, png


def raw_scans(folder: Path, frames: int = 3) -> Path:
    """Untracked points of a ball on a floor, with outliers."""
    folder.mkdir()
    for frame in range(frames):
        shape = ball(500 + frame, seed=frame) + np.array([0.02 * frame, 0, 0])
        stray = np.random.default_rng(frame).uniform(-1, 1, (25, 3)) + np.array([0, 1.6, 0])
        np.save(folder / f"frame{frame}.npy", np.concatenate([shape, plane(600, 1.6, frame), stray]))
    return folder


def test_floor_and_lone_points_are_cut_and_named(tmp_path: Path) -> None:
    folder = raw_scans(tmp_path / "raw")
    scans = read_scans(folder)
    for frame, points in enumerate(scans.points):
        distance = np.linalg.norm(points - np.array([0.02 * frame, 0.35, 0]), axis=1)
        assert 400 < len(points) < 510 and (np.abs(distance - 0.3) < 0.01).mean() > 0.99
    assert any("floor" in note for note in scans.notes) and any("isolated" in note for note in scans.notes)
    assert len(read_scans(folder, cut=Cut(cleaned=False)).points[0]) == 500 + 600 + 25


def test_a_box_keeps_what_is_inside(tmp_path: Path) -> None:
    cut = Cut((-0.5, 0.2, -0.5, 0.5, 0.7, 0.5), cleaned=False)
    for points in read_scans(raw_scans(tmp_path / "raw"), cut=cut).points:
        assert len(points) and (points >= [-0.5, 0.2, -0.5]).all() and (points <= [0.5, 0.7, 0.5]).all()


def test_tracked_points_are_chosen_in_the_first_frame(tmp_path: Path) -> None:
    first = ball(300)
    np.save(tmp_path / "tracks.npy", np.stack([first, first + 0.5]).astype(np.float32))
    scans = read_scans(tmp_path / "tracks.npy", cut=Cut((-1, 0.35, -1, 1, 1, 1)))
    assert scans.tracked and len(scans.points[0]) == len(scans.points[1]) == (first[:, 1] >= 0.35).sum()
    assert np.allclose(scans.points[1] - scans.points[0], 0.5, atol=1e-6)


def test_masks_say_what_of_a_depth_map_is_the_shape(tmp_path: Path) -> None:
    depth = ball_depth()
    for frame in range(2):
        (tmp_path / f"{frame}.png").write_bytes(png(np.round(depth * 1000).astype(np.uint16)))
    masks = tmp_path / "masks"
    masks.mkdir()
    left = np.zeros((*depth.shape, 3), np.uint8)
    left[:, : depth.shape[1] // 2] = 255
    for frame in range(2):
        (masks / f"{frame}.png").write_bytes(png(left))
    whole, half = (
        read_scans(tmp_path, modality="depth", intrinsics=INTRINSICS, cut=cut).points[0]
        for cut in (Cut(cleaned=False), Cut(mask=masks, cleaned=False))
    )
    assert 0.3 < len(half) / len(whole) < 0.7 and half[:, 0].max() < 0.05 < whole[:, 0].max()
    (masks / "2.png").write_bytes(png(left))
    with pytest.raises(DataError, match="3 masks for 2 depth maps"):
        read_scans(tmp_path, modality="depth", intrinsics=INTRINSICS, cut=Cut(mask=masks))


@pytest.mark.parametrize(
    ("box", "mask", "said"),
    [
        ((1, 0, 0, 0, 1, 1), None, "box needs"),
        ((0, 0, 0, 1, 1, float("nan")), None, "box needs"),
        (None, "no", "no masks"),
    ],
)
def test_what_cannot_cut_is_refused(box: tuple | None, mask: str | None, said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=said):
        Cut(box, None if mask is None else tmp_path / mask)


def test_masks_need_depth_maps_and_a_box_needs_points(tmp_path: Path) -> None:
    picture = tmp_path / "mask.png"
    picture.write_bytes(png(np.full((8, 8, 3), 255, np.uint8)))
    folder = raw_scans(tmp_path / "raw")
    with pytest.raises(DataError, match="no depth maps"):
        read_scans(folder, cut=Cut(mask=picture))
    with pytest.raises(DataError, match="fewer than 3 points"):
        read_scans(folder, cut=Cut((8, 8, 8, 9, 9, 9)))
    np.savez(tmp_path / "grids.npz", voxels=np.ones((2, 8, 8, 8), bool))
    with pytest.raises(DataError, match="contains voxel grids, which a box cannot cut"):
        read_scans(tmp_path / "grids.npz", cut=Cut((8, 8, 8, 9, 9, 9)))
