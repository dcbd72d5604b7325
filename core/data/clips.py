"""A batch of tracked motion clips on the training device: what every training source returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from core.data.splits import SPLITS as SPLITS
from core.errors import DataError


class FittedScan(NamedTuple):
    """Observations of clips' frame 0, and a body of the bank that was bent to each."""

    kind: str  # of all, as training calls it
    points: Tensor  # [B, L, 3]
    present: Tensor  # [B, L] bool: False for padding
    partial: bool  # one side or half a body; else points are all around
    body: Tensor  # [B, P, 3] points on its surface
    body_normals: Tensor  # [B, P, 3]
    misfit: Tensor  # [B] of the body, as a share of the size
    fits: Tensor  # [B] bool: False where there is no body


@dataclass
class ClipBatch:
    """B clips in normalised space: frame 0's bounding box is centred at 0 with longest side 1, Y up.

    `points` [B, T, N, 3] are surface points tracked through the motion (same index, same surface point), sampled by
    area in frame 0. `normals` [B, N, 3] are their outward unit normals in frame 0. `occupancy_points` [B, Q, 3] with
    `occupancy` [B, Q] (1 inside, 0 outside) describe frame 0, the first half uniform in the box of side 1.1, the second
    half near the surface; they are None unless requested. `fps` [B] is each clip's frame rate, `category` [B] a small
    integer per kind, `rig` [B] the row in the source's `rig_names` (None for a source without rigs), `scan` what was
    observed of frame 0 (None where training simulates it).
    """

    points: Tensor
    normals: Tensor
    fps: Tensor
    category: Tensor
    occupancy_points: Tensor | None = None
    occupancy: Tensor | None = None
    rig: Tensor | None = None
    scan: FittedScan | None = None


def uniform(generator: torch.Generator, device: torch.device, *shape: int) -> Tensor:
    """Numbers between 0 and 1 on a device; they are drawn on the generator's, so that every device gets the same."""
    return torch.rand(shape, generator=generator, device=generator.device).to(device)


def turn_and_fit(points: Tensor, normals: Tensor, yaw: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Turn clips [B, T, N, 3] and their normals [B, N, 3] about Y by `yaw` [B] radians, and normalise them.

    Also returns what was done: the rotation [B, 3, 3], and frame 0's centre [B, 3] and size [B] after it.
    """
    turn = torch.zeros(len(yaw), 3, 3, device=yaw.device)
    turn[:, 0, 0] = turn[:, 2, 2] = yaw.cos()
    turn[:, 0, 2], turn[:, 2, 0], turn[:, 1, 1] = yaw.sin(), -yaw.sin(), 1.0
    points = torch.einsum("bij,btnj->btni", turn, points)
    low, high = points[:, 0].amin(1), points[:, 0].amax(1)
    center, size = (low + high) / 2, (high - low).amax(1).clamp_min(1e-8)
    points = (points - center[:, None, None]) / size[:, None, None, None]
    return points, torch.einsum("bij,bnj->bni", turn, normals), turn, center, size


def with_occupancy(
    clips: ClipBatch,
    fresh: Tensor,
    stored: tuple[Tensor, Tensor, Tensor, Tensor],
    turn: Tensor,
    center: Tensor,
    size: Tensor,
) -> None:
    """Add occupancy queries to clips placed by `turn_and_fit`: first uniform in the box of side 1.1, then near ones.

    `stored` holds queries [B, Q, 3], their labels [B, Q], and the low and high corner [B, 3] of the pose's box, in the
    clip's units. Stored uniform queries fill only that box. Of the `fresh` ones [B, U, 3], in normalised space, those
    outside the pose's box are labelled outside, and those inside are replaced by stored ones.
    """
    places, inside, low, high = stored
    half = fresh.shape[1]
    in_clip = torch.einsum("bji,bqj->bqi", turn, fresh * size[:, None, None] + center[:, None])
    boxed = ((in_clip >= low[:, None]) & (in_clip <= high[:, None])).all(-1)
    known = (torch.einsum("bij,bqj->bqi", turn, places) - center[:, None]) / size[:, None, None]
    known[:, :half] = torch.where(boxed[..., None], known[:, :half], fresh)
    inside[:, :half] = torch.where(boxed, inside[:, :half], torch.zeros_like(inside[:, :half]))
    clips.occupancy_points, clips.occupancy = known, inside


class ClipRequest(NamedTuple):
    """What to draw from a source."""

    batch: int
    frames: int
    points: int
    split: str = "train"
    queries: int = 0  # occupancy queries


class ClipSource:
    """A source of training clips. Subclasses implement `draw`."""

    splits: tuple[str, ...] = SPLITS

    @torch.no_grad()
    def sample(
        self,
        batch: int,
        frames: int,
        points: int,
        generator: torch.Generator,
        split: str = "train",
        occupancy_queries: int = 0,
    ) -> ClipBatch:
        """Draw `batch` random clips of `frames` frames; the same generator state gives the same clips.

        Raises DataError for an unknown split or an impossible number.
        """
        if split not in self.splits:
            raise DataError(f"Unknown split {split!r}; choose {', '.join(SPLITS)}.")
        if batch < 1 or frames < 1 or points < 1 or occupancy_queries < 0:
            raise DataError(f"{batch} clips of {frames} frames, {points} points, is out of range; ask for 1 or more.")
        return self.draw(ClipRequest(batch, frames, points, split, occupancy_queries), generator)

    def has(self, request: ClipRequest) -> bool:
        """Whether this source has anything of that kind."""
        return True

    def draw(self, request: ClipRequest, generator: torch.Generator) -> ClipBatch:
        """The clips of a valid request."""
        raise NotImplementedError("A source of clips defines how it draws them.")
