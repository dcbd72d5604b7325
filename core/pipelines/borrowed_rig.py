"""Makes rigs with the bank: the skeleton of the most similar shape, and borrowed motions that bend its joints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.bank.bank_file import STORED_FPS
from core.bank.borrowing import borrow
from core.bank.grounding import lead_by_feet
from core.bank.matching import Match
from core.bank.parts import OPPOSITE, part_of, side_or_spine_heading
from core.bank.search import Window, Wish, find_windows, plain_name, position_functional
from core.errors import ExportError
from core.pipelines.animate import Animator
from core.pipelines.bone_names import word_and_side
from core.pipelines.living_motion import settle
from core.pipelines.make_rig import USUAL, RigOptions, RigResult, make_rig
from core.pipelines.moving_body import MovingBody, wish_for
from core.pipelines.part_descriptions import PartDescriptions
from core.pipelines.request import OnStep, Windows, phase_reporter
from core.quaternions import kabsch_rotations
from core.rigging.guide import Guide
from core.sequence import MeshSequence, Normalization, SourceMesh

Floats = NDArray[np.float64]
# Behaviours that are borrowed as actions, the most usual ones first.
WANTED = ("idle", "walk", "run", "fly", "swim", "eat", "attack", "jump", "gesture", "sit", "hit", "die", "dance")
MOST_WINDOWS = 8
FPS = 24.0
LONGEST = 3.0  # seconds of a window
SHORTEST = 9  # frames
LIKE_ENOUGH = 1.0  # matching cost up to which a shape's skeleton fits the body
NAMED = 1.1  # matching cost beyond which the part descriptor's names are wrong
ALIKE = 0.15  # matching cost above the best one's up to which motions are borrowed
AROUND = 0.08  # of the size; nodes this near to a joint determine where it is carried


NOTHING_LENT = (
    "The bank holds no body like {!r}, so no motion can be borrowed for it; give a motion to make a rig from."
)


class BorrowedWindow(NamedTuple):
    """One motion of the bank as a motion of the mesh, in the mesh's own units."""

    name: str  # "Horse, gallop"
    behaviour: str
    sequence: MeshSequence


class BorrowedRig(NamedTuple):
    """A skeleton and motions for a mesh; `guide` is None if no skeleton of the bank fits."""

    guide: Guide | None
    windows: tuple[BorrowedWindow, ...]
    cost: float  # matching cost of the most similar shape


def rig_with_bank(
    sequences: Sequence[MeshSequence],
    names: Sequence[str],
    mesh: SourceMesh | None = None,
    windows: Windows = "none",
    options: RigOptions = USUAL,
    preset: str = "small",
    on_step: OnStep | None = None,
) -> RigResult:
    """`make_rig` with skeleton, names and motions of the bank's most similar shape.

    `mesh` is the mesh that the sequences move (without it, their first frame). Without sequences, the actions are
    borrowed `windows`. Raises ExportError as `make_rig` does, and if there are no sequences and no similar shape.
    """
    mesh = _resting(sequences, mesh)
    if not sequences:
        windows = "actions"
    phase_reporter(on_step)("Searching the motions")
    lent = borrow_rig(Animator.load(preset, "cpu"), mesh, windows != "none", on_step)
    if not sequences and not lent.windows:
        raise ExportError(NOTHING_LENT.format(mesh.name))
    moved, named = list(sequences), list(names)
    others = [window.sequence for window in lent.windows]
    if windows == "actions":
        moved, named, others = [*moved, *others], [*named, *(window.name for window in lent.windows)], []
    parts = PartDescriptions.load(preset).chances if lent.cost <= NAMED else None
    return make_rig(moved, named, options, mesh.up_axis, parts, on_step, lent.guide, others)


def _resting(sequences: Sequence[MeshSequence], mesh: SourceMesh | None) -> SourceMesh:
    """The mesh in the first pose of the first sequence. Raises ExportError without either."""
    if not sequences:
        if mesh is None:
            raise ExportError("A rig needs a mesh or a motion; give one.")
        return mesh
    first = sequences[0]
    rest, same = first.vertices[0], mesh is not None and np.array_equal(mesh.faces, first.faces)
    if mesh is not None and same:
        return replace(mesh, vertices=rest, origin=first.origin)
    up = "y" if mesh is None else mesh.up_axis
    own = np.arange(len(rest), dtype=np.int32)
    return SourceMesh(first.name, rest, first.faces, own, (), up_axis=up, origin=first.origin)


def borrow_rig(
    animator: Animator, mesh: SourceMesh, windows: bool = True, on_step: OnStep | None = None
) -> BorrowedRig:
    """The skeleton for a mesh and, with `windows`, one motion for each behaviour of similar shapes.

    Both are empty if the bank has no similar shape. Raises MeshError as `Animator.animate` does.
    """
    matches = animator.matches(mesh)
    if not matches:
        return BorrowedRig(None, (), np.inf)
    body = animator.body_of(mesh)
    guide = _guide(body, matches) if matches[0].cost <= LIKE_ENOUGH else None
    found = []
    for window in _chosen(body, matches) if windows else ():
        phase_reporter(on_step)(f"Borrowing {window.name}")
        found.append(_moved(body, window, mesh))
    return BorrowedRig(guide, tuple(found), matches[0].cost)


def _guide(body: MovingBody, matches: Sequence[Match]) -> Guide | None:
    """The skeleton of the best match that has one, carried over to the body; None if no shape is similar enough."""
    match = next((m for m in matches if len(m.entry.shape.parents) and m.cost <= LIKE_ENOUGH), None)
    if match is None:
        return None
    shape = match.entry.shape
    places = np.array([_carried(body, match, joint) for joint in range(shape.parts)])
    heading = _heading(match)
    return Guide(
        plain_name(shape.name),
        shape.parents.astype(np.int64),
        places,
        body.binding,
        match.parts,
        _named(match),
        body.body.heading if heading is None else heading,
    )


def _named(match: Match) -> tuple[tuple[str, str], ...]:
    """(word, side on the body) of the joints of the match's shape."""
    named = map(word_and_side, match.entry.shape.part_names)
    return tuple((word, OPPOSITE[side] if match.entry.reflected else side) for word, side in named)


def _heading(match: Match) -> float | None:
    """The body's heading by the names of the match's joints, in radians about Y from +Z; None if they do not tell."""
    shape = match.entry.shape
    ahead = side_or_spine_heading(shape.part_names, shape.nodes, match.entry.weights)
    if ahead is None:
        return None
    sides = {named[1] for named in map(part_of, shape.part_names) if named is not None}
    if match.entry.reflected and {"left", "right"} <= sides:
        ahead = -ahead  # left and right are swapped, but not their names
    x, _, z = ahead @ match.turn
    return float(np.arctan2(x, z))


def _carried(body: MovingBody, match: Match, joint: int) -> Floats:
    """The position [3] of a joint of the match's shape in the body: the same relative to the nodes around it."""
    shape = match.entry.shape
    place, parent = shape.joints[joint].astype(np.float64), int(shape.parents[joint])
    theirs, mine = match.theirs.astype(np.float64), body.nodes.astype(np.float64)
    near = np.exp(-np.square(theirs - place).sum(axis=1) / (2 * AROUND**2)) + 1e-9
    weight = near * (0.05 + match.parts[:, joint] + (match.parts[:, parent] if parent >= 0 else 0.0))
    weight /= weight.sum()
    their_middle, my_middle = weight @ theirs, weight @ mine
    their_own, own = theirs - their_middle, mine - my_middle
    spread = (weight[:, None] * their_own).T @ their_own
    # Rotated and scaled as the nodes around are, and a little as the whole shapes are.
    covariance = (weight[:, None] * own).T @ their_own + 0.1 * np.trace(spread) * match.turn.T
    rotation = kabsch_rotations(covariance)
    scale = np.sqrt(float(weight @ np.square(own).sum(axis=1)) / max(float(np.trace(spread)), 1e-9))
    found = my_middle + np.clip(scale, 0.5, 2.0) * rotation @ (place - their_middle)
    # If the shapes differ much, the joint would be carried far out of the body; it must stay near.
    away = mine - found
    apart = np.linalg.norm(away, axis=1)
    nearest = int(apart.argmin())
    result: Floats = found + away[nearest] * max(0.0, 1.0 - AROUND / max(float(apart[nearest]), 1e-9))
    return result


def _chosen(body: MovingBody, matches: Sequence[Match]) -> list[Window]:
    """The likeliest window of each behaviour; whole cycles if the clip is cyclic."""
    functional = position_functional(body.body)
    matches = [match for match in matches if match.cost <= matches[0].cost + ALIKE]
    known = {clip.behaviour for match in matches for clip in match.entry.shape.clips}
    result: list[Window] = []
    for behaviour in WANTED:
        if behaviour in known and len(result) < MOST_WINDOWS:
            found = find_windows(body.body, matches, _wish(body, SHORTEST, behaviour), functional, 1)
            result += found
    return result


def _wish(body: MovingBody, frames: int, behaviour: str = "", loop: bool = False) -> Wish:
    return wish_for(body.without_handles(frames, loop), FPS, behaviour)


def _moved(body: MovingBody, window: Window, mesh: SourceMesh) -> BorrowedWindow:
    shape = window.match.entry.shape
    clip = shape.clips[window.clip]
    seconds = (clip.period or clip.frames - 1 - window.start) / STORED_FPS / window.speed
    loop = clip.period > 0 and SHORTEST / FPS <= seconds <= LONGEST
    frames = max(SHORTEST, round(min(seconds, LONGEST) * FPS) + (0 if loop else 1))
    wish = _wish(body, frames, clip.behaviour, loop)
    borrowed = borrow(body.body, [window], wish)
    borrowed = borrowed._replace(positions=lead_by_feet([window], wish, borrowed.positions))
    settled, _ = settle(body, borrowed, body.without_handles(frames, loop), FPS)
    normalization = Normalization.of(mesh.vertices, mesh.up_axis)
    vertices = body.carry(settled.positions[0], settled.rotations[0], normalization)
    vertices[0] = mesh.vertices
    sequence = MeshSequence(vertices, mesh.faces, FPS, name=mesh.name, origin=mesh.origin)
    return BorrowedWindow(window.name, clip.behaviour, sequence)
