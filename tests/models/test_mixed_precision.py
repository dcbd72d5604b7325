"""Under bf16 autocast, what is solved for or becomes a target keeps float32; what is learned may be rounded."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from core.config import load_config
from core.diffusion.edm import EdmLoss
from core.models.diffusion_models import MotionDiffusion, build_motion_autoencoder, build_motion_diffusion
from core.models.warm_start import HandleCondition, smooth_noise, temporal_root, warm_start
from core.precision import full_precision


def autocast() -> torch.autocast:
    return torch.autocast("cpu", dtype=torch.bfloat16)


def nodes_and_handles(frames: int = 4, count: int = 48) -> tuple[Tensor, HandleCondition]:
    generator = torch.Generator().manual_seed(2)
    points = torch.randn(2, count, 3, generator=generator)
    nodes = 0.5 * points / points.norm(dim=-1, keepdim=True)
    keyframe_mask = torch.ones(2, frames, 5, dtype=torch.bool)
    displacement = 0.2 * torch.randn(2, frames, 5, 3, generator=generator)
    return nodes, HandleCondition(nodes[:, :5], displacement, keyframe_mask, torch.ones(2, 5, dtype=torch.bool))


def test_the_warm_start_is_the_same_under_autocast() -> None:
    nodes, handles = nodes_and_handles()
    plain = warm_start(nodes, 16, handles)
    with autocast():
        mixed = warm_start(nodes, 16, handles)
    for name, value in plain._asdict().items():
        ours = getattr(mixed, name)
        assert ours.dtype == torch.float32 and (ours - value).abs().max() < 1e-6, name


def test_noise_keeps_its_covariance_under_autocast() -> None:
    nodes, handles = nodes_and_handles()
    noise_cholesky = warm_start(nodes, 16, handles).noise_cholesky
    white = torch.randn(2, 4, 16, 3, generator=torch.Generator().manual_seed(0))
    plain = smooth_noise(white, noise_cholesky, temporal_root(4))
    with autocast():
        assert (smooth_noise(white, noise_cholesky, temporal_root(4)) - plain).abs().max() < 1e-6


def test_the_condition_and_its_whitening_are_the_same_under_autocast() -> None:
    config = load_config("tiny")
    torch.manual_seed(0)
    model: MotionDiffusion = build_motion_diffusion(config)
    nodes, handles = nodes_and_handles()
    shape = torch.randn(2, config.shape.latents, config.shape.channels)
    latents = 0.1 * torch.randn(2, 4, config.motion.latents, config.motion.channels)
    plain = model.prepare(shape, nodes, handles)
    with autocast():
        mixed = model.prepare(shape, nodes, handles)
        clean = model.whiten(latents, mixed.warm)
        noise = model.noise(clean, mixed.warm)
    assert plain.warm is not None and mixed.warm is not None
    assert (mixed.warm.mean - plain.warm.mean).abs().max() < 1e-6
    assert (clean - model.whiten(latents, plain.warm)).abs().max() < 1e-5 and clean.dtype == torch.float32
    assert (noise - model.noise(clean, plain.warm)).abs().max() < 1e-5
    assert mixed.prepared.fixed.dtype == torch.bfloat16 or (mixed.prepared.fixed - plain.prepared.fixed).abs().max() > 0


def test_the_loss_has_a_float32_target_and_a_bf16_network_learns_from_it() -> None:
    config = load_config("tiny").diffusion
    generator = torch.Generator().manual_seed(0)
    clean, noise = (torch.randn(3, 4, 8, 6, generator=generator) for _ in range(2))
    loss, layer = EdmLoss(config), torch.nn.Linear(6, 6)
    sigma, pure = loss.noise_levels(3, torch.device("cpu"), generator)
    nothing = lambda x, level: torch.zeros_like(x, dtype=torch.bfloat16)  # noqa: E731
    plain, _ = loss(lambda x, level: torch.zeros_like(x), clean, noise, sigma, pure)
    with autocast():
        assert torch.equal(loss(nothing, clean, noise, sigma, pure)[0], plain)
        each, _ = loss(lambda x, level: layer(x), clean, noise, sigma, pure)
        value = each.mean()
    value.backward()
    assert value.dtype == torch.float32 and layer.weight.grad is not None and layer.weight.grad.isfinite().all()


def test_the_affine_head_fits_and_blends_in_float32() -> None:
    """In bf16 rotations would be rounded, and blended positions off by 1/256."""
    config = load_config("tiny")
    torch.manual_seed(0)
    model = build_motion_autoencoder(config).eval()
    nodes, _ = nodes_and_handles()
    anchors = nodes[:, :16]
    turn = torch.linalg.matrix_exp(torch.tensor([[0.0, -0.4, 0.1], [0.4, 0.0, 0.0], [-0.1, 0.0, 0.0]]))
    latents = torch.zeros(2, 4, 16, config.motion.channels)
    latents[..., :3] = (anchors @ turn.T - anchors)[:, None]
    plain = model.head.fit_gradient(latents[..., :3], anchors)
    exact = model.query(model.context(latents, anchors), nodes)
    with autocast():
        assert (model.head.fit_gradient(latents[..., :3], anchors) - plain).abs().max() < 1e-6
        mixed = model.query(model.context(latents, anchors), nodes)
    assert mixed.dtype == torch.float32
    # An untrained head corrects nothing, so only the rounded weights of the blend may differ.
    assert (mixed - exact).abs().mean() < 3e-4


def test_full_precision_widens_tensors_in_tuples_and_leaves_the_rest() -> None:
    class Pair(NamedTuple):
        weight: Tensor
        name: str

    @full_precision
    def product(x: Tensor, pair: Pair, count: Tensor | None = None) -> Tensor:
        assert pair.name == "a" and (count is None or count.dtype == torch.int64)
        return x @ pair.weight

    x, weight = torch.randn(3, 3, dtype=torch.bfloat16), torch.randn(3, 3, dtype=torch.float16)
    with autocast():
        result = product(x, Pair(weight, "a"), count=torch.tensor(2))
        assert torch.is_autocast_enabled("cpu")
    assert torch.equal(result, x.float() @ weight.float())
    assert product(x.double(), Pair(weight.double(), "a")).dtype == torch.float64
