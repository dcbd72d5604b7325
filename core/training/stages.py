"""Trains the stages in order, in one folder that later runs continue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from core.assets import asset_path
from core.atomic import check_writable, remove_unfinished
from core.bank.library import MotionLibrary
from core.checkpoint import EVERY_STAGE, PART_DESCRIPTOR, STAGES, checkpoint_path, load_checkpoint
from core.config import Config
from core.data.clips import ClipSource
from core.errors import CheckpointError
from core.models.diffusion_models import build_motion_autoencoder, build_shape_autoencoder
from core.models.motion_autoencoder import MotionAutoencoder
from core.models.part_descriptor import build_part_descriptor
from core.models.shape_autoencoder import ShapeAutoencoder
from core.training.loop import Budget, OnCheck, Report, make_accelerator, train_stage
from core.training.motion_objective import Lenders, MotionDiffusionObjective
from core.training.objectives import MotionAutoencoderObjective, Objective, ShapeAutoencoderObjective
from core.training.part_views import PartViewSource
from core.training.parts_objective import PartsObjective
from core.training.shape_objective import ShapeDiffusionObjective
from core.training.sources import MixedSource
from core.training.start import Say, bring_other_stages, check_weights_exist, say_on_error_stream


def trained_shape_autoencoder(config: Config, folder: Path) -> ShapeAutoencoder:
    """The shape autoencoder trained in `folder`. Raises CheckpointError if there is none yet."""
    module = build_shape_autoencoder(config)
    load_checkpoint(folder / f"{STAGES[0]}.safetensors", STAGES[0]).load_into(module)
    return module


def trained_motion_autoencoder(config: Config, folder: Path) -> MotionAutoencoder:
    """The motion autoencoder trained in `folder`; without learned channels it needs no training."""
    module = build_motion_autoencoder(config)
    path = folder / f"{STAGES[1]}.safetensors"
    if module.learned or path.exists():
        load_checkpoint(path, STAGES[1]).load_into(module)
    return module


def lenders(config: Config, folder: Path) -> Lenders | None:
    """The bank `data.bank` and the part descriptor of `folder`; None if either is missing."""
    if not config.motion_denoiser.borrowed or not config.data.bank:
        return None
    network = build_part_descriptor(config)
    load_checkpoint(folder / f"{PART_DESCRIPTOR}.safetensors", PART_DESCRIPTOR).load_into(network)
    bank = asset_path("bank", "motions.safetensors") if config.data.bank == "bundled" else Path(config.data.bank)
    return Lenders(MotionLibrary.load(bank), network)


def build_objective(stage: str, config: Config, folder: Path) -> Objective:
    """A stage's objective, with the earlier stages that it needs read from `folder`. Raises CheckpointError."""
    if stage == "shape-autoencoder":
        return ShapeAutoencoderObjective(config)
    if stage == "motion-autoencoder":
        return MotionAutoencoderObjective(config)
    if stage == "shape-diffusion":
        return ShapeDiffusionObjective(config, trained_shape_autoencoder(config, folder))
    if stage == "motion-diffusion":
        return MotionDiffusionObjective(
            config,
            trained_shape_autoencoder(config, folder),
            trained_motion_autoencoder(config, folder),
            lenders(config, folder),
        )
    if stage == PART_DESCRIPTOR:
        return PartsObjective(config)
    raise CheckpointError(f"There is no stage {stage!r}; choose one of {', '.join(EVERY_STAGE)}.")


def train(
    stages: Sequence[str],
    config: Config,
    folder: Path,
    steps: int | None = None,
    minutes: float | None = None,
    seed: int = 0,
    on_step: Callable[[Report], None] | None = None,
    on_check: OnCheck | None = None,
    source: ClipSource | None = None,
    minutes_between_checks: float = 3.0,
    weights: Sequence[str] = (),
    say: Say = say_on_error_stream,
) -> list[dict[str, Any]]:
    """Train the named stages one after the other; several stages divide the minutes by `training.shares`.

    Stages without a state in `folder` begin with `weights`, folders or presets, or the mean of several. Stages that
    this run does not train are copied from the first of them (`core.training.start`).
    """
    accelerator: Accelerator = make_accelerator(config)
    if weights:
        check_weights_exist(stages, weights)
    check_writable(folder, make=True)
    remove_unfinished(folder)
    if source is None:
        with accelerator.main_process_first():  # the first one prepares the rigs, if necessary
            if list(stages) == [PART_DESCRIPTOR]:
                source = PartViewSource(config.data.rigs)
            else:
                source = MixedSource(config.data, accelerator.device)
    shares = {stage: config.training.shares[STAGES.index(stage)] if len(stages) > 1 else 1.0 for stage in stages}
    if weights:
        with accelerator.main_process_first():
            bring_other_stages([stage for stage in stages if shares[stage] > 0], folder, weights[0])
    records = []
    for stage in stages:
        if shares[stage] <= 0:
            continue
        budget = Budget(steps, None if minutes is None else minutes * shares[stage] / sum(shares.values()))
        torch.manual_seed(seed)  # the same initial weights in every process and run with this seed
        objective = build_objective(stage, config, folder)
        records.append(
            train_stage(
                stage,
                objective,
                source,
                config,
                budget,
                folder,
                seed,
                on_step,
                minutes_between_checks,
                on_check,
                accelerator,
                [name for name in weights if checkpoint_path(name, stage).is_file()],
                say,
            )
        )
    return records
