"""Estimated normals of bare points: right on a ball and on two near sheets, whatever is not present."""

import torch

from core.models.point_normals import estimate_normals


def ball(count: int = 400, seed: int = 0) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(count, 3, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_a_balls_normals_point_outward() -> None:
    points = ball()[None]
    normals = estimate_normals(points * 0.5, torch.ones(1, 400, dtype=torch.bool))
    cosine = (normals * points).sum(-1)
    assert float(cosine.min()) > 0.8
    assert float(cosine.mean()) > 0.97


def test_points_that_are_not_present_change_nothing() -> None:
    points = ball()[None] * 0.5
    alone = estimate_normals(points[:, :300], torch.ones(1, 300, dtype=torch.bool))
    present = torch.arange(400)[None] < 300
    with_absent = estimate_normals(points, present)
    assert torch.allclose(with_absent[:, :300], alone, atol=1e-4)
    assert bool((with_absent[:, 300:] == 0).all())


def test_the_two_sides_of_a_plate_face_apart() -> None:
    grid = torch.stack(torch.meshgrid(torch.linspace(-0.5, 0.5, 14), torch.linspace(-0.5, 0.5, 14), indexing="ij"), -1)
    flat = grid.reshape(-1, 2)
    top = torch.cat([flat, torch.full_like(flat[:, :1], 0.05)], -1)
    bottom = top * torch.tensor([1.0, 1.0, -1.0])
    normals = estimate_normals(torch.cat([top, bottom])[None], torch.ones(1, 2 * len(top), dtype=torch.bool))[0]
    inner = (flat.abs() < 0.4).all(-1)
    up, down = normals[: len(top)][inner, 2], normals[len(top) :][inner, 2]
    assert float((up > 0.7).float().mean()) > 0.9
    assert float((down < -0.7).float().mean()) > 0.9


def test_few_points_and_none_are_finite() -> None:
    points = torch.zeros(2, 5, 3)
    points[1] = torch.rand(5, 3)
    present = torch.tensor([[False] * 5, [True, True, False, False, False]])
    assert bool(torch.isfinite(estimate_normals(points, present)).all())
