"""Takes frame numbers as times: where a number is missing, there is a moment without a scan."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

MOST_MISSING = 3  # times the number of frames; sparser numbers are no frame numbers


def numbers_in_names(names: Sequence[str]) -> list[int] | None:
    """The last number in each name's stem, if all have one and they increase; else None."""
    found = [re.findall(r"\d+", name.rsplit(".", 1)[0] if "." in name else name) for name in names]
    if not all(found) or any(len(digits[-1]) > 9 for digits in found):
        return None
    # Only the last number may differ: a1b7 and a2b7 are not two frames.
    if len({tuple(digits[:-1]) for digits in found}) > 1:
        return None
    numbers = [int(digits[-1]) for digits in found]
    return numbers if all(a < b for a, b in pairwise(numbers)) else None


def frame_places(numbers: Sequence[int] | None) -> list[int] | None:
    """Each frame's place in time, from 0, if some frames between are missing; else None.

    The unit is the smallest step, so that every fifth frame of a film is a sequence without gaps.
    """
    if numbers is None or len(numbers) < 3:
        return None
    values = np.asarray(numbers, dtype=np.int64)
    steps = values[1:] - values[:-1]
    unit = int(steps.min())
    if np.mod(steps, unit).any():
        unit = int(np.gcd.reduce(steps))
    places = (values - values[0]) // unit
    missing = int(places[-1]) + 1 - len(places)
    return places.tolist() if 0 < missing <= MOST_MISSING * len(places) else None


def places_of_times(times: Sequence[float]) -> tuple[list[int] | None, float | None]:
    """`frame_places` and frames per second of increasing times in seconds; None where they cannot be told."""
    if len(times) < 2:
        return None, None
    steps = np.diff(np.asarray(times, dtype=np.float64))
    usual = float(np.median(steps))
    if not (np.isfinite(usual) and usual > 1e-6):
        return None, None
    numbers = np.concatenate([[0], np.cumsum(np.maximum(np.round(steps / usual), 1.0))]).astype(np.int64)
    fps = 1.0 / usual
    whole = round(fps)
    return frame_places(numbers.tolist()), float(whole) if whole and abs(fps - whole) < 0.02 * fps else fps


def with_gaps(frames: Sequence[NDArray], places: Sequence[int]) -> tuple[list[NDArray], str]:
    """Frames at their places, with empty ones [0, 3] in the gaps, and a note on that."""
    result = [np.zeros((0, 3), np.float32) for _ in range(places[-1] + 1)]
    for place, frame in zip(places, frames, strict=True):
        result[place] = frame
    missing = [place for place in range(len(result)) if place not in set(places)]
    named = ", ".join(map(str, missing[:6])) + (" ..." if len(missing) > 6 else "")
    return result, (
        f"{len(missing):,} frames are missing by their numbers or times ({named}); the sequence has {len(result):,} "
        "frames, and the model fills those in."
    )
