"""Stored scans with the bodies that were bent to them (`core.experiments.fitted_bodies` makes them)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import save
from safetensors.torch import load_file
from torch import Tensor

from core.atomic import write_atomically
from core.data.clips import ClipBatch, ClipRequest, ClipSource, FittedScan, uniform
from core.errors import DataError

FILE = "fitted-scans"  # the files' names begin with it, and the split follows
CLOUD, SCAN_POINTS, BODY_POINTS = 2048, 1024, 768
NO_BODY = 0.2  # share of the training clips whose body is left out
WRONG_BODY, WRONG_MISFIT = 0.04, 3.0  # share that gets another clip's body, and how much worse such a one fits
STRETCH = (0.87, 1.15)  # along each axis, of training clips
THICKER = 0.003  # standard deviation of a body's offset along its normals
NOISE = 0.001  # of seen points, beside that they were stored with


class StoredKind(IntEnum):
    """What a stored scan shows."""

    DEPTH = 0
    HALF = 1
    TRACKED = 2
    VOXELS = 3


# As training calls them.
LEARNED_AS = {
    StoredKind.DEPTH: "scans",
    StoredKind.HALF: "scans",
    StoredKind.TRACKED: "tracked",
    StoredKind.VOXELS: "voxels",
}
PARTIAL = (StoredKind.DEPTH, StoredKind.HALF)


def write_scans(path: Path, scans: Sequence[Mapping[str, NDArray]]) -> None:
    """Write scans to one file, whole or not at all; lengths as float16, finer than any sensor."""
    stored = {}
    for name in scans[0]:
        values = np.stack([scan[name] for scan in scans])
        stored[name] = values.astype(np.float16) if values.dtype == np.float32 else values
    write_atomically(path, lambda temporary: temporary.write_bytes(save(stored)))


class FittedSource(ClipSource):
    """A ClipSource of single frames over a folder of such files. Raises DataError where there are none to use.

    Training clips are turned, stretched and a little disturbed; some get no body, and a few that of another clip.
    """

    def __init__(self, folder: str | Path, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        paths = sorted(Path(folder).glob(f"{FILE}-*.safetensors"))
        if not paths:
            raise DataError(f"{folder} has no {FILE} files; make some with core.experiments.fitted_bodies.")
        parts: dict[str, list[dict[str, Tensor]]] = {}
        for path in paths:
            try:
                tensors = load_file(path)
            except (SafetensorError, OSError, ValueError) as error:
                raise DataError(f"{path} is damaged ({error}); make it again.") from error
            parts.setdefault(path.stem.removeprefix(f"{FILE}-").split("-")[0], []).append(tensors)
        self.scans = {
            split: {name: torch.cat([part[name] for part in some]).to(self.device) for name in some[0]}
            for split, some in parts.items()
        }

    def has(self, request: ClipRequest) -> bool:
        return request.split in self.scans and request.frames == 1

    def draw(self, request: ClipRequest, generator: torch.Generator) -> ClipBatch:
        """Clips of one kind of observation, drawn by how many there are of it."""
        if not self.has(request):
            raise DataError(f"There are no fitted scans of {request.frames} frames and the split {request.split!r}.")
        stored, batch = self.scans[request.split], request.batch
        kinds = stored["kind"]
        one = StoredKind(int(kinds[self._below(len(kinds), generator, 1)]))
        kind = LEARNED_AS[one]
        alike = torch.isin(kinds, kinds.new_tensor([other for other, name in LEARNED_AS.items() if name == kind]))
        rows = alike.nonzero()[:, 0]
        rows = rows[self._below(len(rows), generator, batch)]
        surface, seen, places = (stored[name][rows].float() for name in ("surface", "seen", "places"))
        present = torch.arange(SCAN_POINTS, device=self.device) < stored["count"][rows, None]
        of_body = (uniform(generator, self.device, batch) * stored["misfit"][rows].isfinite().sum(dim=1)).long()
        body, misfit = stored["bodies"][rows, of_body].float(), stored["misfit"][rows, of_body].float()
        fits = torch.ones_like(misfit, dtype=torch.bool)
        if request.split == "train":
            chance = uniform(generator, self.device, batch)
            wrong = chance < WRONG_BODY
            body = torch.where(wrong[:, None, None], body.roll(1, 0), body)
            misfit = torch.where(wrong, WRONG_MISFIT * torch.maximum(misfit, misfit.roll(1)), misfit)
            fits = chance < 1 - NO_BODY
            body[..., :3] += body[..., 3:] * THICKER * torch.randn(batch, 1, 1, generator=generator, device=self.device)
            seen = seen + NOISE * torch.randn(seen.shape, generator=generator, device=self.device)
            change = self._change(generator, batch)
            moved = surface[..., :3] @ change.transpose(1, 2)
            low, high = moved.amin(dim=1, keepdim=True), moved.amax(dim=1, keepdim=True)
            size, middle = (high - low).amax(dim=2, keepdim=True), (low + high) / 2
            turned = torch.linalg.inv(change)  # of normals, as rows
            surface, body = (
                torch.cat([_laid(x[..., :3], change, middle, size), F.normalize(x[..., 3:] @ turned, dim=-1)], dim=-1)
                for x in (surface, body)
            )
            seen, places = (_laid(x, change, middle, size) for x in (seen, places))
        some = uniform(generator, self.device, batch, CLOUD).topk(request.points, dim=1).indices
        surface = surface.gather(1, some[..., None].expand(-1, -1, 6))
        result = ClipBatch(
            surface[:, None, :, :3],
            surface[..., 3:],
            fps=torch.full((batch,), 24.0, device=self.device),
            category=torch.zeros(batch, dtype=torch.long, device=self.device),
            scan=FittedScan(kind, seen, present, one in PARTIAL, body[..., :3], body[..., 3:], misfit, fits),
        )
        if request.queries:
            half = places.shape[1] // 2  # uniform places, then near ones
            asked = self._below(half, generator, request.queries)
            asked[request.queries // 2 :] += half
            result.occupancy_points, result.occupancy = places[:, asked], stored["inside"][rows][:, asked].float()
        return result

    def _change(self, generator: torch.Generator, batch: int) -> Tensor:
        """A turn about Y after a stretch along the axes [B, 3, 3]."""
        angle = 2 * torch.pi * uniform(generator, self.device, batch)
        turn = torch.zeros(batch, 3, 3, device=self.device)
        turn[:, 0, 0], turn[:, 2, 2], turn[:, 1, 1] = angle.cos(), angle.cos(), 1.0
        turn[:, 0, 2], turn[:, 2, 0] = angle.sin(), -angle.sin()
        stretch = STRETCH[0] + (STRETCH[1] - STRETCH[0]) * uniform(generator, self.device, batch, 1, 3)
        return turn * stretch

    def _below(self, limit: int, generator: torch.Generator, count: int) -> Tensor:
        return torch.randint(limit, (count,), generator=generator, device=generator.device).to(self.device)


def _laid(places: Tensor, change: Tensor, middle: Tensor, size: Tensor) -> Tensor:
    """Places [B, N, 3] changed, and then in a box with its middle at 0 and longest side 1."""
    return (places @ change.transpose(1, 2) - middle) / size
