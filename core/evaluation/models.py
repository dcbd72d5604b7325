"""Loads or initialises the models that a protocol evaluates, and describes their weights."""

from __future__ import annotations

import hashlib
from typing import Any

import torch

from core.checkpoint import EVERY_STAGE, SCAN_MOTION, checkpoint_path
from core.config import load_config
from core.errors import M2VError
from core.models.diffusion_models import build_motion_autoencoder, build_motion_diffusion, build_shape_autoencoder
from core.pipelines.animate import Animator
from core.pipelines.part_descriptions import PartDescriptions


def animator_for(preset: str, device: str = "auto", untrained: bool = False) -> Animator:
    """A preset's animator. With `untrained`, its weights are random; its draft is then the geometric warm start."""
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
    """Preset, device, and a hash of all tensors (without headers) in the files of a preset or folder."""
    digest = hashlib.sha256()
    for stage in (*EVERY_STAGE, SCAN_MOTION):
        path = checkpoint_path(preset, stage)
        if path.is_file():
            content = path.read_bytes()
            header = 8 + int.from_bytes(content[:8], "little")
            digest.update(stage.encode() + content[header:])
    return _about(preset, device, False, digest.hexdigest())


def weight_hashes(preset: str) -> frozenset[str]:
    """Every hash that a report of this preset's weights may carry; empty where the preset has no weights."""
    try:
        described = describe(animator_for(preset, "cpu"), preset), describe_files(preset, "cpu")
        return frozenset({about["weights"] for about in described} | {PartDescriptions.load(preset, "cpu").version})
    except M2VError:
        return frozenset()


def _about(preset: str, device: str, untrained: bool, digest: str) -> dict[str, Any]:
    return {"preset": preset, "device": device, "untrained": untrained, "weights": digest[:16]}
