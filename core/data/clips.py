"""A batch of tracked motion clips on the training device, as every training source returns it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from core.data.splits import SPLITS as SPLITS


@dataclass
class ClipBatch:
    """B clips in normalised space: frame 0's bounding box is centred at 0 with longest side 1, Y up.

    `points` [B, T, N, 3] are surface points tracked through the motion (same index, same surface point),
    sampled by area in frame 0. `normals` [B, N, 3] are their outward unit normals in frame 0.
    `occupancy_points` [B, Q, 3] with `occupancy` [B, Q] (1 inside, 0 outside) describe frame 0 and are
    None unless asked for: the first half uniform in the box of side 1.1, the second half near the surface.
    `fps` [B] is the frame rate of each clip; `category` [B] a small integer per kind, for reports; `rig` [B] which of
    the source's `rig_names` it is of, None for a source without rigs.
    """

    points: Tensor
    normals: Tensor
    fps: Tensor
    category: Tensor
    occupancy_points: Tensor | None = None
    occupancy: Tensor | None = None
    rig: Tensor | None = None


class ClipSource(Protocol):
    """A source of training clips; all sources share this one method."""

    def sample(
        self,
        batch: int,
        frames: int,
        points: int,
        generator: torch.Generator,
        split: str = "train",
        occupancy_queries: int = 0,
    ) -> ClipBatch:
        """Draw `batch` random clips of `frames` frames; the same generator state gives the same clips."""
        ...
