"""Checkpoints: one safetensors file per stage with a JSON header (config, statistics, training record).

Weights are stored as float16 for shipping or float32 while training. Nothing is ever unpickled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from core.assets import asset_path
from core.atomic import write_atomically
from core.config import Config, config_from_dict, config_to_dict
from core.errors import CheckpointError, ConfigError

FORMAT = "m2v-checkpoint"
VERSION = 1
STAGES = (
    "shape-autoencoder",
    "motion-autoencoder",
    "shape-diffusion",
    "motion-diffusion",
)  # each needs the earlier ones
# It needs no other stage and learns from rigs alone, so `train all` leaves it out.
PART_DESCRIPTOR = "part-descriptor"
EVERY_STAGE = (*STAGES, PART_DESCRIPTOR)
# The sections of the configuration that a stage's network reads; what its weights depend on, their fields say.
SECTIONS: dict[str, tuple[str, ...]] = {
    "shape-autoencoder": ("shape",),
    "motion-autoencoder": ("motion",),
    "shape-diffusion": ("shape", "shape_denoiser", "conditions"),
    "motion-diffusion": ("shape", "motion", "motion_denoiser", "conditions", "diffusion"),
    PART_DESCRIPTOR: ("parts",),
}
SCAN_MOTION = "scan-motion-diffusion"  # optional motion denoiser for scans only

# Parts of tensor names in earlier versions, and what they are called now.
RENAMED = {
    ".norm_conditions.0.": ".norm_condition.",
    ".condition_attentions.0.": ".condition_attention.",
    ".from_guide.": ".from_prior_features.",
}
# Fields of the configuration likewise.
RENAMED_FIELDS = {"diffusion.pure_noise": "posterior_mean_fraction"}
# Tensors of removed modules that had no effect: tokens of whole images, learned stiffness of a rigid guess.
REMOVED_TENSORS = ("images.", "stiffness.")
ANY: tuple[Any, ...] = ()  # of training only, or of a removed module
# Fields that earlier versions stored, with the values that mean what this version does.
REMOVED: dict[str, tuple[Any, ...]] = {
    "conditions.images": ANY,
    "conditions.image_weights": ANY,
    "tasks.images": ANY,
    "tasks.shape_images": ANY,
    "tasks.stiffness": ANY,
    "shape_denoiser.time_attention": (True,),
    "shape_denoiser.source_and_target": (False,),
    "motion_denoiser.time_attention": (True,),
    "motion_denoiser.source_and_target": (False,),
    "diffusion.whitening": (True,),
    "diffusion.variety": ANY,
    "diffusion.pure_loss": ANY,
    "diffusion.condition_dropout": ANY,
}


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of one file with what its header says."""

    stage: str
    config: Config
    record: Mapping[str, Any]  # steps, clips, hours, machine, figures of the training
    tensors: Mapping[str, Tensor] = field(repr=False)
    path: str = ""

    def load_into(self, module: nn.Module) -> None:
        """Fill `module` with the weights; raises CheckpointError when a tensor is missing or of another shape."""
        own = module.state_dict()
        missing = sorted(set(own) - set(self.tensors))
        extra = sorted(set(self.tensors) - set(own))
        wrong = sorted(name for name in set(own) & set(self.tensors) if own[name].shape != self.tensors[name].shape)
        for names, what in ((missing, "lacks"), (extra, "has the unknown"), (wrong, "has another shape for")):
            if names:
                raise CheckpointError(
                    f"{self.path} {what} tensor {names[0]!r} (one of {len(names)}); it was made by another version, "
                    "so train it again or use the checkpoint that ships with this one."
                )
        module.load_state_dict({name: tensor.to(own[name].dtype) for name, tensor in self.tensors.items()})


def save_checkpoint(
    path: Path, stage: str, config: Config, tensors: Mapping[str, Tensor], record: Mapping[str, Any], half: bool = False
) -> None:
    """Write atomically; `half` stores floating point tensors as float16. Paths of training data are reduced to
    names.
    """
    tree = config_to_dict(config)
    tree["data"] |= {place: Path(tree["data"][place]).name for place in ("rigs", "shards", "bank")}
    header = {"format": FORMAT, "version": str(VERSION), "stage": stage}
    header["config"] = json.dumps(tree)
    header["record"] = json.dumps(dict(record))
    stored = {}
    for name, tensor in tensors.items():
        value = tensor.detach().cpu()
        stored[name] = (value.half() if half and value.is_floating_point() else value).contiguous().clone()
    write_atomically(path, lambda temporary: temporary.write_bytes(save(stored, header)))


def load_checkpoint(path: Path, stage: str | None = None) -> Checkpoint:
    """Read and check a file; raises CheckpointError when it is missing, damaged, of another version or stage."""
    try:
        if path.exists() and not path.is_file():
            raise OSError("a pipe could block forever")
        with safe_open(str(path), framework="pt") as handle:
            header = handle.metadata() or {}
            kept = [name for name in handle.keys() if not name.startswith(REMOVED_TENSORS)]  # noqa: SIM118
            tensors = {current_name(name): handle.get_tensor(name) for name in kept}
    except FileNotFoundError as error:
        raise CheckpointError(
            f"There is no checkpoint at {path}; check the path or train one with 'm2v train'."
        ) from error
    except (SafetensorError, OSError, ValueError, RuntimeError, MemoryError) as error:
        raise CheckpointError(f"{path} is damaged or not a checkpoint; copy it again or train a new one.") from error
    if header.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not an m2v checkpoint; choose a file made by 'm2v train'.")
    if header.get("version") != str(VERSION):
        raise CheckpointError(
            f"{path} has checkpoint version {header.get('version')}, but this program reads version {VERSION}; "
            "train it again or install the matching version."
        )
    if stage is not None and header.get("stage") != stage:
        raise CheckpointError(
            f"{path} holds the stage {header.get('stage')!r}, not {stage!r}; give the file of that stage."
        )
    try:
        config = config_from_dict(_current(json.loads(header["config"])), str(path))
        record = json.loads(header["record"])
        if not isinstance(record, dict):
            raise ValueError("its record is not a mapping")
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError, RecursionError, ConfigError) as error:
        raise CheckpointError(f"{path} has a damaged header ({error}); copy it again or train a new one.") from error
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values() if tensor.is_floating_point()):
        raise CheckpointError(f"{path} holds numbers that are not finite; copy it again or train a new one.")
    return Checkpoint(str(header.get("stage")), config, record, tensors, str(path))


def checkpoint_path(preset_or_folder: str, stage: str) -> Path:
    """The path of a stage's weights: in the bundled folder of a preset, or in a given folder.

    A preset's name wins over a folder of that name in the working directory; `./small` means the folder.
    """
    bundled = asset_path("checkpoints", preset_or_folder)
    folder = Path(preset_or_folder)
    if folder.name == preset_or_folder and (bundled.is_dir() or not folder.is_dir()):
        folder = bundled
    return folder / f"{stage}.safetensors"


def scan_motion_path(preset_or_folder: str) -> Path:
    """The motion denoiser that follows scans: one that was kept for them, else the one that animates.

    A denoiser that learned to sample answers scans, which leave little open, less exactly than one that learned means.
    """
    own = checkpoint_path(preset_or_folder, SCAN_MOTION)
    return own if own.is_file() else checkpoint_path(preset_or_folder, "motion-diffusion")


def _current(tree: dict[str, Any]) -> dict[str, Any]:
    """An earlier version's configuration with current keys."""
    tree.pop("stiffness", None)  # of a removed network
    for name, kept in REMOVED.items():
        section, key = name.split(".")
        fields = tree.get(section, {})
        if key in fields and fields.pop(key) not in kept and kept is not ANY:
            raise ConfigError(f"{name} can no longer be chosen")
    for name, now in RENAMED_FIELDS.items():
        section, key = name.split(".")
        if key in tree.get(section, {}):
            tree[section][now] = tree[section].pop(key)
    return tree


def current_name(tensor: str) -> str:
    """The current name of a tensor of an earlier version."""
    for old, new in RENAMED.items():
        tensor = tensor.replace(old, new)
    return tensor
