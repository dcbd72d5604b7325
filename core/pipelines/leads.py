"""What leads the motion of every seed: a window of the bank, or where no body of it is alike, random bending."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.bank.borrowing import Borrowed
from core.bank.library import MotionLibrary, Proposals
from core.errors import M2VError
from core.pipelines.as_rigid import bending_motions, with_second_opinion
from core.pipelines.body_request import Request
from core.pipelines.handle_posterior import follow_handles
from core.pipelines.prepared_mesh import PreparedMesh

MOST_UNLIKE = 1.6  # matching cost beyond which no shape of the bank is similar
NOTHING_ALIKE = "The bank holds no body like this shape, so it bends at random, as rigid as the handles allow."
NOTHING_LEFT = "No motion switched on is of a body like this; it bends at random, as rigid as the handles allow."
NOT_SHOWN = "No motion shows the behaviour {!r} on a shape like this; choose another, or switch more motions on."


class Lead(NamedTuple):
    """The motions that lead each seed, what a person calls them, and what they were before the handles told more."""

    motions: Borrowed
    sources: list[str]
    before: Borrowed
    poses: (
        NDArray[np.floating] | None
    )  # displacements [N, P, 3] of the nodes in all fitting windows; None: random bending

    @property
    def borrowed(self) -> bool:
        """Whether the bank leads, rather than random bending."""
        return self.poses is not None

    def checked_by_handles(self, request: Request, motions: Borrowed) -> Borrowed:
        """`motions`, blended with as-rigid deformation as far as that foretells handles from each other better."""
        if self.poses is None:
            return motions
        given = request.seats, request.targets, request.keyframe_mask, request.wish.loop
        return with_second_opinion(request.body, motions, self.before, self.poses, *given)


def find_lead(library: MotionLibrary, prepared: PreparedMesh, request: Request, seeds: Sequence[int]) -> Lead:
    """The lead of every seed. Raises M2VError where no window of a similar body shows the behaviour asked for."""
    seats, targets, mask, wish = request.seats, request.targets, request.keyframe_mask, request.wish
    matches = prepared.matches(library, request.body, wish.without)
    proposals = None
    if matches and matches[0].cost <= MOST_UNLIKE:
        proposals = Proposals(request.body.body, matches, wish)
    if proposals is not None and proposals.windows:
        windows, before = proposals.of(seeds)
        motions = follow_handles(request.body, before, proposals.poses, seats, targets, mask, wish.loop)
        return Lead(motions, [window.name for window in windows], before, proposals.poses)
    if proposals is not None and wish.behaviour:
        raise M2VError(NOT_SHOWN.format(wish.behaviour))
    bent = bending_motions(request.body, seats, targets, mask, wish.fps, seeds, wish.loop)
    return Lead(bent, [""] * len(seeds), bent, None)
