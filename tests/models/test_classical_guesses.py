"""Classical guesses: rotations are rotations, and a turned shape is found from its handles."""

from __future__ import annotations

import torch

from core.models.classical_guesses import as_rigid_as_possible, common_motion, nearest_motion, polar_rotation
from core.models.warm_start import graph_prior


def rotations(count: int) -> torch.Tensor:
    q, _ = torch.linalg.qr(torch.randn(count, 3, 3))
    return q * torch.linalg.det(q)[:, None, None]


def test_polar_rotation_finds_the_rotation_of_a_stretched_one() -> None:
    torch.manual_seed(0)
    turn = rotations(50)
    stretch = torch.randn(50, 3, 3)
    stretch = stretch @ stretch.transpose(-1, -2) + 0.5 * torch.eye(3)
    near = [angle_within(turn, limit=2.0)]
    found = polar_rotation(turn[near[0]] @ stretch[near[0]])
    assert (found @ found.transpose(-1, -2) - torch.eye(3)).abs().max() < 0.05
    assert (found - turn[near[0]]).abs().mean() < 0.15


def angle_within(turn: torch.Tensor, limit: float) -> torch.Tensor:
    trace = turn.diagonal(dim1=-2, dim2=-1).sum(-1)
    return ((trace - 1) / 2).clamp(-1, 1).acos() < limit


def test_a_turn_is_continued_beyond_the_handles() -> None:
    generator = torch.Generator().manual_seed(3)
    points = torch.randn(1, 120, 3, generator=generator)
    points = 0.5 * points / points.norm(dim=-1, keepdim=True)
    angle = torch.tensor(0.6)
    turn = torch.tensor([[angle.cos(), 0, angle.sin()], [0, 1, 0], [-angle.sin(), 0, angle.cos()]])
    truth = points @ turn.T - points
    handles = 8
    present = torch.ones(1, handles, dtype=torch.bool)
    weight = graph_prior(points, torch.ones(1, 120, dtype=torch.bool)).weight.float()
    known = truth[:, None, -handles:]
    start = torch.zeros(1, 1, 120, 3)
    found = as_rigid_as_possible(points, weight, truth[:, None] * 0.8, known, present)
    assert (found[:, 0] - truth).norm(dim=-1).mean() < 0.85 * (0.2 * truth).norm(dim=-1).mean()
    held = as_rigid_as_possible(points, weight, start, known, present)
    assert (held[:, :, -handles:] - known).norm(dim=-1).max() < 0.02


def test_without_handles_the_start_is_returned() -> None:
    start = torch.randn(1, 2, 5, 3)
    found = as_rigid_as_possible(
        torch.randn(1, 5, 3), torch.ones(1, 5, 5), start, torch.zeros(1, 2, 0, 3), torch.zeros(1, 0, dtype=torch.bool)
    )
    assert torch.equal(found, start)


def test_common_and_nearest_motion_ignore_padding() -> None:
    known = torch.zeros(1, 2, 3, 3)
    known[:, :, 0], known[:, :, 1] = 1.0, 3.0
    present = torch.tensor([[True, True, False]])
    assert torch.allclose(common_motion(known, present), torch.full((1, 2, 1, 3), 2.0))
    affinity = torch.tensor([[[1.0, 0.1, 0.0], [0.1, 1.0, 0.0]]])
    near = nearest_motion(known, affinity)
    assert torch.allclose(near[0, 0, :, 0], torch.tensor([1.0, 3.0]), atol=1e-3)
