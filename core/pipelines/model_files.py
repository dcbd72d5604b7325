"""Loads the models of a preset, checks that they belong together, and places them on a device."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core.checkpoint import PART_DESCRIPTOR, Checkpoint, checkpoint_path, load_checkpoint
from core.config import Config
from core.errors import CheckpointError, M2VError
from core.models.diffusion_models import (
    build_motion_autoencoder,
    build_motion_diffusion,
    build_shape_autoencoder,
    build_shape_diffusion,
)
from core.models.part_descriptor import build_part_descriptor

BUILDERS: dict[str, Callable[[Config], nn.Module]] = {
    "shape-autoencoder": build_shape_autoencoder,
    "motion-autoencoder": build_motion_autoencoder,
    "shape-diffusion": build_shape_diffusion,
    "motion-diffusion": build_motion_diffusion,
    PART_DESCRIPTOR: build_part_descriptor,
}
# Which sections of the configuration a stage's network depends on.
SECTIONS = {
    "shape-autoencoder": ("shape",),
    "motion-autoencoder": ("motion",),
    "shape-diffusion": ("shape", "shape_denoiser", "conditions"),
    "motion-diffusion": ("shape", "motion", "motion_denoiser", "conditions"),
    PART_DESCRIPTOR: ("parts",),
}


def load_modules(
    preset: str, stages: Sequence[str], files_of: Mapping[str, Path] | None = None
) -> tuple[Config, list[Any]]:
    """Weights of a bundled preset by name, or of a folder with one file per stage; the last stage's configuration.

    `files_of` names files of stages that are to be read from elsewhere.

    Raises CheckpointError when a file is missing, damaged, of another version or made for another model.
    """
    paths = {stage: checkpoint_path(preset, stage) for stage in stages} | dict(files_of or {})
    files = [load_checkpoint(paths[stage], stage) for stage in stages]
    config = files[-1].config
    modules = []
    for stage, file in zip(stages, files, strict=True):
        _check_fit(file, files[-1], SECTIONS[stage])
        module = BUILDERS[stage](config)
        file.load_into(module)
        modules.append(module)
    return config, modules


def choose_device(name: str) -> torch.device:
    """auto, cpu, cuda or cuda:N as a device; raises M2VError when it is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise M2VError(f"There is no device {name!r}; choose auto, cpu or cuda.") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise M2VError("There is no CUDA device on this machine; choose cpu or auto.")
    return device


def _check_fit(part: Checkpoint, whole: Checkpoint, sections: Sequence[str]) -> None:
    """The diffusion was trained on the latents of certain autoencoders: their sections have to agree."""
    for section in sections:
        own, wanted = (dataclasses.asdict(getattr(item.config, section)) for item in (part, whole))
        changed = [key for key in wanted if own[key] != wanted[key] and not key.endswith("weight")]
        if changed:
            raise CheckpointError(
                f"{part.path} and {whole.path} belong to different models ({section}.{changed[0]} differs); "
                "use the files of one training."
            )
