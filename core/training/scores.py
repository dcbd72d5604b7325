"""How good samples of a motion are: the score that the motion denoiser is trained by where it sees noise only."""

from __future__ import annotations

import torch
from torch import Tensor

from core.models.warm_start import WarmStart
from core.shapes import Float

SMALLEST_MISS = 0.01  # of the shape's size: a clip that geometry alone gets right to this counts less, not more


def relative_score(
    estimate: Float[Tensor, "B T M 3"],
    displacements: Float[Tensor, "B T M 3"],
    warm: WarmStart | None,
    samples: int = 1,
) -> Float[Tensor, " B"]:
    """Energy score of estimated displacements over the distance of the as-rigid guess (or of no motion) from the truth.

    Unlike a square in the warm start's units it is what motions are judged by: far from the handles as much as beside
    them, and clips count by how much better they could be, not by how far they move.
    """
    rigid = torch.zeros_like(displacements) if warm is None else warm.guesses[..., 0, :]
    miss = (rigid - displacements).norm(dim=-1).mean(dim=(1, 2))
    return energy_score(estimate, displacements, samples) / (miss + SMALLEST_MISS)


def energy_score(
    estimate: Float[Tensor, "B T M C"], truth: Float[Tensor, "B T M C"], samples: int = 1
) -> Float[Tensor, " B"]:
    """Distance from the truth, per estimate; of two `samples` a clip also how little they differ from each other.

    With two samples (all first ones, then all second ones) half their distance from each other is taken off: the score
    is best when samples are as various as the truth is uncertain (Gneiting and Raftery 2007), where distance alone asks
    for the median. Distances are taken point by point and, as a pose has to hang together, frame by frame.
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
