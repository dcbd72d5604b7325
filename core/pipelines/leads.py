"""Finds the motion that leads each seed: a window of the bank, or random bending if no body in the bank is similar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.bank.borrowing import Borrowed
from core.bank.grounding import may_stand
from core.bank.library import MotionLibrary, Proposals
from core.errors import M2VError
from core.pipelines.as_rigid import bending_motions, with_second_opinion
from core.pipelines.body_request import Request
from core.pipelines.handle_posterior import follow_handles
from core.pipelines.prepared_mesh import PreparedMesh

MOST_UNLIKE = 1.6  # matching cost beyond which no shape of the bank is similar
NOTHING_ALIKE = "The bank holds no body like this shape, so it bends at random, as rigidly as the handles allow."
NOTHING_LEFT = (
    "None of the motions that are switched on is of a body like this, so it bends at random, as rigidly as the handles "
    "allow."
)
NOT_SHOWN = "No motion shows the behaviour {!r} on a shape like this; choose another, or switch more motions on."


class Lead(NamedTuple):
    """The motion that leads each seed."""

    motions: Borrowed
    sources: list[str]  # names to be shown; empty for random bending
    standing: NDArray[np.bool_]  # whether the body may put its feet down

    @property
    def borrowed(self) -> bool:
        """Whether the bank leads, rather than random bending."""
        return any(self.sources)


def find_lead(library: MotionLibrary, prepared: PreparedMesh, request: Request, seeds: Sequence[int]) -> Lead:
    """The lead of each seed. Raises M2VError if no window of a similar body shows the requested behaviour."""
    handles, wish = request.handles, request.wish
    matches = prepared.matches(library, request.body, wish.without)
    proposals = None
    if matches and matches[0].cost <= MOST_UNLIKE:
        proposals = Proposals(request.body.body, matches, wish)
    if proposals is not None and proposals.windows:
        windows, before = proposals.of(seeds)
        motions = follow_handles(request.body, before, proposals.poses, handles)
        motions = with_second_opinion(request.body, motions, before, proposals.poses, handles)
        standing = may_stand(windows, matches[0].entry.shape)
        return Lead(motions, [window.name for window in windows], standing)
    if proposals is not None and wish.behaviour:
        raise M2VError(NOT_SHOWN.format(wish.behaviour))
    bent = bending_motions(request.body, handles, wish.fps, seeds)
    return Lead(bent, [""] * len(seeds), np.ones(len(seeds), bool))
