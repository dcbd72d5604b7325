"""Autoencoders: what must hold whatever the weights are."""

from __future__ import annotations

import pytest
import torch

from core.config import MotionConfig, ShapeConfig
from core.models.affine_head import LocalMaps, differentiable_rotation
from core.models.layers import DiagonalGaussian
from core.models.motion_autoencoder import MotionAutoencoder
from core.models.shape_autoencoder import ShapeAutoencoder

SMALL = {"width": 32, "head_dim": 16, "layers": 1, "expansion": 2}


def shape_autoencoder(**changes) -> ShapeAutoencoder:
    torch.manual_seed(0)
    return ShapeAutoencoder(ShapeConfig(points=64, latents=16, channels=8, **SMALL, **changes)).eval()


def motion_autoencoder(**changes) -> MotionAutoencoder:
    torch.manual_seed(0)
    return MotionAutoencoder(MotionConfig(points=64, latents=16, neighbours=6, **SMALL, **changes)).eval()


@pytest.mark.parametrize("changes", [{}, {"explicit_anchor": True, "neighbours": 4, "encoder_neighbours": 6}])
def test_a_shape_is_a_set(changes: dict) -> None:
    """The order of the points and of the latents changes nothing."""
    network = shape_autoencoder(**changes)
    points, queries = torch.rand(2, 64, 3) - 0.5, torch.rand(2, 10, 3) - 0.5
    latents, _ = network.encode(points, points[:, :16])
    shuffled, _ = network.encode(points[:, torch.randperm(64)], points[:, :16])
    assert torch.allclose(latents, shuffled, atol=1e-5)
    answer = network.query(network.context(latents), queries)
    again = network.query(network.context(latents[:, torch.randperm(16)]), queries)
    assert torch.allclose(answer, again, atol=1e-4)


def test_explicit_anchors_are_the_first_channels() -> None:
    network = shape_autoencoder(explicit_anchor=True, neighbours=4, encoder_neighbours=6)
    points = torch.rand(1, 64, 3)
    latents, _ = network.encode(points, points[:, :16])
    assert torch.equal(latents[..., :3], points[:, :16])


@pytest.mark.parametrize(
    "changes",
    [
        {"channels": 8},
        {"channels": 3, "flow_head": "affine", "explicit_displacement": True},
        {"channels": 7, "flow_head": "affine", "explicit_displacement": True},
    ],
)
def test_motion_shapes(changes: dict) -> None:
    network = motion_autoencoder(**changes)
    rest = torch.rand(2, 64, 3)
    moved = rest[:, None] + 0.1 * torch.randn(2, 4, 64, 3)
    index = torch.arange(16).expand(2, 16)
    latents, kl = network.encode(rest, moved, index)
    assert latents.shape == (2, 4, 16, changes["channels"])
    assert torch.isfinite(kl)
    context = network.context(latents, rest[:, :16])
    assert network.query(context, torch.rand(2, 9, 3)).shape == (2, 4, 9, 3)


def rotation(angle: float) -> torch.Tensor:
    c, s = torch.cos(torch.tensor(angle)), torch.sin(torch.tensor(angle))
    return torch.tensor([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])


def test_untrained_affine_head_reproduces_rigid_motion() -> None:
    """The fitted local maps are exact for affine motion, so training starts from a good deformation."""
    network = motion_autoencoder(channels=3, flow_head="affine", explicit_displacement=True)
    rest = torch.rand(1, 64, 3) - 0.5
    turn = rotation(0.7)
    move = lambda x: x @ turn.T + torch.tensor([0.2, 0.0, -0.1])  # noqa: E731
    latents, _ = network.encode(rest, move(rest)[:, None], torch.arange(16)[None])
    queries = torch.rand(1, 20, 3) - 0.5
    predicted = network.query(network.context(latents, rest[:, :16]), queries)
    error = (predicted[:, 0] - move(queries)).norm(dim=-1)
    assert error.mean() < 0.02 and error.max() < 0.06
    assert error.mean() < 0.1 * (move(queries) - queries).norm(dim=-1).mean()


def still_maps(anchors: torch.Tensor, frames: int = 3) -> LocalMaps:
    linear = torch.eye(3).expand(*anchors.shape[:1], frames, anchors.shape[1], 3, 3)
    return LocalMaps(linear, torch.zeros(anchors.shape[0], frames, anchors.shape[1], 3))


def test_blend_weights_are_convex_and_local() -> None:
    network = motion_autoencoder(channels=3, flow_head="affine", explicit_displacement=True)
    anchors, queries = torch.rand(1, 16, 3), torch.rand(1, 30, 3)
    weights = network.head.blend_weights(still_maps(anchors), torch.randn(1, 16, 32), anchors, queries)
    assert torch.allclose(weights.sum(-1), torch.ones(1, 30), atol=1e-5)
    assert (weights >= 0).all() and ((weights > 0).sum(-1) <= 6).all()


def test_rotations_have_the_derivative_of_finite_differences() -> None:
    torch.manual_seed(0)
    covariance = (torch.randn(5, 3, 3, dtype=torch.float64) + 3 * torch.eye(3)).requires_grad_()
    direction, weight = torch.randn(5, 3, 3, dtype=torch.float64), torch.randn(5, 3, 3, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((differentiable_rotation(covariance) * weight).sum(), covariance)
    step = 1e-5
    with torch.no_grad():
        ahead, behind = (differentiable_rotation(covariance + sign * step * direction) for sign in (1, -1))
    slope = ((ahead - behind) * weight).sum(dim=(1, 2)) / (2 * step)
    assert torch.allclose((gradient * direction).sum(dim=(1, 2)), slope, rtol=2e-3, atol=1e-4)


def test_untrained_affine_head_keeps_parts_apart() -> None:
    """Two plates close to each other, of which one swings away: anchors know their part by the motion alone."""
    torch.manual_seed(0)
    network = motion_autoencoder(channels=3, flow_head="affine", explicit_displacement=True)
    below = torch.cat([torch.rand(1, 200, 2) - 0.5, torch.zeros(1, 200, 1)], dim=-1)
    above = torch.cat([torch.rand(1, 200, 2) - 0.5, torch.full((1, 200, 1), 0.2)], dim=-1)
    turns = torch.stack([rotation(angle) for angle in (0.3, 0.6, 0.9)])
    swing = lambda x: torch.einsum("tij,bqj->btqi", turns, x)  # noqa: E731
    stay = lambda x: x[:, None].expand(-1, 3, -1, -1)  # noqa: E731
    rest = torch.cat([below[:, :32], above[:, :32]], dim=1)
    moved = torch.cat([stay(below[:, :32]), swing(above[:, :32])], dim=2)
    context = network.context(moved - rest[:, None], rest)
    error_below = (network.query(context, below[:, 32:]) - stay(below[:, 32:])).norm(dim=-1)
    error_above = (network.query(context, above[:, 32:]) - swing(above[:, 32:])).norm(dim=-1)
    motion = (swing(above) - stay(above)).norm(dim=-1).mean()
    assert error_below.mean() < 0.05 * motion and error_above.mean() < 0.05 * motion


def test_kl_is_zero_for_a_unit_normal() -> None:
    assert DiagonalGaussian(torch.zeros(3, 4), torch.zeros(3, 4)).kl() == 0
    assert DiagonalGaussian(torch.ones(3, 4), torch.zeros(3, 4)).kl() == pytest.approx(0.5)
