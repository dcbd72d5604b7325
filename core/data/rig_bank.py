"""`RigSource`: training clips from rigged characters, skinned in batches on the training device.

It reads the file that `core.data.rig_prepare` writes, and needs torch, numpy and safetensors only.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from core.data.clips import ClipBatch, ClipRequest, ClipSource, turn_and_fit, uniform, with_occupancy
from core.data.rig_tables import RigTables
from core.errors import DataError
from core.sequence import BOX_SIDE

SPEEDS = (0.5, 2.0)  # playback speeds, drawn log-uniformly
AS_STORED = 0.5  # share of training clips that keep their file's heading: most models face along an axis


class RigSource(ClipSource):
    """A ClipSource over a rig bank, held on `device`. Raises DataError for a file that it cannot use."""

    def __init__(self, bank_file: str | Path, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.path = Path(bank_file)
        self.tables = RigTables(self.path, self.device)
        self.fps, self.pool = self.tables.fps, self.tables.pool

    @property
    def rig_names(self) -> tuple[str, ...]:
        """Stems of the rigs' files."""
        return tuple(rig["file"] for rig in self.tables.rigs)

    def draw(self, request: ClipRequest, generator: torch.Generator) -> ClipBatch:
        """Draw clips (see ClipSource). With occupancy queries each clip starts at a pose with stored queries.

        Rigs are drawn by CATEGORY_WEIGHTS, evenly within a category, and lively clips more often than idles, at a speed
        of 0.5 to 2. Half of the training clips are turned about Y at random. `fps` is the rate of the original motion:
        slow playback has a high one. Raises DataError for too many points and a split without clips.
        """
        batch, frames, points, split, queries = request
        if points > self.pool:
            raise DataError(f"{points} points is out of range; this rig bank gives 1 to {self.pool}.")
        choices = (self.tables.references if queries else self.tables.clips)[split]
        if not len(choices.items):
            raise DataError(f"{self.path.name} has no clips of the split {split!r}; prepare it from more rigs.")
        draw = uniform(generator, self.device, 6, batch)
        which = torch.searchsorted(choices.cumulative, draw[0], right=True).clamp_max(len(choices.cumulative) - 1)
        offset = torch.minimum((draw[1] * choices.count[which]).long(), choices.count[which] - 1)
        item = choices.items[choices.first[which] + offset]
        clip = self.tables.reference_clip[item] if queries else item
        stride = SPEEDS[0] * (SPEEDS[1] / SPEEDS[0]) ** draw[2]
        when, stride = self._window(clip, frames, stride, draw[3], item if queries else None)
        chosen = uniform(generator, self.device, batch, self.pool).topk(points, dim=1, sorted=False).indices
        position, normal = self.tables.skin(clip, when, chosen)
        turned = (draw[5] >= AS_STORED) & (split == "train")
        position, normal, *placed = turn_and_fit(position, normal, draw[4] * 2 * torch.pi * turned)
        result = ClipBatch(
            points=position,
            normals=torch.nn.functional.normalize(normal, dim=-1),
            fps=self.fps / stride,
            category=self.tables.category[self.tables.clip_rig[clip]],
            rig=self.tables.clip_rig[clip],
        )
        if queries:
            self._add_occupancy(result, item, queries, generator, placed)
        return result

    # ------------------------------------------------------------------ drawing

    def _window(
        self, clip: Tensor, frames: int, stride: Tensor, u: Tensor, reference: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Fractional frame numbers [B, T] inside each clip, and the stride [B] between them.

        A cyclic clip wraps around; in any other the stride is reduced until the window fits.
        """
        last = (self.tables.clip_frames[clip] - 1).float()
        cyclic, period = self.tables.clip_cyclic[clip], self.tables.clip_period[clip]
        steps = max(frames - 1, 1)
        if reference is None:
            stride = torch.where(cyclic, stride, torch.minimum(stride, last / steps))
            start = u * torch.where(cyclic, period, last - stride * (frames - 1))
        else:
            start = self.tables.reference_frame[reference].float()
            stride = torch.where(cyclic, stride, torch.minimum(stride, (last - start) / steps))
        when = start[:, None] + torch.arange(frames, device=self.device) * stride[:, None]
        wrapped = torch.remainder(when, period.clamp_min(1)[:, None])
        when = torch.where(cyclic[:, None], wrapped, torch.minimum(when, last[:, None])).clamp_min(0)
        return when, torch.where(stride > 0, stride, torch.ones_like(stride))  # a shape without motion has any rate

    def _add_occupancy(
        self, result: ClipBatch, reference: Tensor, queries: int, generator: torch.Generator, placed: list[Tensor]
    ) -> None:
        batch, stored = len(reference), self.tables.meta["queries"][0]
        half = queries - queries // 2
        fresh = (uniform(generator, self.device, batch, half, 3) - 0.5) * BOX_SIDE
        picks = [self._pick(generator, batch, 0, stored, half)]
        if queries - half:
            picks.append(self._pick(generator, batch, stored, self.tables.queries.shape[1], queries - half))
        pick = torch.cat(picks, 1)
        span = self.tables.query_span[reference][:, :, None]  # [B, 2, 1, 3]
        unit = (self.tables.queries[reference[:, None], pick].float() + 32768) / 65535
        places = span[:, 0] + unit * (span[:, 1] - span[:, 0])
        inside = self.tables.inside[reference[:, None], pick].float()
        low, high = self.tables.reference_box[:, reference]
        with_occupancy(result, fresh, (places, inside, low, high), *placed)

    def _pick(self, generator: torch.Generator, batch: int, first: int, last: int, count: int) -> Tensor:
        """Numbers [B, count] of random stored queries from `first` to `last`, all different if there are enough."""
        order = uniform(generator, self.device, batch, last - first).argsort(1)
        return first + order[:, torch.arange(count, device=self.device) % (last - first)]
