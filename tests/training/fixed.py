"""A small source that always returns the same few clips, so that a network can learn them by heart."""

from __future__ import annotations

import dataclasses

import torch

from core.config import Config, load_config
from core.data.clips import ClipBatch, ClipRequest, ClipSource, FittedScan
from core.data.procedural import ProceduralSource


class FixedClips(ClipSource):
    """A ClipSource over the first `batch` clips it draws for a request, whatever generator and split are asked for."""

    def __init__(self, seed: int = 3) -> None:
        self.seed = seed
        self.source = ProceduralSource(kinds=["quadruped", "laptop", "snake"])
        self.kept: dict[ClipRequest, ClipBatch] = {}

    def draw(self, request: ClipRequest, generator: torch.Generator) -> ClipBatch:
        training = request._replace(split="train")
        if training not in self.kept:
            self.kept[training] = self.source.draw(training, torch.Generator().manual_seed(self.seed))
        return self.kept[training]


class FixedFits(FixedClips):
    """The same clips, half seen, with a body that is the shape itself, a little too small."""

    def draw(self, request: ClipRequest, generator: torch.Generator) -> ClipBatch:
        clips = super().draw(request, generator)
        points = clips.points[:, 0]
        present = points[..., 1] > points[..., 1].median(dim=1, keepdim=True).values
        scan = FittedScan(
            "scans", points, present, True, 0.95 * points, clips.normals,
            torch.full((len(points),), 0.01), torch.ones(len(points), dtype=torch.bool),
        )  # fmt: skip
        return dataclasses.replace(clips, scan=scan)


def tiny(**sections: dict[str, object]) -> Config:
    """The `tiny` preset with some fields of its sections replaced."""
    config = load_config("tiny")
    changed = {name: dataclasses.replace(getattr(config, name), **values) for name, values in sections.items()}
    return dataclasses.replace(config, **changed)
