"""Shape latents are sampled given what was observed, and on the body that was bent to it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from core.config import Config, load_config
from core.models.diffusion_models import build_shape_autoencoder, build_shape_diffusion
from core.models.shape_diffusion import ShapeObservation
from core.pipelines.body_fit import FittedBody
from core.pipelines.request import SamplingOptions
from core.pipelines.shape_sampling import sample_shapes

SEEN = 6


def observation(config: Config) -> ShapeObservation:
    """The top of a ball."""
    points = torch.nn.functional.normalize(torch.randn(1, 30, 3, generator=torch.Generator().manual_seed(1)), dim=-1)
    points = 0.5 * points * torch.tensor([1.0, 0.3, 1.0]) + torch.tensor([0.0, 0.3, 0.0])
    return ShapeObservation.of(
        points, torch.ones(1, 30, dtype=torch.bool), config.shape.latents, torch.arange(SEEN)[None]
    )


def ball() -> FittedBody:
    mesh = trimesh.creation.icosphere(2, radius=0.4)
    return FittedBody("ball", np.asarray(mesh.vertices), np.asarray(mesh.faces), 0.01)


@pytest.mark.parametrize("quality", ["draft", "normal"])
@torch.inference_mode()
def test_unseen_latents_are_about_the_body_only_where_the_model_learned_to_borrow(quality: str) -> None:
    answers = {}
    for borrowed in (True, False):
        config = load_config("tiny", [f"shape_denoiser.borrowed={str(borrowed).lower()}"])
        with torch.random.fork_rng():
            torch.manual_seed(3)
            model, autoencoder = build_shape_diffusion(config).eval(), build_shape_autoencoder(config).eval()
        sampling, calls = SamplingOptions(seeds=2, quality=quality, steps=3), []
        for body in (None, ball()):
            count = lambda calls=calls: calls.append(1)  # noqa: E731
            answers[borrowed, body is not None] = sample_shapes(
                model, autoencoder, config, observation(config), [0, 1], sampling, count, body
            )
        assert len(calls) >= 2, "between calls one may cancel"
    assert torch.equal(answers[False, True], answers[False, False])
    away = {key: (latents[:, SEEN:, :3].norm(dim=-1) - 0.4).abs().mean() for key, latents in answers.items()}
    assert away[True, True] < 0.1 < away[True, False]
