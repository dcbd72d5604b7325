"""Starts a training stage from its own state, from earlier weights, or from scratch."""

from __future__ import annotations

import dataclasses
import shutil
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core.atomic import write_atomically
from core.checkpoint import EVERY_STAGE, SECTIONS, Checkpoint, checkpoint_path, load_checkpoint
from core.config import Config, fixed_fields
from core.data.clips import ClipSource
from core.errors import CheckpointError
from core.training.objectives import Objective
from core.training.state import AveragedWeights, load_state, partial_load

Say = Callable[[str], None]  # one line for a person


def say_on_error_stream(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@dataclass
class Start:
    """Where the loop begins. `record` counts all trainings; the schedule counts from `base`."""

    record: dict[str, Any]
    average: AveragedWeights
    optimizer: torch.optim.Optimizer

    @property
    def base(self) -> int:
        """Steps of earlier trainings that these weights had when this one began."""
        return int(self.record.get("base", 0))


def begin(
    stage: str,
    objective: Objective,
    source: ClipSource,
    config: Config,
    state: Path,
    weights: Sequence[str],
    seed: int,
    first_clips: int,
    say: Say,
) -> Start:
    """Fill the objective's trained module and make its average and optimiser.

    `state` is the file to continue from, if it exists. Otherwise the network, its average and its statistics begin with
    `weights`, folders or presets (several: with their mean), with a new optimiser and the record continued. Without
    either, statistics are fitted to clips with the seed `first_clips`. Raises CheckpointError.
    """
    training, trained = config.training, objective.trained
    optimizer = torch.optim.AdamW(
        trained.parameters(), lr=training.learning_rate, betas=(0.9, 0.98), weight_decay=training.weight_decay
    )
    if state.exists():
        average = AveragedWeights(trained, training.ema_decay)
        record, note = load_state(state, trained, average, optimizer)
        _train_only(trained, record.get("fresh"))
        if note:
            say(f"{stage} continues from {state} with a grown network; {note}")
        if weights:
            say(f"{stage} continues from its state {state}; the weights of {_joined(weights)} are not used")
        return Start(record, average, optimizer)
    if weights:
        record = load_weights(stage, objective, config, weights, say)
        average = AveragedWeights(trained, training.ema_decay)
        if training.fresh_only:
            _train_only(trained, record["fresh"])
        else:
            del record["fresh"]
        average.updates = record["step"]  # so that a few steps do not replace the trained average
        return Start(record, average, optimizer)
    device = next(trained.parameters()).device
    clips = objective.draw(source, 4 * training.batch, torch.Generator(device=device).manual_seed(first_clips), "train")
    objective.fit_statistics(clips, torch.Generator(device=device).manual_seed(seed))
    record = {"stage": stage, "step": 0, "clips": 0, "seconds": 0.0, "machines": {}, "checks": []}
    return Start(record, AveragedWeights(trained, training.ema_decay), optimizer)


def _train_only(trained: nn.Module, names: Collection[str] | None) -> None:
    """Freeze all parameters but the named ones; none where there are no names."""
    for name, weight in trained.named_parameters():
        weight.requires_grad_(names is None or name in names)


def load_weights(stage: str, objective: Objective, config: Config, weights: Sequence[str], say: Say) -> dict[str, Any]:
    """Fill the trained module from checkpoints in folders or presets; returns a record that continues theirs."""
    checkpoint = mean_checkpoint(stage, weights)
    paths = [str(checkpoint_path(folder, stage)) for folder in weights]
    where = paths[0] if len(paths) == 1 else f"the mean of {_joined(paths)}"
    check_same_meaning(stage, config, checkpoint.config, where)
    fitted = partial_load(objective.trained.state_dict(), checkpoint.tensors, where)
    objective.trained.load_state_dict(fitted.tensors)
    settings = other_settings(stage, config, checkpoint.config)
    changed = "settings that differ: " + ", ".join(settings) if settings else None
    notes = [note for note in (fitted.note(), changed) if note]
    say("; ".join([f"{stage} starts from {where}", *notes]))
    earlier = dict(checkpoint.record)
    step, clips, seconds = (earlier.get(name, 0) for name in ("step", "clips", "seconds"))
    return {
        "stage": stage,
        "step": int(step),
        "clips": int(clips),
        "seconds": float(seconds),
        "machines": dict(earlier.get("machines", {})),
        "checks": list(earlier.get("checks", [])),
        "base": int(step),
        "fresh": list(fitted.fresh),
        "started_from": [
            *earlier.get("started_from", []),
            {
                "weights": _joined([Path(folder).name for folder in weights]),
                "step": int(step),
                "clips": int(clips),
                "seconds": float(seconds),
            },
        ],
    }


def mean_checkpoint(stage: str, weights: Sequence[str]) -> Checkpoint:
    """The checkpoint of one folder or preset, or the mean of several, with the record of the longest training.

    The ends of runs that continued each other lie around a common minimum, and their mean is closer to it than each of
    them (stochastic weight averaging, Izmailov et al. 2018). Means are float32. Raises CheckpointError if a file is
    missing, or if networks, or the autoencoders they were trained on, differ.
    """
    checkpoints = [load_checkpoint(checkpoint_path(folder, stage), stage) for folder in weights]
    first, *others = checkpoints
    if not others:
        return first
    shapes = {name: tensor.shape for name, tensor in first.tensors.items()}
    for folder, other in zip(weights[1:], others, strict=True):
        if {name: tensor.shape for name, tensor in other.tensors.items()} != shapes:
            raise CheckpointError(
                f"{first.path} and {other.path} are different networks, so they cannot be averaged; give folders of "
                "the same preset."
            )
        for below in (name for name in EVERY_STAGE[: EVERY_STAGE.index(stage)] if name.endswith("autoencoder")):
            if not _same_weights(below, weights[0], folder):
                raise CheckpointError(
                    f"The weights of {stage} in {weights[0]} and {folder} were trained on different weights of "
                    f"{below}, so they cannot be averaged; give runs that continue one another."
                )
    longest = max(checkpoints, key=lambda checkpoint: int(checkpoint.record.get("clips", 0)))
    mean = {
        name: torch.stack([checkpoint.tensors[name].float() for checkpoint in checkpoints]).mean(dim=0)
        if tensor.is_floating_point()
        else longest.tensors[name]
        for name, tensor in first.tensors.items()
    }
    return Checkpoint(stage, longest.config, longest.record, mean, longest.path)


def _same_weights(stage: str, one: str, other: str) -> bool:
    """Whether two folders hold the same weights of a stage, or both hold none."""
    paths = [checkpoint_path(folder, stage) for folder in (one, other)]
    if not all(path.is_file() for path in paths):
        return paths[0].is_file() == paths[1].is_file()
    a, b = (load_checkpoint(path, stage).tensors for path in paths)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def check_same_meaning(stage: str, ours: Config, theirs: Config, where: str) -> None:
    """Raise CheckpointError if weights trained with the configuration `theirs` are not valid for `ours`."""
    for section in (field.name for field in dataclasses.fields(Config)):
        mine, other = getattr(ours, section), getattr(theirs, section)
        if not dataclasses.is_dataclass(mine):
            continue
        for name in fixed_fields(type(mine), stage, section in SECTIONS[stage]):
            if getattr(mine, name) != getattr(other, name):
                raise CheckpointError(
                    f"{where} was trained with {section}.{name} = {getattr(other, name)}, but this preset has "
                    f"{getattr(mine, name)}: the weights would mean something else; use the same value, or train "
                    "from scratch."
                )


def other_settings(stage: str, ours: Config, theirs: Config) -> tuple[str, ...]:
    """Allowed differences in the stage's sections, as `section.field old -> new`."""
    found = []
    for section in SECTIONS[stage]:
        mine, other = getattr(ours, section), getattr(theirs, section)
        for field in dataclasses.fields(mine):
            old, new = getattr(other, field.name), getattr(mine, field.name)
            if old != new:
                found.append(f"{section}.{field.name} {old} -> {new}")
    return tuple(found)


def bring_other_stages(stages: Sequence[str], folder: Path, weights: str) -> None:
    """Copy the checkpoints of stages that this run does not train, so that `folder` is a complete model.

    Later stages depend on them, as motion latents do on the shape autoencoder. Existing files are kept.
    """
    for stage in EVERY_STAGE:
        origin, target = checkpoint_path(weights, stage), folder / f"{stage}.safetensors"
        if stage in stages or target.exists() or not origin.is_file():
            continue
        write_atomically(target, lambda temporary, origin=origin: shutil.copyfile(origin, temporary))  # type: ignore[misc]


def check_weights_exist(stages: Sequence[str], weights: Sequence[str]) -> None:
    """Raise CheckpointError if one of `weights` is no folder or preset with a checkpoint of any of the stages."""
    for folder in weights:
        if not any(checkpoint_path(folder, stage).is_file() for stage in stages):
            raise CheckpointError(
                f"There are no weights of {' or '.join(stages)} in {checkpoint_path(folder, stages[0]).parent}; "
                "give a folder with its .safetensors file, or a preset that ships with weights."
            )


def _joined(names: Sequence[str]) -> str:
    """The names as a list in a sentence."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
