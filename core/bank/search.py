"""Windows of the bank that fit a request: any start, several speeds, either side, scored by what they would do.

A handle's position under borrowed rotations is a linear functional of them (the Poisson solve of `core.geometry.rigid`
is linear), so every window of every matched shape is judged by a few small products, without solving anything.
The energy of a window is minus the logarithm of an unnormalised likelihood with independent terms: path of the handles,
agreement of the first pose with the body's own, likeness of the shapes, and motion that the request does not call for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.bank.bank_file import STORED_FPS
from core.bank.matching import Body, Match
from core.bank.shape import Floats

AMPLITUDE = (0.5, 1.3)  # how far a window's motion may be scaled to meet the handles
# Weights of the energy's terms: minus the log-likelihood of the true motions of 531 requests on 120 rigs, each with its
# pack left out of the bank, under a mixture of what the windows make (`core.experiments.fit_choice`).
MISSED = 10.5  # root mean square by which handles miss their keys, over how far they are to move
MISSED_BY_MANY = 6.2  # the same, times the logarithm of the number of keys
ASTRAY, FAR = 5.4, 0.6  # what is missed by more than this counts once more
SLACK = 0.04  # of the size, added to how far handles are to move
LARGER = -2.3  # logarithm of the amplitude
POSE = 9.9  # how much worse than the shape's best the first pose agrees with the body's own
ALIKE = 4.0  # fitted 2.3; likelier to look right at 4, and no worse on any measure
EFFORT = 2.75  # logarithm of the mean motion over the farthest handle's
RELIEF = 0.9  # share of it that goes where handles tell of the whole body; chosen on unseen identities
AWAY = 1e-4  # of the size: a handle that is nearer to its place is a pin
STILLEST = -2.8  # of these logarithms: less motion is no likelier
SPEEDS = {0.7: -3.1, 1.0: 0.0, 1.4: -0.4}  # and their energies
# Where no handle moves: logarithm of a usual mean motion, its deviation, and the weight of both.
USUAL_MOTION, USUAL_SPREAD, UNUSUAL = -2.8, 0.55, 0.3
LOOP_GAP = 8.0  # makes a closed cycle free and a leap at its end prohibitive
PER_CLIP = 6  # windows kept of one clip and speed
KEYS_PER_HANDLE = 6
KEYS_OF_A_PIN = 3


Key = tuple[int, int, tuple[float, ...]]  # handle, frame, place


@dataclass(frozen=True, eq=False)
class Wish:
    """What a request says about the motion: keys in normalised space, frames counted from the rest pose.

    `nodes` [K, n] and `shares` [K, n] are the body's nodes that carry a handle; `rest` [K, 3] its place at rest.
    """

    frames: int
    fps: float
    rest: Floats
    nodes: NDArray[np.int64]
    shares: Floats
    keys: tuple[Key, ...]
    behaviour: str = ""  # empty: any
    loop: bool = False
    without: frozenset[str] = frozenset()  # names of what is not to be borrowed from, see `BankShape.clip_key`


@dataclass(frozen=True, eq=False)
class Window:
    """One candidate: which frames of which entry, how fast, how large, and how unlikely (`energy`)."""

    match: Match
    clip: int
    start: float  # frame of the clip, at the bank's rate
    speed: float
    amplitude: float
    energy: float
    effort: float = 0.0  # the part of it that its motion as a whole costs, estimated

    @property
    def name(self) -> str:
        """What a person reads: "Horse, eating"."""
        shape = self.match.entry.shape
        clip = shape.clips[self.clip]
        words = clip.name.rsplit("|", 1)[-1].replace("_", " ").strip().lower()
        return f"{plain_name(shape.name)}, {words}"


def plain_name(stem: str) -> str:
    """A rig's file name as a person would say it: "farm_Horse" is a horse."""
    words = stem.replace("-", "_").split("_")
    kept = words[1:] if words[0] in PREFIXES and not "".join(words[1:]).isdigit() and len(words) > 1 else words
    return " ".join(kept).strip().capitalize() or stem


PREFIXES = ("farm", "simple", "fish", "m2m", "cyber", "space", "platformer", "modular", "procedural")


class Asked(NamedTuple):
    """A wish as the search reads it: a few keys, how far each lies from the handle's rest, what moves the handles."""

    wish: Wish
    keys: list[Key]
    place: Floats  # [n, 3]
    size: float  # of the farthest
    told: float  # how much the handles say about the whole body
    levers: Floats  # [K, P, 3]

    @classmethod
    def of(cls, body: Body, wish: Wish, functional: Floats) -> Asked:
        """`functional` [P, P, 3] is `position_functional` of the body."""
        keys = _thinned(wish)
        goals = np.array([key[2] for key in keys], np.float32).reshape(-1, 3)
        place: Floats = goals - wish.rest[[key[0] for key in keys]].reshape(-1, 3)
        size, told = how_far(wish)
        return cls(wish, keys, place, size, told, _handle_levers(body, wish, functional))


def how_far(wish: Wish) -> tuple[float, float]:
    """How far the farthest key lies from its handle's rest, and how much the handles say about the whole body."""
    far = [float(np.linalg.norm(np.subtract(place, wish.rest[handle]))) for handle, _, place in wish.keys]
    moving = {handle for (handle, _, _), distance in zip(wish.keys, far, strict=True) if distance > AWAY}
    return max(far, default=0.0), body_told(len(moving))


def body_told(moving: int) -> float:
    """How much so many moving handles say of the whole body: one dragged point nothing, three all that handles can."""
    return min(max(moving - 1, 0) / 2, 1.0)


class Terms(NamedTuple):
    """What makes windows unlikely, a row for each frame of an entry that they may begin at, all of one speed [F]."""

    speed: float
    amplitude: Floats  # by which the window's motion is multiplied
    missed: Floats  # root mean square by which handles miss their keys, over how far they are to move
    pose: Floats  # how much worse than the entry's best the first pose agrees with the body's own
    motion: Floats  # mean of the whole body
    gap: Floats  # between the poses at either end of a loop
    possible: NDArray[np.bool_]


def find_windows(body: Body, matches: Sequence[Match], wish: Wish, functional: Floats, most: int = 96) -> list[Window]:
    """The `most` likely windows, the best first. `functional` [P, P, 3] is `position_functional` of the body."""
    asked = Asked.of(body, wish, functional)
    found: list[Window] = []
    for match in matches:
        for terms in window_terms(match, asked):
            toil = effort(terms.motion, asked.size, asked.told)
            energy = np.where(terms.possible, energy_of(terms, match.cost, asked) + toil, np.inf)
            clip, frame = match.entry.clip, match.entry.frame
            found += [
                Window(
                    match,
                    int(clip[row]),
                    float(frame[row]),
                    terms.speed,
                    float(terms.amplitude[row]),
                    float(energy[row]),
                    float(toil[row]),
                )
                for row in _best_of_each_clip(energy, clip)
            ]
    found.sort(key=lambda window: window.energy)
    return found[:most]


def energy_of(terms: Terms, cost: float, asked: Asked) -> Floats:
    """How unlikely windows are [F], their effort not counted; `cost` says how unlike the shapes are."""
    missing = MISSED + MISSED_BY_MANY * np.log(max(len(asked.keys), 1))
    result: Floats = (
        missing * terms.missed
        + ASTRAY * np.maximum(terms.missed - FAR, 0)
        + LARGER * np.log(terms.amplitude)
        + POSE * terms.pose
        + ALIKE * cost
        + SPEEDS[terms.speed]
        + LOOP_GAP * terms.gap
    )
    return result


def position_functional(body: Body) -> Floats:
    """[P, P, 3]: node p lies at the nodes' mean plus the sum over n of (rotation n) @ functional[p, n]."""
    weight, rest = body.weight.astype(np.float64), body.nodes.astype(np.float64)
    degree = weight.sum(axis=1)
    inverse = np.linalg.pinv(np.diag(degree) - weight)
    own = inverse[:, :, None] * (degree[:, None] * rest - weight @ rest)[None]
    others = np.einsum("pi,in,ia->pna", inverse, weight, rest, optimize=True)
    others -= (inverse @ weight)[:, :, None] * rest[None]
    result: Floats = (0.5 * (own + others)).astype(np.float32)
    return result


def _handle_levers(body: Body, wish: Wish, functional: Floats) -> Floats:
    """[K, P, 3]: the same functional for handles, which ride on the nodes near them."""
    levers: Floats = np.einsum("kn,knpa->kpa", wish.shares, functional[wish.nodes])
    offsets = wish.shares[..., None] * (wish.rest[:, None] - body.nodes[wish.nodes])
    np.add.at(levers, (np.arange(len(levers))[:, None], wish.nodes), offsets)
    return levers


def _thinned(wish: Wish) -> list[Key]:
    """The keys, of handles that have many an even choice with the last."""
    result = []
    for handle in sorted({key[0] for key in wish.keys}):
        mine = sorted(key for key in wish.keys if key[0] == handle and key[1] > 0)
        still = all(np.allclose(key[2], wish.rest[handle], atol=1e-6) for key in mine)  # a pin
        count = min(len(mine), KEYS_OF_A_PIN if still else KEYS_PER_HANDLE)
        picks = np.linspace(0, len(mine) - 1, count).round().astype(int)
        result += [mine[pick] for pick in picks]
    return result


def window_terms(match: Match, asked: Asked) -> Iterator[Terms]:
    """For every speed what is unlikely about the windows of one entry."""
    entry, turned, wish = match.entry, np.asarray(match.turn), asked.wish
    shape = entry.shape
    fits = [not wish.behaviour or clip.behaviour == wish.behaviour for clip in shape.clips]
    allowed = np.array(fits) & [shape.clip_key(clip) not in wish.without for clip in shape.clips]
    if not allowed.any():
        return
    by_part = np.einsum("nj,kna->kja", match.parts, asked.levers @ turned.T, optimize=True)  # [K, J, 3]
    resting = by_part.sum(axis=1)
    wanted = asked.place @ turned.T
    places, mass = entry.places, match.mass
    middle = np.einsum("fja,j->fa", places, mass)
    rotations = entry.rotations.swapaxes(1, 2).reshape(len(middle), 3, -1)  # [F, 3, J 3]: applied to all parts at once
    begun = {
        handle: np.einsum("sjba,jb->sja", entry.rotations, by_part[handle], optimize=True).reshape(len(middle), -1, 1)
        for handle in {key[0] for key in asked.keys}
    }
    span = wish.frames - 1 if not wish.loop else wish.frames
    none = np.zeros(len(middle))
    for speed in SPEEDS:
        step = speed * STORED_FPS / wish.fps
        moved, along, squared = [], none.copy(), none + 1e-9
        for (handle, frame, _), target in zip(asked.keys, wanted, strict=True):
            then = entry.rows_after(frame * step)
            path = (rotations[then] @ begun[handle])[..., 0] - resting[handle]
            path += middle[then] - middle
            moved.append(path)
            along += path @ target
            squared += np.einsum("fa,fa->f", path, path)
        amplitude, missed = none + 1.0, none
        if asked.size > 0:
            amplitude = np.clip(along / squared, *AMPLITUDE)
            squares = none.copy()
            for path, target in zip(moved, wanted, strict=True):
                off = amplitude[:, None] * path - target
                squares += np.einsum("fa,fa->f", off, off)
            missed = np.sqrt(squares / len(moved)) / (asked.size + SLACK)
        motion = none.copy()
        for part in (1 / 3, 2 / 3, 1.0):
            way = places[entry.rows_after(part * span * step)] - places
            motion += np.sqrt(np.einsum("fja,fja->fj", way, way)) @ mass / 3
        left = entry.left_after(span * step)
        # A clip may end before the request does if it is played from its beginning.
        gap = none
        if wish.loop:
            apart = entry.rotations[entry.rows_after(span * step)] - entry.rotations
            gap = np.einsum("fjab,fjab->fj", apart, apart) @ mass
        possible = allowed[entry.clip] & ((left >= 0) | (entry.frame == 0))
        worse = match.pose.max() - match.pose
        yield Terms(speed, amplitude, missed, worse, amplitude * motion, gap, possible)


def _best_of_each_clip(energy: NDArray[Any], clip: NDArray[Any]) -> NDArray[np.int64]:
    """Rows of the `PER_CLIP` lowest finite energies of every clip."""
    order = np.lexsort((energy, clip))
    rank = np.arange(len(order)) - np.searchsorted(clip[order], clip[order])
    result: NDArray[np.int64] = order[(rank < PER_CLIP) & np.isfinite(energy[order])]
    return result


def effort(motion: NDArray[Any], size: float, told: float) -> NDArray[Any]:
    """What a mean motion costs beside how far a handle is to move (or by itself, where none is).

    Little where the handles themselves are `told` how the body moves.
    """
    if size > 0:
        beside: NDArray[Any] = EFFORT * (1 - RELIEF * told) * np.maximum(log_motion(motion, size), STILLEST)
        return beside
    alone: NDArray[Any] = UNUSUAL * np.square((np.log(motion + 0.0005) - USUAL_MOTION) / USUAL_SPREAD)
    return alone


def log_motion(motion: NDArray[Any], size: float) -> NDArray[Any]:
    """Logarithm of a mean motion over how far the farthest handle is to move."""
    result: NDArray[Any] = np.log((motion + 0.01 * max(size, 0.05)) / size)
    return result
