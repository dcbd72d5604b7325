"""What happens to the keys of handles when several change together, as pure functions on plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from numpy.typing import NDArray


def stretched(keys: Mapping[int, NDArray], scale: float, frames: int) -> dict[int, NDArray]:
    """The keys after frame 0 at `scale` times their frame, each in a frame of its own below `frames`."""
    before = sorted(frame for frame in keys if frame > 0)
    after = fitted([frame * scale for frame in before], 1, frames - 1)
    return {to: keys[frame] for frame, to in zip(before, after, strict=True)}


def fitted(wanted: Sequence[float], low: int, high: int) -> list[int]:
    """Ascending places as whole numbers from `low` to `high`, each in one of its own, near to where it was wanted."""
    after: list[int] = []
    for row, place in enumerate(wanted):
        room = high - (len(wanted) - 1 - row)  # the later ones need theirs
        after.append(min(max(round(place), after[-1] + 1 if after else low), room))
    return after
