"""Classical guesses: rotations are rotations, and a turned shape is found from its handles."""

from __future__ import annotations

import pytest
import torch

from core.models.deformation_priors import as_rigid_as_possible, common_motion, nearest_motion, polar_rotation
from core.models.warm_start import graph_prior


def rotations(count: int) -> torch.Tensor:
    q, _ = torch.linalg.qr(torch.randn(count, 3, 3))
    return q * torch.linalg.det(q)[:, None, None]


def nearest_rotation(matrix: torch.Tensor) -> torch.Tensor:
    """The proper rotation next to each matrix, by singular values in double precision."""
    u, _, vh = torch.linalg.svd(matrix.double())
    signs = torch.ones(len(matrix), 3, dtype=torch.float64)
    signs[:, 2] = torch.linalg.det(u @ vh)
    return (u @ torch.diag_embed(signs) @ vh).float()


@pytest.mark.parametrize(
    "stretch",
    [(1.0, 0.7, 0.4), (1.0, 0.6, 0.0), (1.0, 0.05, 0.0), (1.0, 0.5, -0.2)],
    ids=["solid", "flat", "nearly a line", "mirrored"],
)
def test_polar_rotation_is_the_nearest_rotation(stretch: tuple[float, float, float]) -> None:
    torch.manual_seed(0)
    scales = torch.tensor(stretch) * (1 + 0.3 * torch.rand(500, 3))
    axes = rotations(500)
    matrix = rotations(500) @ axes @ torch.diag_embed(scales) @ axes.transpose(-1, -2)
    found = polar_rotation(matrix)
    assert (found @ found.transpose(-1, -2) - torch.eye(3)).abs().max() < 1e-5
    assert (torch.linalg.det(found) - 1).abs().max() < 1e-5
    assert (found - nearest_rotation(matrix)).abs().max() < 5e-3


def test_polar_rotation_of_nothing_is_no_turn() -> None:
    assert torch.allclose(polar_rotation(torch.zeros(2, 3, 3)), torch.eye(3).expand(2, 3, 3))


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
