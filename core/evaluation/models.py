"""The models a protocol evaluates: from files or freshly initialised."""

from __future__ import annotations

import hashlib
from typing import Any

import torch

from core.checkpoint import EVERY_STAGE, SCAN_MOTION, checkpoint_path
from core.config import load_config
from core.models.diffusion_models import build_motion_autoencoder, build_motion_diffusion, build_shape_autoencoder
from core.pipelines.animate import Animator


def animator_for(preset: str, device: str = "auto", untrained: bool = False) -> Animator:
    """A preset's animator. `untrained` initialises it at random: its draft is then the geometric warm start alone."""
    if not untrained:
        return Animator.load(preset, device)
    config = load_config(preset)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        modules = build_shape_autoencoder(config), build_motion_autoencoder(config), build_motion_diffusion(config)
    return Animator(config, *modules, "cpu" if device == "auto" else device)


def describe(animator: Animator, preset: str, untrained: bool = False) -> dict[str, Any]:
    """Preset, device, and a hash of all weights in use."""
    digest = hashlib.sha256()
    for module in (animator.shape_autoencoder, animator.motion_autoencoder, animator.motion_diffusion):
        for name, tensor in sorted(module.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
    return _about(preset, str(animator.device), untrained, digest.hexdigest())


def describe_files(preset: str, device: str) -> dict[str, Any]:
    """Preset, device, and a hash of all tensors in the files of a preset or folder; their headers do not count."""
    digest = hashlib.sha256()
    for stage in (*EVERY_STAGE, SCAN_MOTION):
        path = checkpoint_path(preset, stage)
        if path.is_file():
            content = path.read_bytes()
            header = 8 + int.from_bytes(content[:8], "little")
            digest.update(stage.encode() + content[header:])
    return _about(preset, device, False, digest.hexdigest())


def _about(preset: str, device: str, untrained: bool, digest: str) -> dict[str, Any]:
    return {"preset": preset, "device": device, "untrained": untrained, "weights": digest[:16]}
