"""Observations of tracked points: what a sensor cannot see is not in them, and what it sees is where it is."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from core.data.cameras import Cameras, cameras_at, random_cameras
from core.data.observations import (
    CELL,
    TOLERANCE,
    depth_scan,
    half_body,
    tracked_points,
)
from core.data.point_surface import surface_voxels, tracked_normals, voxel_grid
from core.data.procedural import ProceduralSource

FRAMES = 5


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def turning_sphere(count: int = 512, radius: float = 0.5) -> tuple[Tensor, Tensor]:
    """Points [2, FRAMES, count, 3] of a sphere that turns about y and drifts along x, and frame 0's normals."""
    normals = torch.nn.functional.normalize(torch.randn(2, count, 3, generator=generator(9)), dim=-1)
    frames = []
    for frame in range(FRAMES):
        cos, sin = math.cos(0.3 * frame), math.sin(0.3 * frame)
        turn = torch.tensor([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
        frames.append(radius * normals @ turn.T + torch.tensor([0.05 * frame, 0, 0]))
    return torch.stack(frames, dim=1), normals


def still_camera(batch: int, azimuth: float = 0.0, elevation: float = 0.0, distance: float = 2.0) -> Cameras:
    return cameras_at(*(torch.full((batch, FRAMES), value) for value in (azimuth, elevation, distance)))


def rows_of(seen: Tensor, points: Tensor) -> Tensor:
    """For each of seen [L, 3] the row of points [N, 3] that it is."""
    distance = (seen[:, None] - points).norm(dim=-1)
    assert float(distance.min(dim=1).values.max()) < 1e-5
    return distance.argmin(dim=1)


def test_a_camera_looks_at_the_origin_with_up_being_up() -> None:
    cameras = random_cameras(6, 4, generator(), moving_share=1.0)
    eye = torch.eye(3).expand(6, 4, 3, 3)
    torch.testing.assert_close(cameras.rotation @ cameras.rotation.transpose(-1, -2), eye, atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(cameras.rotation), torch.ones(6, 4), atol=1e-5, rtol=0)
    places = torch.tensor([[0.0, 0, 0], [0, 0.2, 0]]).expand(6, 4, 2, 3)
    seen = cameras.view(places)
    assert float(seen[:, :, 0, :2].abs().max()) < 1e-5 and bool((seen[:, :, 0, 2] > 1).all())
    assert bool((seen[:, :, 1, 1] < 0).all()), "y points down in the image"
    torch.testing.assert_close(seen @ cameras.rotation + cameras.position[:, :, None], places, atol=1e-5, rtol=0)


def test_tracked_points_are_the_same_rows_in_every_frame() -> None:
    points, _ = turning_sphere(100)
    seen = tracked_points(points, 40, 0.0, generator(1))
    assert seen.points.shape == (2, FRAMES, 40, 3) and bool(seen.present.all())
    for clip in range(2):
        rows = [rows_of(seen.points[clip, frame], points[clip, frame]) for frame in range(FRAMES)]
        assert len(set(rows[0].tolist())) == 40
        assert all(torch.equal(rows[0], other) for other in rows)
    assert not torch.equal(rows_of(seen.points[0, 0], points[0, 0]), rows_of(seen.points[1, 0], points[1, 0]))


def test_more_points_than_there_are_leave_absent_rows() -> None:
    points, normals = turning_sphere(50)
    for seen in (tracked_points(points, 64, 0.1, generator()), depth_scan(points, normals, 64, generator())):
        assert seen.points.shape == (2, FRAMES, 64, 3) and seen.present.shape == (2, FRAMES, 64)
        assert bool((seen.points[~seen.present] == 0).all()) and not bool(seen.present[..., 50:].any())


def test_noise_has_the_standard_deviation_of_its_clip() -> None:
    points = torch.zeros(2, 10, 400, 3)
    seen = tracked_points(points, 400, torch.tensor([0.01, 0.04]), generator())
    assert seen.points.std((1, 2, 3)).tolist() == pytest.approx([0.01, 0.04], rel=0.05)


@pytest.mark.parametrize("with_normals", [True, False])
def test_a_depth_camera_sees_the_near_side_only(with_normals: bool) -> None:
    points, normals = turning_sphere(1024)
    camera = still_camera(2)
    seen = depth_scan(points, normals if with_normals else None, 1024, generator(), sigma=0.0, cameras=camera)
    centre = points.mean(dim=2, keepdim=True)
    towards = ((seen.points - centre)[..., 2] / 0.5)[seen.present]
    # Seen from a distance of 2, a sphere of radius 0.5 shows what is above 0.25 of the radius. The coarse z-buffer
    # alone lets some of the far side through at the rim and in its gaps.
    lowest = towards.min() if with_normals else towards.quantile(0.25)
    assert float(lowest) > 0.2
    share = seen.present.float().mean((1, 2))
    assert bool((share > 0.2).all() and (share < 0.55).all())


def test_a_wall_hides_what_is_well_behind_it() -> None:
    side = torch.arange(24) / 24 - 0.5
    wall = torch.stack([*torch.meshgrid(side, side, indexing="ij"), torch.zeros(24, 24)], dim=-1).view(-1, 3)
    behind = wall * 0.6 - torch.tensor([0.0, 0, TOLERANCE + 2 * CELL])
    points = torch.cat([wall, behind])[None, None].expand(1, FRAMES, -1, 3)
    seen = depth_scan(points, None, points.shape[2], generator(), sigma=0.0, cameras=still_camera(1))
    depths = seen.points[..., 2][seen.present]
    assert bool((depths == 0).all()) and len(depths) > 0.5 * FRAMES * len(wall)


def test_depth_noise_lies_along_the_view_ray() -> None:
    points, normals = turning_sphere()
    camera = random_cameras(2, FRAMES, generator(4))
    exact = depth_scan(points, normals, 256, generator(5), sigma=0.0, cameras=camera)
    noisy = depth_scan(points, normals, 256, generator(5), sigma=0.02, cameras=camera)
    assert torch.equal(exact.present, noisy.present)
    rays = torch.nn.functional.normalize(exact.points - camera.position[:, :, None], dim=-1)
    shift = (noisy.points - exact.points)[exact.present]
    along = (shift * rays[exact.present]).sum(-1)
    assert float((shift - along[:, None] * rays[exact.present]).norm(dim=-1).max()) < 1e-5
    assert float(along.std()) == pytest.approx(0.02, rel=0.1)


def test_every_frame_of_a_depth_scan_has_a_point() -> None:
    """Even of a plane seen edge on, which grazing drop-out would remove."""
    points = torch.rand(1, FRAMES, 200, 3, generator=generator()) - 0.5
    points[..., 0] = 0
    normals = torch.tensor([1.0, 0, 0]).expand(1, 200, 3)
    seen = depth_scan(points, normals, 64, generator(), cameras=still_camera(1))
    assert bool(seen.present.any(dim=2).all())


def test_half_a_body_is_what_lies_above_a_plane_in_frame_0() -> None:
    points, _ = turning_sphere(400)
    seen = half_body(points, 400, 0.0, generator(2))
    for clip in range(2):
        present = seen.present[clip, 0]
        assert 0.3 < float(present.float().mean()) < 0.75
        rows = rows_of(seen.points[clip, 0][present], points[clip, 0])
        for frame in range(1, FRAMES):
            assert torch.equal(rows_of(seen.points[clip, frame][present], points[clip, frame]), rows)
        cut = torch.ones(400, dtype=torch.bool)
        cut[rows] = False
        # On a sphere the two sides of any plane through it are separated along the line between their middles.
        axis = points[clip, 0][rows].mean(0) - points[clip, 0][cut].mean(0)
        height = points[clip, 0] @ torch.nn.functional.normalize(axis, dim=0)
        assert float(height[cut].max()) < float(height[rows].min()) + 0.06


def test_a_voxel_is_set_where_a_point_is() -> None:
    points = torch.tensor([[0.0, 0.0, 0.0], [-0.5, 0.49, 0.1], [2.0, 0.0, 0.0]])[None, None]
    grid = voxel_grid(points, resolution=4, side=1.0)
    assert grid.shape == (1, 1, 4, 4, 4) and grid.nonzero()[:, 2:].tolist() == [[0, 3, 2], [2, 2, 2]]


def test_surface_voxels_close_holes_without_filling_the_inside() -> None:
    points, normals = turning_sphere(2048)
    truth = voxel_grid(turning_sphere(60_000)[0][:1, :1])
    sparse, closed = voxel_grid(points[:1, :1]), surface_voxels(points[:1], normals[:1])[:, :1]
    assert int((truth & ~closed).sum()) < 0.5 * int((truth & ~sparse).sum())

    def overlap(grid: Tensor) -> float:
        return float((truth & grid).sum() / (truth | grid).sum())

    assert overlap(closed) > overlap(sparse) + 0.1
    assert not bool(closed[0, 0, 12:20, 12:20, 12:20].any())


def test_normals_turn_with_the_surface() -> None:
    points, normals = turning_sphere()
    moved = tracked_normals(points, normals)
    truth = torch.nn.functional.normalize(points - points.mean(dim=2, keepdim=True), dim=-1)
    assert torch.equal(moved[:, 0], normals)
    agreement = (moved * truth).sum(-1)
    assert float(agreement.mean()) > 0.98 and float(agreement.min()) > 0.7


def test_the_generator_decides_everything() -> None:
    clips = ProceduralSource().sample(3, FRAMES, 128, generator(3))

    def scans(seed: int) -> list[Tensor]:
        source = generator(seed)
        return [
            depth_scan(clips.points, clips.normals, 64, source).points,
            half_body(clips.points, 64, 0.01, source).points,
        ]

    first, again, other = scans(1), scans(1), scans(2)
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert not any(torch.equal(one, two) for one, two in zip(first, other, strict=True))
    assert all(bool(torch.isfinite(values).all()) for values in first)
