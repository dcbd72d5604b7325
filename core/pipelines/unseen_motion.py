"""Borrows motion from the bank for the parts of a surface that scans did not show.

Seen places become handles, with a key in every frame that shows them, and the bank is searched for windows that move
them the same way. Each seed takes another window, conditioned on the handles. Seen parts keep the scan's motion.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import KDTree

from core.bank.library import MotionLibrary, Proposals
from core.bank.user_bank import bank_files
from core.checkpoint import PART_DESCRIPTOR, checkpoint_path
from core.geometry.farthest_points import farthest_point_indices
from core.pipelines.handle_posterior import follow_handles
from core.pipelines.leads import MOST_UNLIKE
from core.pipelines.living_motion import ENOUGH_HANDLES, settle
from core.pipelines.moving_body import Describe, KeyedHandles, wish_for
from core.pipelines.part_descriptions import PartDescriptions
from core.pipelines.prepared_mesh import PreparedMesh

SEEN = 0.02  # of the size, from a frame's points: nearer vertices were seen in it
OFTEN = 0.5  # share of the frames that has to show a handle
HANDLES = 24
SHAPES = 10  # the most alike, whose windows are searched
NEAR, FAR = 0.02, 0.1  # distances from what was seen between which the borrowed motion takes over


@dataclass(frozen=True, eq=False)
class BankMotions:
    """The bank of motions, and what tells the parts of a body."""

    library: MotionLibrary
    describe: Describe

    @classmethod
    def load(cls, preset: str) -> BankMotions | None:
        """All motions that are installed; None for a preset that was trained without rigs.

        Raises CheckpointError or DataError for damaged files.
        """
        if not checkpoint_path(preset, PART_DESCRIPTOR).is_file():
            return None
        return cls(MotionLibrary.load(*bank_files()), PartDescriptions.load(preset))

    @property
    def packs(self) -> dict[str, str]:
        """The pack of each shape by its name."""
        return self.library.packs

    def without(self, names: Collection[str]) -> BankMotions:
        """Without shapes whose name, pack or author is in `names`."""
        return replace(self, library=self.library.without(names))


def move_unseen(
    motions: BankMotions,
    mesh: PreparedMesh,
    moved: NDArray[np.float32],
    clouds: Sequence[NDArray[np.floating]],
    fps: float,
    seed: int,
    without: Collection[str] = (),
) -> NDArray[np.float32]:
    """The motion `moved` [T, V, 3] of a mesh with borrowed motion where points [N_t, 3] of the frames do not show it.

    All in normalised space. Shapes, packs and clips in `without` are not borrowed from. The motion stays as it is where
    too little was seen to ask for another, or no body of the bank is alike.
    """
    seen = np.stack([_near(frame, cloud) for frame, cloud in zip(moved, clouds, strict=True)])
    often = np.flatnonzero(seen[0] & (seen.mean(axis=0) >= OFTEN))
    if len(often) < ENOUGH_HANDLES:
        return moved
    spread = farthest_point_indices(torch.from_numpy(moved[0, often])[None], min(HANDLES, len(often)))
    chosen = often[spread[0].numpy()]
    body = mesh.moving_body(motions.describe)
    paths = moved[:, chosen].swapaxes(0, 1).astype(np.float64)
    handles = KeyedHandles(body.seats(chosen), paths, np.ascontiguousarray(seen[:, chosen].T))
    wish = wish_for(handles, fps, without=without)
    matches = mesh.matches(motions.library, body, wish.without)[:SHAPES]
    if not matches or matches[0].cost > MOST_UNLIKE:
        return moved
    proposals = Proposals(body.body, matches, wish)
    if not proposals.windows:
        return moved
    borrowed = follow_handles(body, proposals.of([seed])[1], proposals.poses, handles)
    settled, _ = settle(body, borrowed, handles, fps, contacts=False)
    carried = body.carry(settled.positions[0], settled.rotations[0])
    away = np.asarray(KDTree(moved[0, seen[0]]).query(moved[0])[0])
    share = ((away - NEAR) / (FAR - NEAR)).clip(0, 1)
    share = (share * share * (3 - 2 * share)).astype(np.float32)[:, None]
    result: NDArray[np.float32] = moved + share * (carried - moved)
    result[0] = moved[0]
    return result


def _near(places: NDArray[np.float32], cloud: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Which of places [V, 3] some point of a cloud [N, 3] is near to."""
    if not len(cloud):
        return np.zeros(len(places), dtype=bool)
    away = np.asarray(KDTree(cloud).query(places, distance_upper_bound=SEEN)[0])
    return np.asarray(np.isfinite(away), dtype=bool)
