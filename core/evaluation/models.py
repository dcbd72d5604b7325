"""The models a protocol evaluates: from files or freshly initialised, with what a report has to say about them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch

from core.checkpoint import EVERY_STAGE, checkpoint_path, load_checkpoint
from core.config import load_config
from core.models.diffusion_models import build_motion_autoencoder, build_motion_diffusion, build_shape_autoencoder
from core.pipelines.animate import Animator


def animator_for(preset: str, device: str = "auto", untrained: bool = False, seed: int = 0) -> Animator:
    """A preset's animator. `untrained` initialises it afresh: its draft is then the geometric warm start alone."""
    if not untrained:
        return Animator.load(preset, device)
    config = load_config(preset)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        modules = build_shape_autoencoder(config), build_motion_autoencoder(config), build_motion_diffusion(config)
    return Animator.from_modules(config, *modules, "cpu" if device == "auto" else device)


def describe(animator: Animator, preset: str, untrained: bool = False) -> dict[str, Any]:
    """Preset, device, a hash of all weights in use, and the training records of the files they came from."""
    digest = hashlib.sha256()
    for module in (animator.shape_autoencoder, animator.motion_autoencoder, animator.motion_diffusion):
        for name, tensor in sorted(module.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
    about: dict[str, Any] = {
        "preset": preset,
        "device": str(animator.device),
        "untrained": untrained,
        "weights": digest.hexdigest()[:16],
    }
    if not untrained:
        about["records"] = _records(preset)
    return about


def describe_files(preset: str, device: str) -> dict[str, Any]:
    """Preset, device, a hash of all weight files of a preset or folder, and their training records."""
    digest = hashlib.sha256()
    for stage, path in _files(preset).items():
        digest.update(stage.encode())
        digest.update(path.read_bytes())
    return {
        "preset": preset,
        "device": device,
        "untrained": False,
        "weights": digest.hexdigest()[:16],
        "records": _records(preset),
    }


def _files(preset: str) -> dict[str, Path]:
    paths = {stage: checkpoint_path(preset, stage) for stage in EVERY_STAGE}
    return {stage: path for stage, path in paths.items() if path.is_file()}


def _records(preset: str) -> dict[str, Any]:
    return {stage: dict(load_checkpoint(path, stage).record) for stage, path in _files(preset).items()}
