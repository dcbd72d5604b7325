"""Weights of an earlier, smaller module in a grown one, so that a new part does not throw a training away.

A tensor that the file lacks keeps its own fresh value; a Linear that got more input columns keeps the old ones and has
zeros in the new, so that it answers as before. Everything else has to fit: whatever does not is another network.
Columns are only ever appended; a layer whose new inputs come in between must be given a new name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.checkpoint import PART_DESCRIPTOR
from core.config import Config
from core.errors import CheckpointError

NAMED = 4  # parts a note lists before it says how many there are

# Fields that decide what a weight means without showing in its shape. Loss weights, noise levels seen in training,
# sampler steps, tasks and data may differ from the run before; sizes that must not are found by shape.
MEANING: dict[str, tuple[str, ...]] = {
    "shape": ("latents", "channels", "head_dim", "explicit_anchor", "neighbours", "encoder_neighbours", "normals"),
    "motion": ("latents", "channels", "head_dim", "explicit_displacement", "flow_head", "neighbours"),
    "shape_denoiser": ("head_dim",),
    "motion_denoiser": (
        "head_dim",
        "frames_per_token",
        "time_embedding",
        "time_attention",
        "anchor_embedding",
        "shape_condition",
        "geometric_attention",
        "output_directions",
    ),
    "diffusion": ("sigma_data", "noise", "warm_start", "whitening"),
    "parts": ("head_dim",),
}
SECTIONS: dict[str, tuple[str, ...]] = {
    "shape-autoencoder": ("shape",),
    "motion-autoencoder": ("motion",),
    "shape-diffusion": ("shape", "shape_denoiser"),
    "motion-diffusion": ("shape", "motion", "motion_denoiser", "diffusion"),
    PART_DESCRIPTOR: ("parts",),
}


@dataclass(frozen=True)
class Fitted:
    """A complete set of tensors for the module, and what of it is new."""

    tensors: dict[str, Tensor]
    fresh: tuple[str, ...]  # absent in the file
    widened: tuple[str, ...]  # with more input columns than in the file
    unused: tuple[str, ...]  # of the file, without a place in the module

    def note(self) -> str | None:
        """What did not fit, as one line; None when everything did."""
        parts = [
            f"{what} {_listed(names)}"
            for names, what in (
                (self.fresh, "new and fresh:"),
                (self.widened, "more input columns, zero at first:"),
                (self.unused, "in the file but not used:"),
            )
            if names
        ]
        return "; ".join(parts) if parts else None


def fit(own: Mapping[str, Tensor], stored: Mapping[str, Tensor], where: str) -> Fitted:
    """`stored` tensors in the shapes and types of `own`. Raises CheckpointError when a shape cannot have grown."""
    tensors, fresh, widened = {}, [], []
    for name, value in own.items():
        if name not in stored:
            fresh.append(name)
            tensors[name] = value.detach().clone()
            continue
        tensors[name] = padded(stored[name], value, f"{where}: {name}").to(value)
        if stored[name].shape != value.shape:
            widened.append(name)
    if len(fresh) == len(own):
        raise CheckpointError(f"{where} has nothing in common with this network; choose weights of the same stage.")
    return Fitted(tensors, tuple(fresh), tuple(widened), tuple(sorted(set(stored) - set(own))))


def padded(stored: Tensor, like: Tensor, what: str) -> Tensor:
    """`stored` with zero columns appended up to the shape of `like`; raises CheckpointError for other differences."""
    if stored.shape == like.shape:
        return stored
    if stored.dim() != 2 or like.dim() != 2 or stored.shape[0] != like.shape[0] or stored.shape[1] > like.shape[1]:
        raise CheckpointError(
            f"{what} has the shape {tuple(stored.shape)}, but {tuple(like.shape)} is needed; the preset's sizes have "
            "to be those of the earlier training."
        )
    return torch.nn.functional.pad(stored, (0, like.shape[1] - stored.shape[1]))


def check_same_meaning(stage: str, ours: Config, theirs: Config, where: str) -> None:
    """Raises CheckpointError when weights trained as `theirs` would mean something else in a network of `ours`."""
    for section in SECTIONS[stage]:
        mine, other = getattr(ours, section), getattr(theirs, section)
        for field in MEANING[section]:
            if getattr(mine, field) != getattr(other, field):
                raise CheckpointError(
                    f"{where} was trained with {section}.{field} = {getattr(other, field)}, but this preset has "
                    f"{getattr(mine, field)}: the weights would mean something else; use the same value, or train "
                    "afresh."
                )


def other_settings(stage: str, ours: Config, theirs: Config) -> tuple[str, ...]:
    """Differences of the stage's own sections that are allowed, as `section.field old -> new`."""
    found = []
    for section in SECTIONS[stage]:
        mine, other = getattr(ours, section), getattr(theirs, section)
        for field in dataclasses.fields(mine):
            old, new = getattr(other, field.name), getattr(mine, field.name)
            if old != new:
                found.append(f"{section}.{field.name} {old} -> {new}")
    return tuple(found)


def _listed(names: Sequence[str] | Iterable[str]) -> str:
    """Modules of the names, at most a few of them spelt out."""
    modules = sorted({name.rsplit(".", 1)[0] for name in names})
    shown = ", ".join(modules[:NAMED])
    return shown if len(modules) <= NAMED else f"{shown} and {len(modules) - NAMED} more"
