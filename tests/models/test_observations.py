"""Each kind of observation changes what the denoisers answer, and hidden ones do not."""

import pytest
import torch

from core.config import load_config
from core.errors import ConfigError
from core.models.diffusion_models import build_motion_diffusion, build_shape_autoencoder, build_shape_diffusion
from core.models.observation_conditioners import ScanCondition, by_time_token
from core.models.shape_autoencoder import ShapeAutoencoder
from core.models.shape_diffusion import ShapeBody, ShapeDiffusion, ShapeObservation
from core.models.warm_start import HandleCondition

CONFIG = load_config("tiny")
BORROWING = load_config("tiny", ["shape_denoiser.borrowed=true"])
FRAMES = 4


def awake(module: torch.nn.Module) -> torch.nn.Module:
    """Zero-initialised layers would hide any condition."""
    generator = torch.Generator().manual_seed(1)
    for parameter in module.parameters():
        parameter.data = parameter.data + 0.05 * torch.randn(parameter.shape, generator=generator)
    return module.eval()


@pytest.fixture(scope="module")
def motion():
    torch.manual_seed(0)
    return awake(build_motion_diffusion(CONFIG))


@torch.no_grad()
def answer(motion, scans: ScanCondition | None) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    nodes = torch.rand(1, 32, 3, generator=generator) - 0.5
    handles = HandleCondition(
        nodes[:, :3],
        0.1 * torch.ones(1, FRAMES, 3, 3),
        torch.ones(1, FRAMES, 3, dtype=torch.bool),
        torch.ones(1, 3, dtype=torch.bool),
    )
    latents = torch.rand(1, CONFIG.shape.latents, CONFIG.shape.channels, generator=generator)
    condition = motion.prepare(latents, nodes, handles, scans)
    x = torch.randn(1, FRAMES, CONFIG.motion.latents, CONFIG.motion.channels, generator=generator)
    return motion.denoiser(x, torch.zeros(1), condition.prepared)


def scan(seed: int) -> ScanCondition:
    points = torch.rand(1, FRAMES, 20, 3, generator=torch.Generator().manual_seed(seed)) - 0.5
    return ScanCondition(points, torch.ones(1, FRAMES, 20, dtype=torch.bool))


def voxels(seed: int) -> ScanCondition:
    grid = torch.rand(1, FRAMES + 1, 32, 32, 32, generator=torch.Generator().manual_seed(seed)) < 0.1
    return ScanCondition(dense={"voxels": grid})


@pytest.mark.parametrize("observe", [scan, voxels])
def test_motion_hears_every_observation(motion, observe) -> None:
    first, second = answer(motion, observe(3)), answer(motion, observe(4))
    assert float((first - second).abs().max()) > 1e-4
    assert float((first - answer(motion, None)).abs().max()) > 1e-4


def test_absent_scan_points_say_nothing(motion) -> None:
    seen = scan(3)
    absent = torch.zeros_like(seen.present)
    with_none = answer(motion, seen._replace(present=absent))
    assert torch.allclose(with_none, answer(motion, scan(4)._replace(present=absent)), atol=1e-6)


def shape_observation(kind: str, seed: int) -> ShapeObservation:
    generator = torch.Generator().manual_seed(seed)
    points = torch.nn.functional.normalize(torch.randn(1, 40, 3, generator=generator), dim=-1) * 0.5
    present = torch.ones(1, 40, dtype=torch.bool)
    chosen = torch.arange(8)[None]
    if kind == "points":
        return ShapeObservation.of(points, present, CONFIG.shape.latents, chosen)
    grid = torch.rand(1, 1, 32, 32, 32, generator=generator)
    return ShapeObservation.of(points * 0 + 0.1, present, CONFIG.shape.latents, chosen, {"voxels": grid})


@pytest.mark.parametrize("kind", ["points", "voxels"])
@torch.no_grad()
def test_shape_hears_every_observation(kind: str) -> None:
    torch.manual_seed(0)
    shape, autoencoder = awake(build_shape_diffusion(CONFIG)), awake(build_shape_autoencoder(CONFIG))
    x = torch.randn(1, CONFIG.shape.latents, CONFIG.shape.channels, generator=torch.Generator().manual_seed(9))
    answers = []
    for seed in (1, 2):
        prepared = shape.prepare(shape_observation(kind, seed).guessed(autoencoder))
        answers.append(shape.denoiser(x, torch.zeros(1), prepared.network))
    assert float((answers[0] - answers[1]).abs().max()) > 1e-4


def test_seen_latents_are_whitened_around_what_is_observed() -> None:
    torch.manual_seed(0)
    shape, autoencoder = build_shape_diffusion(CONFIG), build_shape_autoencoder(CONFIG).eval()
    observed = shape_observation("points", 1).guessed(autoencoder)
    prepared = shape.prepare(observed)
    latents = prepared.unwhiten(torch.zeros(1, CONFIG.shape.latents, CONFIG.shape.channels))
    assert torch.allclose(latents[:, :8, :3], observed.points[:, :8])
    assert torch.allclose(latents[:, 8:, :3], observed.points[:, :8]), "unseen ones begin at the seen ones"
    assert torch.allclose(prepared.whiten(prepared.unwhiten(latents)), latents, atol=1e-4)


def sphere_body(present: bool = True) -> ShapeBody:
    normals = torch.nn.functional.normalize(torch.randn(1, 200, 3, generator=torch.Generator().manual_seed(5)), dim=-1)
    return ShapeBody(0.45 * normals, normals, torch.tensor([0.01]), torch.tensor([present]))


def borrowing() -> tuple[ShapeDiffusion, ShapeAutoencoder]:
    torch.manual_seed(0)
    return build_shape_diffusion(BORROWING), build_shape_autoencoder(CONFIG).eval()


def test_unseen_latents_sit_on_a_body_and_untrained_are_its_encoding() -> None:
    shape, autoencoder = borrowing()
    observed = shape_observation("points", 1).completed(sphere_body()).guessed(autoencoder)
    assert observed.borrowed[0].tolist() == [False] * 8 + [True] * (CONFIG.shape.latents - 8)
    places = observed.anchors[0, 8:]
    assert torch.allclose(places.norm(dim=-1), torch.tensor(0.45)), "on the body"
    assert float(torch.cdist(places, observed.anchors[0, :8]).min()) > 0.1, "away from what is seen"
    prepared = shape.prepare(observed)
    x = torch.randn(1, CONFIG.shape.latents, CONFIG.shape.channels)
    answer = prepared.unwhiten(shape.denoiser(x, torch.zeros(1), prepared.network))
    assert torch.allclose(answer[0, 8:], observed.guess[0, 8:])


@torch.no_grad()
def test_a_body_is_heard_with_its_misfit_and_not_where_none_fits() -> None:
    shape, autoencoder = borrowing()
    awake(shape)
    x = torch.randn(1, CONFIG.shape.latents, CONFIG.shape.channels, generator=torch.Generator().manual_seed(9))

    def answer(body: ShapeBody | None) -> torch.Tensor:
        observed = shape_observation("points", 1)
        prepared = shape.prepare((observed if body is None else observed.completed(body)).guessed(autoencoder))
        return prepared.unwhiten(shape.denoiser(x, torch.zeros(1), prepared.network))

    fitting, none = answer(sphere_body()), answer(None)
    assert float((answer(sphere_body()._replace(misfit=torch.tensor([0.1]))) - fitting).abs().max()) > 1e-4
    assert float((fitting - none).abs().max()) > 1e-2
    assert torch.equal(answer(sphere_body(present=False)), none)


def test_grids_are_grouped_with_the_rest_frame() -> None:
    frames = torch.arange(5.0).view(1, 5, 1)
    assert by_time_token(frames, 2)[..., 0].tolist() == [[0, 1, 2], [0, 3, 4]]


def test_longer_conditions_repeat_the_last_frame_unseen() -> None:
    longer = scan(3).extended(6)
    assert longer.points.shape[1] == 6
    assert not bool(longer.present[:, FRAMES:].any())
    assert bool(longer.present[:, :FRAMES].all())
    assert voxels(3).extended(6).dense["voxels"].shape[1] == 7


def test_settings_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match="explicit_anchor"):
        build_shape_diffusion(load_config("paper", ["conditions.observed_anchors=true"]))
    with pytest.raises(ConfigError, match="observed_anchors"):
        build_shape_diffusion(load_config("paper", ["shape_denoiser.borrowed=true"]))
    with pytest.raises(ConfigError, match="warm_start"):
        build_motion_diffusion(load_config("paper", ["conditions.scan_channels=8"]))
