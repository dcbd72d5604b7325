"""The path of a handle through its keys: target position and rotation in each frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import HandleError
from core.key_easing import Easing
from core.quaternions import Floats, slerp, unit_quaternions

Turn = Floats | None  # a unit quaternion [4] (x, y, z, w), or None: free


class Stop(NamedTuple):
    place: NDArray[np.float64]  # [3]
    turn: Turn


class HandlePath(NamedTuple):
    """Frames without a target repeat the last one, with the masks False."""

    targets: NDArray[np.float64]  # [T, 3]
    keyed: NDArray[np.bool_]  # [T]
    turns: NDArray[np.float64]  # [T, 4] unit quaternions from the rest pose
    turned: NDArray[np.bool_]  # [T]


def quaternion_of_degrees(vector: ArrayLike) -> Floats:
    """The unit quaternion [..., 4] of an axis [..., 3] times an angle in degrees."""
    axis = np.asarray(vector, dtype=np.float64)
    angle = np.linalg.norm(axis, axis=-1, keepdims=True)
    half = np.radians(angle) / 2
    return unit_quaternions(np.concatenate([axis / np.maximum(angle, 1e-12) * np.sin(half), np.cos(half)], -1))


def degrees_of_quaternion(quaternion: ArrayLike) -> Floats:
    """The axis [..., 3] times the angle in degrees, 0 to 180, of a unit quaternion [..., 4]."""
    q = np.asarray(quaternion, dtype=np.float64)
    q = np.where(q[..., 3:] < 0, -q, q)
    sine = np.linalg.norm(q[..., :3], axis=-1, keepdims=True)
    angle = 2 * np.degrees(np.arctan2(sine, q[..., 3:]))
    return np.where(sine > 1e-12, q[..., :3] / np.maximum(sine, 1e-12) * angle, 0.0)


def turned_further(first: ArrayLike, then: ArrayLike) -> Floats:
    """The composition of two turns [..., 3], axis times degrees."""
    a, b = quaternion_of_degrees(first), quaternion_of_degrees(then)
    vector = b[..., 3:] * a[..., :3] + a[..., 3:] * b[..., :3] + np.cross(b[..., :3], a[..., :3])
    scalar = b[..., 3] * a[..., 3] - (b[..., :3] * a[..., :3]).sum(-1)
    return degrees_of_quaternion(np.concatenate([vector, scalar[..., None]], -1))


def path_through(
    stops: Mapping[int, Stop], frames: int, pins: Sequence[tuple[int, int]], easing: Mapping[int, Easing], hold: bool
) -> HandlePath:
    """The path through `stops`, by frame, including frame 0. A pin holds the stop of its first frame, or the one before
    it.

    Between stops the path is free, unless an easing is set there or `hold`, which is linear.
    """
    held = dict(stops)
    for first, last in (pin for pin in pins if pin[0] < frames):
        stop = held[max(frame for frame in held if frame <= first)]
        held = {frame: other for frame, other in held.items() if not first < frame <= last}
        held |= {first: stop, min(last, frames - 1): stop}
    path = HandlePath(
        np.tile(held[0].place, (frames, 1)),
        np.zeros(frames, dtype=bool),
        np.tile([0.0, 0.0, 0.0, 1.0], (frames, 1)),
        np.zeros(frames, dtype=bool),
    )
    for frame, after, way in _ways(sorted(held), frames, pins, easing, hold):
        here, there = held[frame], held.get(after, held[frame])
        if after < frames and way is not None:
            share = way.share(np.arange(after - frame) / (after - frame))[:, None]
            path.targets[frame:after] = here.place + share * (there.place - here.place)
            path.keyed[frame:after] = True
            if here.turn is not None and there.turn is not None:
                path.turns[frame:after] = slerp(here.turn[None], there.turn[None], share)
                path.turned[frame:after] = True
        elif hold:
            path.targets[frame:], path.keyed[frame:] = here.place, True
            if here.turn is not None:
                path.turns[frame:], path.turned[frame:] = here.turn, True
        path.targets[frame], path.keyed[frame] = here.place, True
        if here.turn is not None:
            path.turns[frame], path.turned[frame] = here.turn, True
    return path


def _ways(
    order: Sequence[int], frames: int, pins: Sequence[tuple[int, int]], easing: Mapping[int, Easing], hold: bool
) -> Iterator[tuple[int, int, Easing | None]]:
    """Segments between stops, and from the last one to the end: both frames and the easing."""
    for frame, after in pairwise([*order, frames]):
        if any(first <= frame < last for first, last in pins):
            yield frame, after, Easing("hold")
        else:
            yield frame, after, easing.get(frame, Easing("linear") if hold else None)


def checked_keys(keys: Mapping[int, ArrayLike], vertex: int) -> dict[int, NDArray[np.float64]]:
    """Positions [3] by frame, in order and read-only; raises HandleError, which names the handle's vertex."""
    found = {}
    for frame in sorted(keys):
        position = np.array(keys[frame], dtype=np.float64)
        if position.shape != (3,):
            raise HandleError(f"The key at frame {frame} of vertex {vertex} needs three numbers, x y z.")
        position.setflags(write=False)
        found[int(frame)] = position
    return found


def checked_turns(turns: Mapping[int, ArrayLike], vertex: int) -> dict[int, NDArray[np.float64]]:
    """Turns [3] by frame, read-only; raises HandleError."""
    found = {}
    for frame, value in turns.items():
        turn = np.array(value, dtype=np.float64)
        if turn.shape != (3,) or not np.isfinite(turn).all():
            raise HandleError(
                f"The turn at frame {frame} of vertex {vertex} needs three numbers, an axis times degrees."
            )
        turn.setflags(write=False)
        found[int(frame)] = turn
    return found


def checked_pins(pins: Iterable[tuple[int, int]], vertex: int) -> tuple[tuple[int, int], ...]:
    """Ranges of frames in order, touching ones merged; raises HandleError."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(pins):
        if not 0 <= first <= last:
            raise HandleError(
                f"A pin of vertex {vertex} goes from frame {first} to {last}; it must end after it starts."
            )
        if found and first <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return tuple(found)
