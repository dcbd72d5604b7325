"""Closes motions into loops: the end meets the beginning in pose and speed."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.bank.borrowing import Borrowed
from core.errors import M2VError
from core.geometry.rigid import polar_rotation

SHORTEST_LOOP = 8  # frames
SEAM = 4  # frames on each side of the seam that a spline replaces; more if a gap remains
GAP = 0.006  # of the motion; tolerated gap at the seam, before handles are made exact
OVERSHOOT = 1.05  # splines may reach this times the motion's extent


def check_loop(frames: int) -> None:
    """Raise M2VError for a loop that is too short."""
    if frames < SHORTEST_LOOP:
        raise M2VError(
            f"A loop of {frames} frames is too short to close smoothly; make it {SHORTEST_LOOP} frames or longer."
        )


def closed_loop(motions: Borrowed) -> Borrowed:
    """Motions [S, T, P, ...] as loops: a frame T would equal frame 0, which does not change."""
    return smooth_seam(Borrowed(_gap_closed(motions.positions), _gap_closed(motions.rotations)))


def smooth_seam(motions: Borrowed) -> Borrowed:
    """Motions [S, T, P, ...] with the frames around the seam on a quintic spline; frame 0 does not change.

    The spline passes through the frames beyond, so motions that are smooth there hardly change.
    """
    frames = motions.positions.shape[1]
    result = [_smoothed(one, frames) for one in zip(*motions, strict=True)]
    return Borrowed(torch.stack([row[0] for row in result]), polar_rotation(torch.stack([row[1] for row in result])))


def _smoothed(motion: tuple[Tensor, Tensor], frames: int) -> tuple[Tensor, Tensor]:
    """One motion with the shortest spline that leaves no gap, else with the one that leaves the smallest."""
    positions, rotations = motion
    shortest = min(SEAM, (frames - 2) // 2)
    reach = float((positions - positions[:1]).norm(dim=-1).max())
    best, least = None, float("inf")
    for width in range(shortest, max(shortest, frames // 4) + 1):
        operator = torch.from_numpy(_seam_operator(frames, width)).to(positions)
        moved = (operator @ positions.flatten(1)).reshape(positions.shape)
        overshoots = float((moved - moved[:1]).norm(dim=-1).max()) > OVERSHOOT * reach
        left = max(seam_gaps(moved.double().numpy()))
        if best is None or (left < least and not overshoots):
            best, least = (moved, (operator @ rotations.flatten(1)).reshape(rotations.shape)), left
        if least <= GAP:
            break
    assert best is not None
    return best


def seam_gaps(paths: NDArray[np.floating]) -> tuple[float, float]:
    """The jump of a loop's points [T, P, 3] at the seam, in position and in velocity.

    They are relative to an extrapolation from three frames on each side: root mean squares over the points, as
    fractions of their largest distance from frame 0 (velocity per frame).
    """
    around = np.concatenate([paths[-5:], paths[:5]]).astype(np.float64)
    speed = np.diff(around, axis=0)  # [4] crosses the seam
    turn = np.diff(speed, axis=0)  # [3] and [4] touch it
    leap = speed[4] - (9 * (speed[3] + speed[5]) - speed[2] - speed[6]) / 16
    jerk = turn[3] + turn[4] - 1.5 * (turn[2] + turn[5]) + 0.5 * (turn[1] + turn[6])
    motion = float(np.sqrt(np.square(paths - paths[:1]).sum(axis=-1).mean(axis=-1).max()))
    position, velocity = (float(np.sqrt(np.square(gap).sum(axis=-1).mean())) for gap in (leap, jerk))
    return position / max(motion, 1e-9), velocity / max(motion, 1e-9)


def _gap_closed(paths: Tensor) -> Tensor:
    """Paths [S, T, ...] whose second half gradually compensates the gap between end and beginning."""
    frames, ends = paths.shape[1], torch.cat([paths[:, -3:], paths[:, :3]], dim=1)
    step = ends.diff(dim=1)  # [:, 2] crosses the seam
    apart = (9 * (step[:, 1] + step[:, 3]) - step[:, 0] - step[:, 4]) / 16 - step[:, 2]
    share = ((torch.arange(frames) - frames / 2) / (frames / 2)).clamp_min(0)
    share = share**3 * (10 - 15 * share + 6 * share**2)
    return paths - share.reshape(-1, *[1] * (paths.dim() - 2)).to(paths) * apart[:, None]


@lru_cache(maxsize=32)
def _seam_operator(frames: int, width: int) -> NDArray[np.float64]:
    """[T, T]: all frames from the kept ones, minimising squared third differences around the loop."""
    free = np.array([frame % frames for frame in range(-width, width + 1) if frame])
    kept = np.setdiff1d(np.arange(frames), free)
    third = np.zeros((frames, frames))
    for row in range(frames):
        for offset, weight in enumerate((-1.0, 3.0, -3.0, 1.0)):
            third[row, (row + offset) % frames] += weight
    result = np.eye(frames)
    solved = -np.linalg.lstsq(third[:, free], third[:, kept], rcond=None)[0]
    result[free] = 0.0
    result[np.ix_(free, kept)] = solved
    return result
