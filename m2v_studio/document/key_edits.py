"""What happens to the keys of handles when several change together, as pure functions on plain values."""

from __future__ import annotations

from collections.abc import Mapping

from numpy.typing import NDArray


def stretched(keys: Mapping[int, NDArray], scale: float, frames: int) -> dict[int, NDArray]:
    """The keys after frame 0 at `scale` times their frame, each in a frame of its own below `frames`."""
    before = sorted(frame for frame in keys if frame > 0)
    after: list[int] = []
    for row, frame in enumerate(before):
        room = frames - 1 - (len(before) - 1 - row)  # the later ones need theirs
        after.append(min(max(round(frame * scale), after[-1] + 1 if after else 1), room))
    return {to: keys[frame] for frame, to in zip(before, after, strict=True)}
