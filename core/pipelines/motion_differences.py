"""Measures how far the motions of one request differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.pipelines.exact_handles import frame_chunks


def compare_motions(motions: Sequence[NDArray[np.float32]], size: float) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Each motion's mean distance from the mean of all [S], and the seeds' standard deviation [T, V], over `size`."""
    frames, count, _ = motions[0].shape
    disagreement = np.zeros((frames, count), dtype=np.float32)
    distances = np.zeros(len(motions))
    if len(motions) > 1:
        for chunk in frame_chunks(frames, count * len(motions)):
            stacked = np.stack([motion[chunk] for motion in motions]).astype(np.float64)
            squared = np.square(stacked - stacked.mean(axis=0)).sum(axis=-1) / size**2
            distances += np.sqrt(squared).sum(axis=(1, 2))
            disagreement[chunk] = np.sqrt(squared.mean(axis=0))
    return distances / (frames * count), disagreement
