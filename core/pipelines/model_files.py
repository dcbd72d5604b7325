"""Loads the models of a preset and checks that they belong together."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from core.checkpoint import PART_DESCRIPTOR, SECTIONS, Checkpoint, checkpoint_path, load_checkpoint
from core.config import Config
from core.errors import CheckpointError
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


def load_modules(
    preset: str, stages: Sequence[str], files_of: Mapping[str, Path] | None = None
) -> tuple[Config, list[Any]]:
    """The last stage's configuration, and the modules of all stages, of a bundled preset or a folder.

    `files_of` maps stages to other files. Raises CheckpointError if a file is missing, damaged, of another version or
    of another model.
    """
    paths = {stage: checkpoint_path(preset, stage) for stage in stages} | dict(files_of or {})
    files = [load_checkpoint(paths[stage], stage) for stage in stages]
    config = files[-1].config
    modules = []
    for stage, file in zip(stages, files, strict=True):
        # What only one of the two networks reads may differ.
        shared = [section for section in SECTIONS[stage] if section in SECTIONS[stages[-1]]]
        _check_fit(file, files[-1], shared)
        module = BUILDERS[stage](file.config)
        file.load_into(module)
        modules.append(module)
    return config, modules


def _check_fit(part: Checkpoint, whole: Checkpoint, sections: Sequence[str]) -> None:
    """Raise CheckpointError if `part`, an autoencoder, is not the one that the diffusion `whole` was trained on."""
    for section in sections:
        own, wanted = (dataclasses.asdict(getattr(item.config, section)) for item in (part, whole))
        # One stage may use borrowed motions or bodies before the others do.
        changed = [k for k in wanted if own[k] != wanted[k] and not k.endswith("weight") and k != "borrowed"]
        if changed:
            raise CheckpointError(
                f"{part.path} and {whole.path} belong to different models ({section}.{changed[0]} differs); "
                "use files from the same training run."
            )
