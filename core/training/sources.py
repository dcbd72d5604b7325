"""Mixes the sources of training clips."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from torch import Tensor

from core.config import DataConfig
from core.data.clips import ClipBatch, ClipRequest, ClipSource
from core.data.procedural import ProceduralSource


class MixedSource(ClipSource):
    """Procedural creatures, rigs and other sets, in the configured shares; one block comes from one source."""

    def __init__(self, config: DataConfig, device: torch.device) -> None:
        self.config = config
        self.sources: list[tuple[float, ClipSource]] = []
        if config.procedural > 0 or not (config.rigs or config.shards):
            self.sources.append((max(config.procedural, 1e-9), ProceduralSource(device=str(device))))
        if config.rigs:
            from core.data.rig_bank import RigSource
            from core.data.rig_prepare import prepared_bank

            self.sources.append((config.rigs_share, RigSource(prepared_bank(Path(config.rigs)), device=str(device))))
        if config.shards:
            from core.data.shards import ShardSource

            self.sources.append((config.shards_share, ShardSource(config.shards, device, config.shards_splits)))
        if config.fitted:
            from core.data.fitted_scans import FittedSource

            self.sources.append((config.fitted_share, FittedSource(config.fitted, device)))

    @property
    def rig_names(self) -> tuple[str, ...]:
        """The rig names by a clip's `rig` number; empty without rigs."""
        return next((source.rig_names for _, source in self.sources if hasattr(source, "rig_names")), ())

    def draw(self, request: ClipRequest, generator: torch.Generator) -> ClipBatch:
        device = generator.device
        shares = torch.tensor(self._shares(request), device=device)
        which = int(torch.multinomial(shares, 1, generator=generator))
        clips = self.sources[which][1].draw(request, generator)
        if self.config.mirror and request.split == "train":
            clips = mirrored(clips, torch.rand(request.batch, device=device, generator=generator) < 0.5)
        return clips

    def _shares(self, request: ClipRequest) -> list[float]:
        """Prepared sets may lack splits, and scans have no motion; if no source has one, the first raises the error."""
        shares = [share if source.has(request) else 0.0 for share, source in self.sources]
        return shares if sum(shares) > 0 else [share for share, _ in self.sources]


def mirrored(clips: ClipBatch, which: Tensor) -> ClipBatch:
    """Reflect the clips chosen by `which` [B] at the plane x = 0."""
    sign = torch.ones(len(which), 3, device=which.device)
    sign[:, 0] = torch.where(which, -1.0, 1.0)
    occupancy_points, scan = clips.occupancy_points, clips.scan
    side = sign[:, None]
    return dataclasses.replace(
        clips,
        points=clips.points * sign[:, None, None],
        normals=clips.normals * side,
        occupancy_points=None if occupancy_points is None else occupancy_points * side,
        scan=scan
        and scan._replace(points=scan.points * side, body=scan.body * side, body_normals=scan.body_normals * side),
    )
