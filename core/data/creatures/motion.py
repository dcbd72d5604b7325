"""Building blocks of motions: clocks, gaits, one-shot gestures, two-bone legs. Times are in clips of 17 frames."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from core.data.creatures.seeds import SeededDraw

TAU = 2 * math.pi


def clip_time(frames: int, device: torch.device) -> Tensor:
    """[1, T]: 0 at frame 0 and 1 at frame 16; above 1 in longer clips."""
    return torch.arange(frames, device=device, dtype=torch.float32)[None] / 16


def smoothstep(value: Tensor) -> Tensor:
    value = value.clamp(0, 1)
    return value * value * value * (value * (value * 6 - 15) + 10)


def cycles(draw: SeededDraw, frames: int, slow: float = 0.45, fast: float = 1.7) -> Tensor:
    """Phase [n, T] in cycles of a repeated motion, with random pace and start; some clips set off or come to rest."""
    time = clip_time(frames, draw.device)
    pace = draw.log_between(slow, fast)[:, None]
    start = draw.unit()[:, None]
    kind, onset, length = draw.unit()[:, None], draw.between(0.1, 0.5)[:, None], draw.between(0.4, 0.8)[:, None]
    ramp = smoothstep((time - onset * 0.6) / length)
    brake = 1 - smoothstep((time - onset) / length)
    rate = torch.where(kind < 0.7, torch.ones_like(ramp), torch.where(kind < 0.85, ramp, brake))
    advance = (rate[:, 1:] + rate[:, :-1]) / 32
    return start + pace * torch.cat([torch.zeros_like(rate[:, :1]), advance.cumsum(1)], 1)


def gesture(draw: SeededDraw, frames: int, returns: float = 0.35) -> Tensor:
    """Progress [n, T] from 0 to 1 of a single action, which may already be under way and may be undone again."""
    time = clip_time(frames, draw.device)
    onset, length = draw.between(-0.15, 0.25)[:, None], draw.between(0.5, 1.05)[:, None]
    hold, back = draw.between(0.0, 0.3)[:, None], draw.between(0.4, 0.8)[:, None]
    undone = draw.chance(returns)[:, None].float()
    progress = smoothstep((time - onset) / length) - undone * smoothstep((time - onset - length - hold) / back)
    return progress


def wave(phase: Tensor, lag: Tensor | float = 0.0) -> Tensor:
    """sin of a phase in cycles, `lag` cycles late."""
    return torch.sin(TAU * (phase - lag))


def step_cycle(phase: Tensor, duty: Tensor) -> tuple[Tensor, Tensor]:
    """A foot's forward position in [-0.5, 0.5] strides and lift in [0, 1]; in stance it moves back evenly."""
    turn = phase - phase.floor()
    swing = ((turn - duty) / (1 - duty)).clamp(0, 1)
    forward = torch.where(turn < duty, 0.5 - turn / duty, smoothstep(swing) - 0.5)
    return forward, torch.sin(math.pi * swing)


def two_bone(forward: Tensor, down: Tensor, upper: Tensor, lower: Tensor, bend: float) -> tuple[Tensor, Tensor]:
    """Angles about X from straight down of the two segments of a limb that reaches (forward, down).

    `bend` 1 puts the middle joint in front (a knee), -1 behind (an elbow). Lengths broadcast against [n, T].
    """
    reach = (forward.square() + down.square()).sqrt()
    reach = torch.minimum(reach, 0.998 * (upper + lower))
    reach = torch.maximum(reach, 1.02 * (upper - lower).abs() + 1e-3)
    towards = torch.atan2(-forward, down)
    at_top = torch.acos(((upper**2 + reach**2 - lower**2) / (2 * upper * reach)).clamp(-1, 1))
    at_foot = torch.acos(((lower**2 + reach**2 - upper**2) / (2 * lower * reach)).clamp(-1, 1))
    return towards - bend * at_top, towards + bend * at_foot


def rest_angle(start: Tensor, end: Tensor) -> Tensor:
    """The turn about X [n, 1] from straight down of a segment in the rest pose."""
    along = end - start
    return torch.atan2(-along[:, 2], -along[:, 1])[:, None]
