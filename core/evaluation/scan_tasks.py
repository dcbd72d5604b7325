"""Simulates the scan of a clip for each task of the scan protocols; a clip and a task always give the same scan."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from core.evaluation.evaluation_clips import EvaluationClip
from core.observation_kinds import ScanTask, kind_named
from core.sequence import ScanSequence


def observe(task: ScanTask, clip: EvaluationClip) -> ScanSequence:
    """The scan that a task shows of a clip, in normalised space; the same in every run."""
    evaluate = kind_named(task.kind).evaluate
    assert evaluate is not None, "a kind with protocols can be simulated"
    return evaluate(clip.vertices, clip.faces, task, _seed(clip))


def seen_half(clip: EvaluationClip) -> tuple[NDArray[np.float64], float]:
    """(normal [3], level) of the plane p . normal = level in frame 0 above which a half body of this clip is seen."""
    from core.data.scan_simulation import half_body_plane

    return half_body_plane(clip.vertices, clip.faces, _seed(clip))


def _seed(clip: EvaluationClip) -> int:
    return zlib.crc32(clip.name.key.encode())
