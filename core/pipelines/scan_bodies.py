"""Chooses the bodies that complete a partial scan, one for each seed.

Several bodies may fit what was seen. They are ranked by the overlap (IoU) that each is expected to have with the true
shape, which may be any of the fitted bodies, with a probability that falls with its misfit, or the shape model's.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from core.geometry.occupancy import uniform_box_points
from core.pipelines.body_fit import FittedBody, fit_bodies, in_company
from core.pipelines.body_search import BodyPoses, Floats, find_bodies
from core.pipelines.free_space import FreeSpace
from core.pipelines.seen_side import Extent

TRIED = 32  # bodies that are bent to the points
PROBES = 6000  # places at which insides are compared
LIKELIHOOD = 0.006  # misfit by which a body is less likely by a factor of e
MODEL_SHARE = 0.5  # of the belief, for the shape model's own answer
MOST_MISFIT, MOST_WHOLE = 0.018, 0.03  # beyond, a body says nothing about the shape, of which a side or all was seen
CLEARLY_WORSE = 0.06  # of expected overlap below the best: no seed takes such a body

Occupancy = Callable[[Floats], NDArray[np.floating]]


def likely_bodies(
    poses: BodyPoses,
    points: NDArray[np.floating],
    free: FreeSpace | None,
    model: Occupancy,
    check_cancelled: Callable[[], None] = lambda: None,
    extent: Extent = Extent.SIDE,
    on_better: Callable[[FittedBody], None] = lambda body: None,
) -> list[FittedBody]:
    """Bodies bent to frame 0's seen points [N, 3], in normalised space, the best first; none where none fits.

    `model` maps places [Q, 3] to occupancy logits [Q]. `free` and `extent` are as in `find_bodies`, `on_better` as in
    `fit_bodies`.
    """
    found = find_bodies(poses, points, free, TRIED, check_cancelled, extent)
    fits = fit_bodies(found, points, free, check_cancelled, extent, on_better)
    if not fits:
        return []
    whole = extent is Extent.WHOLE
    places = uniform_box_points(PROBES, np.random.default_rng(0))
    if free is not None:
        places = places[free.clearance(places) < 0]
    logits = np.asarray(model(places), dtype=np.float64)
    blended = (body.field(places) if whole else body.blended(logits, places, trust=1.0) for body in fits)
    inside = np.stack([field > 0 for field in blended])
    overlap = expected_overlap(inside, logits > 0, np.array([body.misfit for body in fits]))
    order = np.argsort(-overlap, kind="stable")
    most = MOST_WHOLE if whole else MOST_MISFIT
    if fits[order[0]].misfit > most:
        return []
    likely = [
        fits[row] for row in order if fits[row].misfit <= most and overlap[row] > overlap[order[0]] - CLEARLY_WORSE
    ]
    return in_company(likely, LIKELIHOOD)


def expected_overlap(
    inside: NDArray[np.bool_],
    model: NDArray[np.bool_] | None,
    misfit: NDArray[np.float64],
    likelihood: float = LIKELIHOOD,
) -> NDArray[np.float64]:
    """[K] about the IoU of each of K insides [K, Q] with the truth, which is one of them or the model's [Q]."""
    belief = likelihoods(misfit, likelihood) @ inside
    if model is not None:
        belief = (1 - MODEL_SHARE) * belief + MODEL_SHARE * model
    common = inside @ belief
    return np.asarray(common / (belief.sum() + inside.sum(axis=1) - common).clip(1e-9))


def likelihoods(misfit: NDArray[np.float64], likelihood: float = LIKELIHOOD) -> NDArray[np.float64]:
    """[K] how likely each of K fits is, one of them being right."""
    likely = np.exp(-(misfit - misfit.min()) / likelihood)
    return np.asarray(likely / likely.sum())
