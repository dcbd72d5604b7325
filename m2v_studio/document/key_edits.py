"""Retiming of several keys together, as pure functions on plain values."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace

from numpy.typing import NDArray

from core.sequence import Handle


def effect_of(handle: Handle) -> Hashable:
    """Equal for two handles with the same effect on a motion."""
    places = tuple((frame, place.tobytes()) for frame, place in handle.keys.items() if frame > 0)
    turns = tuple((frame, turn.tobytes()) for frame, turn in handle.turns.items() if frame > 0)
    region = handle.region.tobytes()
    return handle.vertex, region, handle.pinned, handle.hold, handle.pins, tuple(handle.easing.items()), places, turns


def stretched(keys: Mapping[int, NDArray], scale: float, frames: int) -> dict[int, NDArray]:
    """The keys after frame 0 at `scale` times their frame, each in a frame of its own below `frames`."""
    before = sorted(frame for frame in keys if frame > 0)
    after = fitted([frame * scale for frame in before], 1, frames - 1)
    return {to: keys[frame] for frame, to in zip(before, after, strict=True)}


def stretched_handle(handle: Handle, scale: float, frames: int) -> Handle:
    """The handle in a motion stretched by `scale` to `frames` frames."""
    keys = stretched(handle.keys, scale, frames)
    to = dict(zip(sorted(frame for frame in handle.keys if frame > 0), sorted(keys), strict=True)) | {0: 0}
    easing = {to[frame]: easing for frame, easing in handle.easing.items() if frame in to}
    turns = {to[frame]: turn for frame, turn in handle.turns.items() if frame in to}
    # A pin that starts at a key keeps starting there.
    ends = [(to.get(first, min(round(first * scale), frames - 1)), round(last * scale)) for first, last in handle.pins]
    pins = tuple((first, min(max(last, first), frames - 1)) for first, last in ends)
    return replace(handle, keys=keys, easing=easing, pins=pins, turns=turns)


def fitted(wanted: Sequence[float], low: int, high: int) -> list[int]:
    """Ascending positions rounded to distinct whole numbers from `low` to `high`."""
    after: list[int] = []
    for row, place in enumerate(wanted):
        room = high - (len(wanted) - 1 - row)  # the later ones need theirs
        after.append(min(max(round(place), after[-1] + 1 if after else low), room))
    return after
