"""Every stage learns a few clips by heart: a network, loss or data path that is broken does not."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jaxtyping
import pytest
import torch

from core.checkpoint import PART_DESCRIPTOR, STAGES, save_checkpoint
from core.config import Config, load_config, preset_names
from core.data.clips import ClipBatch
from core.models.part_descriptor import build_part_descriptor
from core.observation_kinds import LEARNED
from core.training.loop import averaged_check
from core.training.motion_objective import MotionDiffusionObjective
from core.training.objectives import Figures
from core.training.shape_objective import ShapeDiffusionObjective
from core.training.stages import build_objective, train
from core.training.state import AveragedWeights
from core.training.tasks import TASK_KINDS
from tests.training.fixed import FixedClips, FixedFits, tiny


@pytest.fixture(autouse=True)
def few_check_clips(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the clips show is drawn anew each time; the check of motion sees it in every way, and takes longest."""
    monkeypatch.setattr("core.training.loop.CHECK_CLIPS", 4 if "motion_diffusion" in request.node.name else 16)


FAST = {"ema_decay": 0.95, "learning_rate": 5e-3}


@contextmanager
def unchecked_shapes() -> Iterator[None]:
    """No run-time checks of array shapes, which take a third of the time; the test of gradients has them."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


@unchecked_shapes()
def learn(
    stage: str, config: Config, folder: Path, steps: int, source: FixedClips | None = None
) -> tuple[Figures, Figures]:
    """Held-out figures before and after; held out are the training clips here."""
    source = source or FixedClips()
    earlier = {"shape-diffusion": STAGES[:1], "motion-diffusion": STAGES[:2]}.get(stage, ())
    train(earlier, config, folder, steps=1, source=source)
    torch.manual_seed(0)
    objective = build_objective(stage, config, folder)
    generator = torch.Generator().manual_seed(0)
    objective.fit_statistics(objective.draw(source, 4 * config.training.batch, generator, "train"), generator)
    before = averaged_check(objective, AveragedWeights(objective.trained, 0.9), source, config, torch.device("cpu"))
    (record,) = train([stage], config, folder, steps=steps, source=source)
    return before, record["checks"][-1]


PUBLISHED_SHAPE = {"explicit_anchor": False, "neighbours": 0, "encoder_neighbours": 0, "normals": False}


@pytest.mark.parametrize("shape", [{}, PUBLISHED_SHAPE], ids=["ours", "published"])
def test_shape_autoencoder(tmp_path: Path, shape: dict[str, object]) -> None:
    config = tiny(training=FAST | {"occupancy_queries": 256}, shape=shape)
    before, after = learn("shape-autoencoder", config, tmp_path, 150)
    assert after["iou"] > before["iou"] + 0.3
    assert after["near_accuracy"] > before["near_accuracy"]


@pytest.mark.parametrize(
    "motion",
    [
        {"channels": 3},
        {"channels": 6},
        {"channels": 8, "explicit_displacement": False, "flow_head": "absolute"},
    ],
    ids=["displacements only", "learned channels", "published"],
)
def test_motion_autoencoder(tmp_path: Path, motion: dict[str, object]) -> None:
    before, after = learn("motion-autoencoder", tiny(training=FAST, motion=motion), tmp_path, 120)
    assert after["vertex_error"] < 0.35 * before["vertex_error"]
    assert after["vertex_error"] < 0.5 * after["motion"]


def only(kind: str, prefix: str = "") -> dict[str, object]:
    """Task shares with this kind alone."""
    own = tuple(LEARNED) if prefix else TASK_KINDS
    return {prefix + name: float(name == kind) for name in own}


@pytest.mark.parametrize("kind", ["tracked", "scans", "voxels"])
def test_shape_diffusion(tmp_path: Path, kind: str) -> None:
    diffusion = {"posterior_mean_fraction": 0.0}
    config = tiny(training=FAST, diffusion=diffusion, tasks=only(kind, "shape_"))
    before, after = learn("shape-diffusion", config, tmp_path, 80)
    # The observations' noise is new in every step, so the clips cannot be learned quite by heart.
    assert after[f"loss_{kind}"] < 0.95 * before[f"loss_{kind}"]
    if kind == "tracked":  # the others say too little for a surface within so few steps
        assert after[f"iou_{kind}"] > before[f"iou_{kind}"]


def test_shape_diffusion_on_a_body(tmp_path: Path) -> None:
    """What was not seen is known from the body, so that nearly all of it can be learned."""
    config = tiny(
        training=FAST,
        diffusion={"posterior_mean_fraction": 0.5},
        tasks=only("scans", "shape_"),
        shape_denoiser={"borrowed": True},
    )
    before, after = learn("shape-diffusion", config, tmp_path, 80, FixedFits())
    assert after["loss_scans_with_body"] < 0.9 * before["loss_scans_with_body"]
    assert after["loss_scans_with_body"] < after["loss_scans_without_body"]
    assert after["iou_scans_with_body"] > after["iou_scans_without_body"]


def test_motion_diffusion_improves_on_its_warm_start(tmp_path: Path) -> None:
    """Judged by one call on pure noise, so that alone is trained here: untrained it gives the as-rigid guess."""
    tasks = {"keyframes": 0.0, "last_frame": 0.0, "mixed": 0.0, "nothing": 0.0, "fewest_handles": 6} | only("handles")
    config = tiny(
        training=FAST | {"learning_rate": 1e-2},
        diffusion={"posterior_mean_fraction": 1.0},
        tasks=tasks,
    )
    before, after = learn("motion-diffusion", config, tmp_path, 80)
    for task in ("full_10", "full_3"):
        assert before[f"{task}_over_rigid"] == pytest.approx(1, abs=0.05)
        assert after[f"{task}_over_rigid"] < 0.9
        assert after[f"{task}_ratio"] < 0.9 * before[f"{task}_ratio"]
    assert after["loss"] < 0.6 * before["loss"]


def test_motion_diffusion_from_scans(tmp_path: Path) -> None:
    before, after = learn("motion-diffusion", tiny(training=FAST | {"reuse": 4}, tasks=only("scans")), tmp_path, 60)
    assert after["scans_ratio"] < 0.9 * before["scans_ratio"]


def test_motion_diffusion_without_warm_start(tmp_path: Path) -> None:
    config = tiny(
        training=FAST,
        diffusion={"warm_start": False, "noise": "white"},
        motion_denoiser={"geometric_attention": False, "output_directions": False},
        conditions={"scan_channels": 0},
        tasks=only("handles"),
    )
    before, after = learn("motion-diffusion", config, tmp_path, 80)
    assert after["full_10_error"] < before["full_10_error"]
    assert after["loss"] < 0.85 * before["loss"]


@pytest.mark.parametrize("preset", preset_names())
@pytest.mark.parametrize("stage", STAGES)
def test_every_weight_of_every_preset_gets_a_gradient(tmp_path: Path, preset: str, stage: str) -> None:
    """An idle weight is dead in a file that ships, and stops training on several processes."""
    small, full = load_config("tiny"), load_config(preset)
    sizes = ("points", "latents", "width", "head_dim", "layers", "blocks", "noise_width", "expansion")

    def shrunk(section: str) -> object:
        own, tiny_one = getattr(full, section), getattr(small, section)
        return dataclasses.replace(own, **{name: getattr(tiny_one, name) for name in sizes if hasattr(own, name)})

    config = dataclasses.replace(
        full,
        **{section: shrunk(section) for section in ("shape", "motion", "shape_denoiser", "motion_denoiser")},
        training=dataclasses.replace(small.training, frames=1 + 2 * full.motion_denoiser.frames_per_token),
        diffusion=dataclasses.replace(full.diffusion, warm_start_nodes=16),
    )
    for earlier in STAGES[: {"shape-diffusion": 1, "motion-diffusion": 2}.get(stage, 0)]:
        train([earlier], config, tmp_path, steps=1, source=FixedClips())
    if config.motion_denoiser.borrowed:
        save_checkpoint(
            tmp_path / f"{PART_DESCRIPTOR}.safetensors",
            PART_DESCRIPTOR,
            config,
            build_part_descriptor(config).state_dict(),
            {},
        )
    objective = build_objective(stage, config, tmp_path)
    generator = torch.Generator().manual_seed(0)
    clips = objective.draw(FixedClips(), 2, generator, "train")
    objective.fit_statistics(clips, generator)
    if isinstance(objective, ShapeDiffusionObjective | MotionDiffusionObjective):
        # A block of clips uses the weights of its own task only; the forward pass touches the others for good measure.
        prefix = "shape_" if stage == "shape-diffusion" else ""
        kinds = [kind for kind in TASK_KINDS if getattr(config.tasks, prefix + kind, 0.0) > 0]
        for kind in kinds:
            _loss_of(objective, kind, clips, generator).backward()
        if stage == "shape-diffusion" and config.shape_denoiser.borrowed:
            fitted = objective.draw(FixedFits(), 2, generator, "train")
            objective(objective.example(fitted, generator), generator)[0].backward()
    else:
        objective(objective.example(clips, generator), generator)[0].backward()
    assert [name for name, weight in objective.trained.named_parameters() if weight.grad is None] == []


def _loss_of(
    objective: ShapeDiffusionObjective | MotionDiffusionObjective,
    kind: str,
    clips: ClipBatch,
    generator: torch.Generator,
) -> torch.Tensor:
    if isinstance(objective, ShapeDiffusionObjective):
        return objective.loss_of(objective.example_of(kind, clips, generator), generator)
    return objective.loss_of(objective.example_of(kind, clips, generator), generator)[0]
