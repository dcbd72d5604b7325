"""Diffusion on problems with a known answer: a Gaussian, whose ideal denoiser is linear."""

from __future__ import annotations

import pytest
import torch

from core.config import DiffusionConfig
from core.diffusion.edm import EdmLoss, noise_schedule, precondition
from core.diffusion.samplers import heun, multistep, posterior_mean
from core.scalings import scalings

CONFIG = DiffusionConfig(sigma_min=0.002, sigma_max=80.0)
MEAN, STD = 0.7, 0.5


def ideal(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    s = sigma.view(-1, 1)
    return (STD**2 * x + s**2 * MEAN) / (STD**2 + s**2)


def test_schedule_falls_from_sigma_max_to_zero() -> None:
    sigmas = noise_schedule(18, CONFIG)
    assert sigmas[0] == pytest.approx(80.0) and sigmas[-2] == pytest.approx(0.002) and sigmas[-1] == 0
    assert (sigmas[1:] < sigmas[:-1]).all()
    assert noise_schedule(1, CONFIG).tolist() == [80.0, 0.0]


@pytest.mark.parametrize(("sampler", "steps"), [(heun, 60), (multistep, 100)])
def test_samplers_reach_the_distribution(sampler, steps: int) -> None:
    noise = torch.randn(20_000, 1, generator=torch.Generator().manual_seed(0))
    sample = sampler(ideal, noise, noise_schedule(steps, CONFIG))
    assert float(sample.mean()) == pytest.approx(MEAN, abs=0.02)
    assert float(sample.std()) == pytest.approx(STD, rel=0.02)


@pytest.mark.parametrize("sampler", [heun, multistep])
def test_no_sampler_waits_for_the_device(sampler) -> None:
    """The meta device stands in for a GPU: it computes shapes only, and reading a number from it fails."""
    noise = torch.zeros(2, 1, device="meta")
    with pytest.raises(RuntimeError):
        noise.sum().item()
    assert sampler(ideal, noise, noise_schedule(6, CONFIG)).device.type == "meta"
    assert posterior_mean(ideal, noise, CONFIG.sigma_max).shape == noise.shape


def test_samplers_agree_with_each_other_in_the_limit() -> None:
    noise = torch.randn(50, 1)
    fine = heun(ideal, noise, noise_schedule(200, CONFIG))
    assert torch.allclose(multistep(ideal, noise, noise_schedule(200, CONFIG)), fine, atol=5e-3)


def test_calls_are_counted_and_can_be_cancelled() -> None:
    calls = []
    heun(ideal, torch.randn(3, 1), noise_schedule(18, CONFIG), lambda done, total, _: calls.append((done, total)))
    assert calls == [(n, 35) for n in range(1, 36)]

    def stop(done: int, total: int, estimate: torch.Tensor) -> None:
        if done == 2:
            raise KeyError

    with pytest.raises(KeyError):
        multistep(ideal, torch.randn(3, 1), noise_schedule(8, CONFIG), stop)


def test_posterior_mean_is_the_mean() -> None:
    assert torch.allclose(posterior_mean(ideal, torch.randn(9, 1), 80.0), torch.tensor(MEAN), atol=0.02)


def test_loss_of_the_ideal_network_is_the_posterior_variance() -> None:
    """With unit data the ideal F has a loss of 1 at every noise level on average: nothing is weighted away."""
    config = DiffusionConfig(posterior_mean_fraction=0.0)
    generator = torch.Generator().manual_seed(0)
    clean = torch.randn(50_000, 1, generator=generator)
    noise = torch.randn(50_000, 1, generator=generator)
    sigma, pure = EdmLoss(config).noise_levels(50_000, clean.device, generator)
    loss, _ = EdmLoss(config)(lambda x, level: torch.zeros_like(x), clean, noise, sigma, pure)
    assert float(loss.mean()) == pytest.approx(1.0, rel=0.03)


def test_pure_noise_examples_do_not_see_the_sample() -> None:
    config = DiffusionConfig(posterior_mean_fraction=1.0)
    seen = []
    clean, noise = torch.full((4, 2), 1e6), torch.randn(4, 2)
    sigma, pure = EdmLoss(config).noise_levels(4, clean.device, torch.Generator().manual_seed(0))
    EdmLoss(config)(lambda x, level: seen.append(x) or x, clean, noise, sigma, pure)
    assert pure.all() and float(seen[0].abs().max()) < 10


def test_preconditioning_limits() -> None:
    c_skip, c_out, c_in, _ = scalings(torch.tensor([1e-6, 1e6]), 1.0)
    assert c_skip[0] == pytest.approx(1) and c_out[0] == pytest.approx(0, abs=1e-5)
    assert c_skip[1] == pytest.approx(0, abs=1e-9) and c_in[1] == pytest.approx(1e-6)
    keep = precondition(lambda x, level: torch.zeros_like(x), CONFIG)
    x = torch.randn(1, 3)
    assert torch.allclose(keep(x, torch.tensor([1e-4])), x, atol=1e-6)
