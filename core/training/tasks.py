"""Draws handle tasks for motion training: which points of a clip are handles, and in which frames they are keyed."""

from __future__ import annotations

import torch
from torch import Tensor

from core.config import TaskConfig
from core.errors import ConfigError
from core.geometry.farthest_points import farthest_point_indices
from core.models.warm_start import HandleCondition
from core.observation_kinds import LEARNED

CANDIDATES = 256  # tracked points among which handles are drawn
TASK_KINDS = ("handles", *LEARNED)
SPREAD = 0.8  # share of clips whose handles are far apart: people grab different limbs


def pick_handles(rest: Tensor, count: int, spread: Tensor, generator: torch.Generator) -> Tensor:
    """Indices [B, count] of distinct tracked points: farthest points where `spread` [B], else random ones."""
    batch, points, _ = rest.shape
    pool = min(CANDIDATES, points)
    start = torch.randint(pool, (batch,), device=rest.device, generator=generator)
    far = farthest_point_indices(rest[:, :pool], count, start=start)
    shuffled = torch.rand(batch, pool, device=rest.device, generator=generator).argsort(dim=1)[:, :count]
    return torch.where(spread[:, None], far, shuffled)


def handles_from_tracks(points: Tensor, index: Tensor, keyframe_mask: Tensor, present: Tensor) -> HandleCondition:
    """Handles at tracked points [B, T + 1, N, 3]; index [B, K], keyframe_mask [B, T, K], present [B, K]."""
    expanded = index[:, None, :, None].expand(-1, points.shape[1], -1, 3)
    tracks = torch.gather(points, 2, expanded)
    keyframe_mask = keyframe_mask & present[:, None]
    displacement = (tracks[:, 1:] - tracks[:, :1]) * keyframe_mask[..., None]
    return HandleCondition(tracks[:, 0], displacement, keyframe_mask, present)


def random_handles(points: Tensor, config: TaskConfig, generator: torch.Generator) -> HandleCondition:
    """A random task per clip, by the shares in `config`. points [B, T + 1, N, 3]."""
    batch, frames_with_rest = points.shape[:2]
    frames = frames_with_rest - 1
    device = points.device

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, device=device, generator=generator)

    shares = torch.tensor(
        [config.full_tracks, config.keyframes, config.last_frame, config.mixed, config.nothing], device=device
    )
    task = torch.multinomial(shares / shares.sum(), batch, replacement=True, generator=generator)
    most = config.most_handles
    spread = uniform(batch) < SPREAD
    index = pick_handles(points[:, 0], most, spread, generator)
    # Log-uniform: from two handles to three is as large a step as from ten to fifteen.
    low = float(config.fewest_handles)
    counts = (low * ((most + 1.0) / low) ** uniform(batch)).long().clamp(config.fewest_handles, most)
    present = torch.arange(most, device=device)[None] < counts[:, None]
    present = present & (task != 4)[:, None]

    last = torch.zeros(frames, dtype=torch.bool, device=device)
    last[-1] = True
    scores = uniform(batch, frames) - 2.0 * last * (uniform(batch, 1) < 0.7)
    keys = 2 + (uniform(batch) < 0.5).long()
    common = scores.argsort(dim=1).argsort(dim=1) < keys[:, None]
    own_keys = uniform(batch, frames, most) < (uniform(batch, 1, most) * 3.0 / frames)
    whole = uniform(batch, 1, most) < 0.3
    # A handle without any key gets one in the last frame.
    own = own_keys | whole | (last[None, :, None] & ~own_keys.any(dim=1, keepdim=True))
    options = torch.stack(
        [
            torch.ones_like(own),
            common[:, :, None].expand_as(own),
            last[None, :, None].expand_as(own),
            own,
            torch.zeros_like(own),
        ]
    )
    keyframe_mask = options[task, torch.arange(batch, device=device)]
    if config.farthest > 0:
        leads = (uniform(batch) < config.farthest) & (task > 0) & (task < 4)
        index, keyframe_mask = _take_the_farthest(points, index, keyframe_mask, leads, task == 2)
    return handles_from_tracks(points, index, keyframe_mask, present)


def _take_the_farthest(
    points: Tensor, index: Tensor, keyframe_mask: Tensor, leads: Tensor, last_frame: Tensor
) -> tuple[Tensor, Tensor]:
    """In clips where `leads` [B], make the first handle the point that moves farthest, as people grab what is to move.

    It is keyed in the frame where it is farthest, or in the last frame.
    """
    pool = min(CANDIDATES, points.shape[2])
    far = (points[:, 1:, :pool] - points[:, :1, :pool]).norm(dim=-1)  # [B, T, N]
    far = torch.where(last_frame[:, None, None], far[:, -1:], far)
    frame_of, point = far.amax(dim=2).argmax(dim=1), far.amax(dim=1).argmax(dim=1)
    frames = torch.arange(far.shape[1], device=points.device)
    when = torch.where(last_frame, frames[-1], frame_of)
    first = frames[None] == when[:, None]
    index, keyframe_mask = index.clone(), keyframe_mask.clone()
    index[:, 0] = torch.where(leads, point, index[:, 0])
    keyframe_mask[:, :, 0] = torch.where(leads[:, None], first, keyframe_mask[:, :, 0])
    return index, keyframe_mask


def draw_kind(tasks: TaskConfig, generator: torch.Generator, prefix: str = "") -> str:
    """One of TASK_KINDS by the shares in the configuration, whose fields have this prefix (missing ones are 0).

    Raises ConfigError if all shares are 0.
    """
    shares = torch.tensor([float(getattr(tasks, prefix + kind, 0.0)) for kind in TASK_KINDS], device=generator.device)
    if not bool(shares.sum() > 0):
        raise ConfigError(
            f"All shares tasks.{prefix}... are 0; give at least one kind of observation a positive share."
        )
    return TASK_KINDS[int(torch.multinomial(shares, 1, generator=generator))]
