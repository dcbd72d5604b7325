"""Transfers windows of the bank to another body: rotations of its nodes, then positions by one Poisson solve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from core.bank.bank_file import STORED_FPS
from core.bank.matching import Body, Match
from core.bank.search import Window, Wish
from core.bank.shape import Floats
from core.geometry.rigid import RigidSurface, polar_rotation

SHORTEST_PASSAGE, LONGEST_PASSAGE = 0.25, 1.0  # seconds of the transition from one clip to the next
TURNING = 2.5  # radians per second (root mean square) at which a difference of poses fades out
FINAL = ("die",)  # no clip follows these
_CHUNK = 1 << 17  # rotations computed at a time; each takes a third of a kilobyte


class Borrowed(NamedTuple):
    """Motions of a body's nodes, one for each window. Frame 0 is the rest pose."""

    positions: Tensor  # [S, T, P, 3]
    rotations: Tensor  # [S, T, P, 3, 3] against the rest pose

    def of(self, seeds: slice) -> Borrowed:
        """The motions of some seeds."""
        return Borrowed(self.positions[seeds], self.rotations[seeds])


def borrow(body: Body, windows: Sequence[Window], wish: Wish) -> Borrowed:
    """The motions that windows give a body, whatever its handles are."""
    shape = len(windows), wish.frames, len(body.nodes), 3
    result = Borrowed(torch.empty(shape), torch.empty(*shape, 3))
    step = max(1, _CHUNK // (shape[1] * shape[2]))
    for start in range(0, len(windows), step):
        some = slice(start, start + step)
        result.positions[some], result.rotations[some] = _borrow(body, windows[some], wish)
    return result


def _borrow(body: Body, windows: Sequence[Window], wish: Wish) -> tuple[Tensor, Tensor]:
    turns, paths = [], []
    for window in windows:
        match = window.match
        rotations, places = play(window, wish)
        by_node = np.einsum("nj,tjab->tnab", match.parts, rotations, optimize=True)
        turns.append(np.einsum("ba,tnbc,cd->tnad", match.turn, by_node, match.turn, optimize=True))
        path = np.einsum("j,tja->ta", match.mass, places)
        paths.append((path - path[:1]) @ match.turn)
    absolute = polar_rotation(torch.from_numpy(np.stack(turns)).float())
    amplitude = torch.tensor([window.amplitude for window in windows], dtype=torch.float32)[:, None, None]
    relative = absolute @ absolute[:, :1].transpose(-1, -2)
    eye = torch.eye(3)
    rotation = polar_rotation(eye + amplitude[..., None, None] * (relative - eye))
    path = torch.from_numpy(np.stack(paths)).float() * amplitude
    return positions_from(body, rotation, path), rotation


def positions_from(body: Body, rotation: Tensor, path: Tensor) -> Tensor:
    """Node positions [S, T, P, 3] from rotations [S, T, P, 3, 3]; their mean follows `path` [S, T, 3]."""
    seeds, frames, count = rotation.shape[:3]
    rest = torch.from_numpy(body.nodes)
    surface = RigidSurface.floating(rest[None], torch.from_numpy(body.weight)[None])
    columns = rotation.permute(2, 0, 1, 3, 4).reshape(1, count, seeds * frames, 3, 3)
    moved = surface.positions(columns, torch.zeros(1, count, seeds * frames, 3))
    moved = moved.reshape(count, seeds, frames, 3).permute(1, 2, 0, 3)
    return moved - moved.mean(dim=2, keepdim=True) + rest.mean(dim=0) + path[:, :, None]


def play(window: Window, wish: Wish) -> tuple[Floats, Floats]:
    """Rotations [T, J, 3, 3] and places [T, J, 3] of the shape's parts in the frames of a request.

    A clip that ends before the request does is continued by another of its shape, from a frame with a similar pose.
    In a loop, the last third blends into the frames before its first one, so that it ends with the pose and speed of
    its first frame.
    """
    step = window.speed * STORED_FPS / wish.fps
    frames = window.start + step * np.arange(wish.frames)
    rotations, places = _chained(window.match, window.clip, frames, step, wish.fps)
    if wish.loop:
        span = step * wish.frames
        fade = np.clip((np.arange(wish.frames) / wish.frames - 2 / 3) * 3, 0, 1)
        earlier = pose_at(window.match, window.clip, frames - span)
        end = _chained(window.match, window.clip, np.append(frames, frames[-1] + step), step, wish.fps)[1][-1]
        shift = window.match.mass @ (end - pose_at(window.match, window.clip, frames[:1])[1][0])
        drift = shift[None] * (np.arange(wish.frames) / wish.frames)[:, None]  # a loop stays where it is
        rotations, places = _mixed((rotations, places - drift[:, None]), (earlier[0], earlier[1]), fade)
    return rotations, places


def _chained(match: Match, clip: int, frames: Floats, step: float, fps: float) -> tuple[Floats, Floats]:
    info = match.entry.shape.clips[clip]
    end = info.frames - 1
    rotations, places = pose_at(match, clip, frames)
    if info.period or frames[-1] <= end + 0.5 or info.behaviour in FINAL:
        return rotations, places
    cut = max(1, int(np.searchsorted(frames, end, side="right")) - 1)  # the last frame within the clip
    follower, start = _follower(match, clip, float(min(frames[cut], end)))
    if match.entry.shape.clips[follower].frames < 3:
        return rotations, places
    following = _chained(match, follower, start + step * np.arange(len(frames) - cut), step, fps)
    shift = match.mass @ (places[cut] - following[1][0])
    before = rotations[: cut + 1], places[: cut + 1]
    after = _passing(before, (following[0], following[1] + shift), match.mass, fps)
    return np.concatenate([rotations[:cut], after[0]]), np.concatenate([places[:cut], after[1]])


def _passing(
    before: tuple[Floats, Floats], after: tuple[Floats, Floats], mass: Floats, fps: float
) -> tuple[Floats, Floats]:
    """`after`, but starting with the last pose and speed of `before`; the difference fades out.

    Both contain the frame of the change. The farther apart the poses are, the longer the fade.
    """
    angle = float(np.sqrt(np.square(before[0][-1] - after[0][0]).sum(axis=(-1, -2)) @ mass / 2))
    length = max(2, round(fps * min(SHORTEST_PASSAGE + angle / TURNING, LONGEST_PASSAGE)))
    result = []
    for old, new in zip(before, after, strict=True):
        apart, faster = old[-1] - new[0], np.zeros_like(new[0])
        if len(old) > 1 and len(new) > 1:
            faster = (old[-1] - old[-2]) - (new[1] - new[0])
        result.append(new + dying(apart, faster, length, len(new)))
    return result[0], result[1]


def dying(apart: Floats, faster: Floats, length: int, frames: int) -> Floats:
    """[T, ...]: fades a difference, and its change per frame, smoothly to 0 within `length` frames."""
    u = np.minimum(np.arange(frames) / length, 1).reshape(-1, *[1] * apart.ndim)
    place, speed = 1 - u**3 * (10 - 15 * u + 6 * u**2), u - u**3 * (6 - 8 * u + 3 * u**2)
    result: Floats = (place * apart + length * speed * faster).astype(np.float32)
    return result


def _follower(match: Match, clip: int, end: float) -> tuple[int, float]:
    """The clip and frame of the same shape with the pose nearest to a clip's at `end`, and enough frames left."""
    entry = match.entry
    pose = pose_at(match, clip, np.array([end]))[0][0]
    apart = np.square(entry.rotations - pose).sum(axis=(-1, -2)) @ match.mass
    behaviour = entry.shape.clips[clip].behaviour
    best = (np.inf, clip, 0.0)
    for number, info in enumerate(entry.shape.clips):
        if info.behaviour in FINAL:
            continue
        rows = slice(entry.first[number], entry.first[number] + max(1, info.frames // 2))
        other = 0.0 if info.behaviour == behaviour else 0.05 if info.behaviour == "idle" else 0.2
        place = int(apart[rows].argmin())
        best = min(best, (float(apart[rows][place]) + other, number, float(place)))
    return best[1], best[2]


def _mixed(a: tuple[Floats, Floats], b: tuple[Floats, Floats], share: Floats) -> tuple[Floats, Floats]:
    """A smooth blend from `a` to `b` as `share` [T] goes from 0 to 1."""
    smooth = (share * share * (3 - 2 * share)).astype(np.float32)
    return (a[0] + smooth[:, None, None, None] * (b[0] - a[0]), a[1] + smooth[:, None, None] * (b[1] - a[1]))


def pose_at(match: Match, clip: int, frames: Floats) -> tuple[Floats, Floats]:
    """Rotations [T, J, 3, 3] (not quite orthogonal) and places [T, J, 3] at fractional frames, smooth in time.

    A Catmull-Rom cubic through the stored frames; cyclic clips repeat, others hold their ends.
    """
    info, first = match.entry.shape.clips[clip], match.entry.first[clip]
    last = info.frames - 1
    frames = np.mod(frames, info.period) if info.period else np.clip(frames, 0, last)
    base = np.floor(frames).astype(np.int64)
    share = (frames - base).astype(np.float32)
    weights = 0.5 * np.stack(
        [
            -share + 2 * share**2 - share**3,
            2 - 5 * share**2 + 3 * share**3,
            share + 4 * share**2 - 3 * share**3,
            -(share**2) + share**3,
        ]
    )
    rows = base + np.array([-1, 0, 1, 2])[:, None]
    rows = np.mod(rows, round(info.period)) if info.period else np.clip(rows, 0, last)
    rows = first + np.minimum(rows, last)
    rotations = np.einsum("kt,ktjab->tjab", weights, match.entry.rotations[rows], optimize=True)
    return rotations, np.einsum("kt,ktja->tja", weights, match.entry.places[rows], optimize=True)
