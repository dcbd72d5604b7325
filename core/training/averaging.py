"""One set of weights from several trainings: the mean of their tensors.

The ends of several runs that went on from each other lie around a common valley; their mean lies nearer to its floor
than each (stochastic weight averaging, Izmailov et al. 2018), and a slow run from there costs little.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from core.checkpoint import EVERY_STAGE, Checkpoint, checkpoint_path, load_checkpoint
from core.errors import CheckpointError


def mean_checkpoint(stage: str, weights: Sequence[str]) -> Checkpoint:
    """The checkpoint of one folder or preset, or the mean of several, with the record of the longest training.

    Floating point tensors come back as float32 when there are several. Raises CheckpointError when a file is missing,
    when networks differ, or when they stand on different autoencoders, whose latents do not mean the same.
    """
    checkpoints = [load_checkpoint(checkpoint_path(folder, stage), stage) for folder in weights]
    first, *others = checkpoints
    if not others:
        return first
    shapes = {name: tensor.shape for name, tensor in first.tensors.items()}
    for folder, other in zip(weights[1:], others, strict=True):
        if {name: tensor.shape for name, tensor in other.tensors.items()} != shapes:
            raise CheckpointError(
                f"{first.path} and {other.path} are different networks, so their mean is none; give folders of the "
                "same preset."
            )
        for below in (name for name in EVERY_STAGE[: EVERY_STAGE.index(stage)] if name.endswith("autoencoder")):
            if not _same(below, weights[0], folder):
                raise CheckpointError(
                    f"The weights of {stage} in {weights[0]} and {folder} stand on different weights of {below}, so "
                    "their mean means nothing; give trainings that went on from each other."
                )
    longest = max(checkpoints, key=lambda checkpoint: int(checkpoint.record.get("clips", 0)))
    mean = {
        name: torch.stack([checkpoint.tensors[name].float() for checkpoint in checkpoints]).mean(dim=0)
        if tensor.is_floating_point()
        else longest.tensors[name]
        for name, tensor in first.tensors.items()
    }
    return Checkpoint(stage, longest.config, longest.record, mean, longest.path)


def _same(stage: str, one: str, other: str) -> bool:
    """Whether two folders hold the same weights of a stage, or neither holds any."""
    paths = [checkpoint_path(folder, stage) for folder in (one, other)]
    if not all(path.is_file() for path in paths):
        return paths[0].is_file() == paths[1].is_file()
    a, b = (load_checkpoint(path, stage).tensors for path in paths)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
