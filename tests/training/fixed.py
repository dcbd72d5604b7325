"""A small source that always returns the same few clips, so that a network can learn them by heart."""

from __future__ import annotations

import dataclasses

import torch

from core.config import Config, load_config
from core.data.clips import ClipBatch
from core.data.procedural import ProceduralSource


class FixedClips:
    """A ClipSource over the first `batch` clips it draws for a request, whatever generator and split are asked for."""

    def __init__(self, seed: int = 3) -> None:
        self.seed = seed
        self.source = ProceduralSource(kinds=["quadruped", "laptop", "snake"])
        self.kept: dict[tuple[int, ...], ClipBatch] = {}

    def sample(
        self,
        batch: int,
        frames: int,
        points: int,
        generator: torch.Generator,
        split: str = "train",
        occupancy_queries: int = 0,
    ) -> ClipBatch:
        request = (batch, frames, points, occupancy_queries)
        if request not in self.kept:
            generator = torch.Generator().manual_seed(self.seed)
            self.kept[request] = self.source.sample(*request[:3], generator, "train", occupancy_queries)
        return self.kept[request]


def tiny(**sections: dict[str, object]) -> Config:
    """The `tiny` preset with some fields of its sections replaced."""
    config = load_config("tiny")
    changed = {name: dataclasses.replace(getattr(config, name), **values) for name, values in sections.items()}
    return dataclasses.replace(config, **changed)
