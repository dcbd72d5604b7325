"""The presets: published sizes, frame-permutation equivariance, strict loading."""

from __future__ import annotations

import pytest
import torch

from core.config import Config, config_from_dict, config_to_dict, load_config, preset_names
from core.errors import ConfigError
from core.models.conditioners import ConditionTokens
from core.models.denoisers import MotionDenoiser
from core.models.diffusion_models import (
    build_motion_autoencoder,
    build_motion_diffusion,
    build_shape_autoencoder,
    build_shape_diffusion,
)

BUILDERS = {
    "shape autoencoder": (build_shape_autoencoder, 106e6),
    "motion autoencoder": (build_motion_autoencoder, 106e6),
    "shape denoiser": (build_shape_diffusion, 87e6),
    "motion denoiser": (build_motion_diffusion, 124e6),
}


@pytest.mark.parametrize("name", BUILDERS)
def test_paper_preset_has_the_published_parameter_counts(name: str) -> None:
    build, published = BUILDERS[name]
    with torch.device("meta"):
        count = sum(p.numel() for p in build(load_config("paper")).parameters())
    assert count == pytest.approx(published, rel=0.02)


def test_base_has_26_million_parameters_and_fits_its_files() -> None:
    with torch.device("meta"):
        stages = [build(load_config("base")) for build, _ in BUILDERS.values()]
    total = sum(p.numel() for stage in stages for p in stage.parameters())
    assert total == pytest.approx(26e6, rel=0.06)
    for stage in stages:  # float16, with room for the header and its training record
        assert 2 * sum(tensor.numel() for tensor in stage.state_dict().values()) < 14.8e6


def permutation_error(time_embedding: str) -> float:
    config = load_config(
        "paper",
        [
            "motion_denoiser.width=32",
            "motion_denoiser.blocks=2",
            "motion_denoiser.head_dim=16",
            "motion_denoiser.noise_width=16",
            f"motion_denoiser.time_embedding={time_embedding}",
        ],
    )
    torch.manual_seed(0)
    network = MotionDenoiser(config.motion_denoiser, 6, 4, with_prior_features=False).eval()
    torch.nn.init.normal_(network.output.weight)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    frames, order = 5, torch.tensor([3, 0, 4, 1, 2])
    x, shape, anchors = torch.randn(1, frames, 7, 6), torch.randn(1, 7, 4), torch.randn(1, 7, 3)
    tokens, visible = torch.randn(1, frames, 3, 32), torch.ones(1, frames, 3, dtype=torch.bool)
    level = torch.zeros(1)
    straight = network(x, level, network.prepare(shape, anchors, ConditionTokens(tokens, visible)))
    condition = ConditionTokens(tokens[:, order], visible[:, order])
    permuted = network(x[:, order], level, network.prepare(shape, anchors, condition))
    with torch.no_grad():
        error = permuted - straight[:, order]
        return float(error.abs().max() / straight.abs().max())


def test_without_time_embedding_the_motion_denoiser_does_not_see_frame_order() -> None:
    assert permutation_error("none") < 1e-4


def test_with_time_embedding_it_does() -> None:
    assert permutation_error("sinusoidal") > 1e-2


def test_the_shipped_preset_has_a_time_embedding() -> None:
    assert load_config("small").motion_denoiser.time_embedding == "sinusoidal"


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_loads_and_survives_a_round_trip(name: str) -> None:
    config = load_config(name)
    assert config.name == name
    assert config_from_dict(config_to_dict(config)) == config


def test_unknown_key_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"'motion\.latent' is unknown; did you mean 'latents'"):
        config_from_dict({"motion": {"latent": 3}})


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({"training": {"batch": "many"}}, "training.batch"),
        ({"training": {"batch": True}}, "training.batch"),
        ({"diffusion": {"noise": "pink"}}, "white, smooth"),
        ({"training": {"shares": [1, 2]}}, "4 values"),
        ({"shape": 3}, "shape must contain"),
    ],
)
def test_wrong_values_are_named(tree: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        config_from_dict(tree)


def test_overrides() -> None:
    config = load_config("tiny", ["training.learning_rate=1e-5", "motion.channels=9"])
    assert (config.training.learning_rate, config.motion.channels) == (1e-5, 9)
    for bad in ("training.batch", "training.batch.more=1", "=3", "training.batch=[1"):
        with pytest.raises(ConfigError):
            load_config("tiny", [bad])


def test_missing_preset_and_file(tmp_path) -> None:
    with pytest.raises(ConfigError, match="choose one of"):
        load_config("enormous")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(str(tmp_path / "nothing.yaml"))
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [1,", encoding="utf-8")
    with pytest.raises(ConfigError, match="not valid YAML"):
        load_config(str(broken))


def test_defaults_are_the_published_design() -> None:
    config, paper = Config(), load_config("paper")
    assert (config.shape, config.motion_denoiser) == (paper.shape, paper.motion_denoiser)
