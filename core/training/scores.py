"""The motion denoiser's training loss on pure noise: a score of motion samples."""

from __future__ import annotations

import torch
from torch import Tensor

from core.models.warm_start import WarmStart
from core.shapes import Float

SMALLEST_MISS = 0.01  # of the shape's size: limits the weight of clips that geometry alone solves


def relative_score(
    estimate: Float[Tensor, "B T M 3"],
    displacements: Float[Tensor, "B T M 3"],
    warm: WarmStart | None,
    samples: int = 1,
) -> Float[Tensor, " B"]:
    """Energy score of estimated displacements, over the error of the as-rigid guess (without warm start, of no motion).

    Unlike a squared error in the warm start's units, it weighs all points alike, and clips by how much they can
    improve, not by how far they move.
    """
    rigid = torch.zeros_like(displacements) if warm is None else warm.guesses[..., 0, :]
    miss = (rigid - displacements).norm(dim=-1).mean(dim=(1, 2))
    return energy_score(estimate, displacements, samples) / (miss + SMALLEST_MISS)


def energy_score(
    estimate: Float[Tensor, "B T M C"], truth: Float[Tensor, "B T M C"], samples: int = 1
) -> Float[Tensor, " B"]:
    """Energy score per estimate: its distance from the truth, minus half the distance between two `samples` of a clip.

    The first half of the batch holds the first samples. The score is best when samples vary as much as the truth is
    uncertain (Gneiting and Raftery 2007); distance alone is minimised by the median. Distances are taken per point and,
    for coherent poses, per frame.
    """
    score = _distance(estimate, truth)
    if samples == 2:
        first, second = estimate.chunk(2)
        score = score - 0.5 * _distance(first, second).repeat(2)
    return score


def _distance(a: Float[Tensor, "B T M C"], b: Float[Tensor, "B T M C"]) -> Float[Tensor, " B"]:
    """Mean of the points' and of the frames' (root of the mean square) distances; smooth at zero."""
    squares = (a - b).square().sum(dim=-1) + 1e-10
    return 0.5 * squares.sqrt().mean(dim=(1, 2)) + 0.5 * squares.mean(dim=2).sqrt().mean(dim=1)
