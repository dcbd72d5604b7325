"""Searches the bank for windows that fit a request, with any start, at several speeds, also mirrored.

A handle's position is a linear functional of the borrowed rotations, as the Poisson solve of `core.geometry.rigid` is
linear. So a few small products score every window of every matched shape, without a solve. A window's energy is minus
the logarithm of an unnormalised likelihood with independent terms: the path of the handles, the agreement of the first
pose with the body's own, the similarity of the shapes, and motion that the handles do not require.
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
MISSED = 10.5  # root mean square of the handles' distances from their keys, over the distance they should move
MISSED_BY_MANY = 6.2  # weight of the same, times the logarithm of the number of keys
ASTRAY, FAR = 5.4, 0.6  # additional weight of what exceeds FAR
SLACK = 0.04  # of the size, added to the distance that handles should move
LARGER = -2.3  # logarithm of the amplitude
POSE = 9.9  # how much worse than the shape's best the first pose agrees with the body's own
ALIKE = 4.0  # dissimilarity of the shapes; fitted 2.3, but 4 looks right more often and is worse on no measure
EFFORT = 2.75  # logarithm of the mean motion over the farthest handle's
RELIEF = 0.9  # this share of it is dropped if handles determine the whole body; chosen on unseen identities
AWAY = 1e-4  # of the size: a handle whose keys are nearer to its rest position is a pin
STILLEST = -2.8  # lower bound of these logarithms: less motion is not more likely
SPEEDS = {0.7: -3.1, 1.0: 0.0, 1.4: -0.4}  # and their energies
# If no handle moves: logarithm of a usual mean motion, its deviation, and the weight of both.
USUAL_MOTION, USUAL_SPREAD, UNUSUAL = -2.8, 0.55, 0.3
LOOP_GAP = 8.0  # makes a closed cycle free and a leap at its end prohibitive
PER_CLIP = 6  # windows kept of one clip and speed
KEYS_PER_HANDLE = 6
KEYS_OF_A_PIN = 3


Key = tuple[int, int, tuple[float, ...]]  # handle, frame, place


@dataclass(frozen=True, eq=False)
class Wish:
    """A request for a motion: keys in normalised space, with frames counted from the rest pose.

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
    without: frozenset[str] = frozenset()  # packs, shapes and clips not to borrow from, see `BankShape.clip_key`


@dataclass(frozen=True, eq=False)
class Window:
    """One candidate: the entry, its clip and frames, speed, amplitude, and `energy` (higher is less likely)."""

    match: Match
    clip: int
    start: float  # frame of the clip, at the bank's rate
    speed: float
    amplitude: float
    energy: float
    effort: float = 0.0  # the part of the energy for its motion as a whole, estimated

    @property
    def name(self) -> str:
        """The name to show: "Horse, eating"."""
        shape = self.match.entry.shape
        clip = shape.clips[self.clip]
        words = clip.name.rsplit("|", 1)[-1].replace("_", " ").strip().lower()
        return f"{plain_name(shape.name)}, {words}"


def plain_name(stem: str) -> str:
    """A rig's file name in plain words: "farm_Horse" is "Horse"."""
    words = stem.replace("-", "_").split("_")
    kept = words[1:] if words[0] in PREFIXES and not "".join(words[1:]).isdigit() and len(words) > 1 else words
    return " ".join(kept).strip().capitalize() or stem


PREFIXES = ("farm", "simple", "fish", "m2m", "cyber", "space", "platformer", "modular", "procedural")


class PreparedWish(NamedTuple):
    """A wish as the search uses it: some of its keys, their offsets from rest, and the handles' functionals."""

    wish: Wish
    keys: list[Key]
    place: Floats  # [n, 3]
    size: float  # distance of the farthest key from rest
    determined: float  # how much the handles determine the whole body, 0 to 1
    levers: Floats  # [K, P, 3]

    @classmethod
    def of(cls, body: Body, wish: Wish, functional: Floats) -> PreparedWish:
        """`functional` [P, P, 3] is `position_functional` of the body."""
        keys = _thinned(wish)
        goals = np.array([key[2] for key in keys], np.float32).reshape(-1, 3)
        place: Floats = goals - wish.rest[[key[0] for key in keys]].reshape(-1, 3)
        size, determined = how_far(wish)
        return cls(wish, keys, place, size, determined, _handle_levers(body, wish, functional))


def how_far(wish: Wish) -> tuple[float, float]:
    """The largest distance of a key from its handle's rest, and how much the handles determine the body, 0 to 1."""
    far = [float(np.linalg.norm(np.subtract(place, wish.rest[handle]))) for handle, _, place in wish.keys]
    moving = {handle for (handle, _, _), distance in zip(wish.keys, far, strict=True) if distance > AWAY}
    return max(far, default=0.0), share_determined(len(moving))


def share_determined(moving: int) -> float:
    """How much this many moving handles determine the whole body: 0 for one, 1 for three and more."""
    return min(max(moving - 1, 0) / 2, 1.0)


class Terms(NamedTuple):
    """The terms of the energy at one speed, with a row for each frame of an entry that a window may begin at [F]."""

    speed: float
    amplitude: Floats  # factor on the window's motion
    missed: Floats  # root mean square of the handles' distances from their keys, over the distance to move
    pose: Floats  # how much worse than the entry's best the first pose agrees with the body's own
    motion: Floats  # mean motion of the whole body
    gap: Floats  # between the poses at either end of a loop
    possible: NDArray[np.bool_]


def find_windows(body: Body, matches: Sequence[Match], wish: Wish, functional: Floats, most: int = 96) -> list[Window]:
    """At most `most` windows, the likeliest first. `functional` [P, P, 3] is `position_functional` of the body."""
    prepared = PreparedWish.of(body, wish, functional)
    found: list[Window] = []
    for match in matches:
        for terms in window_terms(match, prepared):
            by_effort = effort(terms.motion, prepared.size, prepared.determined)
            energy = np.where(terms.possible, energy_of(terms, match.cost, prepared) + by_effort, np.inf)
            clip, frame = match.entry.clip, match.entry.frame
            found += [
                Window(
                    match,
                    int(clip[row]),
                    float(frame[row]),
                    terms.speed,
                    float(terms.amplitude[row]),
                    float(energy[row]),
                    float(by_effort[row]),
                )
                for row in _best_of_each_clip(energy, clip)
            ]
    found.sort(key=lambda window: window.energy)
    return found[:most]


def energy_of(terms: Terms, cost: float, prepared: PreparedWish) -> Floats:
    """The energies [F] of windows without their effort; `cost` is the dissimilarity of the shapes."""
    missing = MISSED + MISSED_BY_MANY * np.log(max(len(prepared.keys), 1))
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
    """[P, P, 3]: the position of node p is the nodes' mean plus the sum over n of (rotation n) @ functional[p, n]."""
    weight, rest = body.weight.astype(np.float64), body.nodes.astype(np.float64)
    degree = weight.sum(axis=1)
    inverse = np.linalg.pinv(np.diag(degree) - weight)
    own = inverse[:, :, None] * (degree[:, None] * rest - weight @ rest)[None]
    others = np.einsum("pi,in,ia->pna", inverse, weight, rest, optimize=True)
    others -= (inverse @ weight)[:, :, None] * rest[None]
    result: Floats = (0.5 * (own + others)).astype(np.float32)
    return result


def _handle_levers(body: Body, wish: Wish, functional: Floats) -> Floats:
    """[K, P, 3]: the same functional for handles, which follow the nodes near them."""
    levers: Floats = np.einsum("kn,knpa->kpa", wish.shares, functional[wish.nodes])
    offsets = wish.shares[..., None] * (wish.rest[:, None] - body.nodes[wish.nodes])
    np.add.at(levers, (np.arange(len(levers))[:, None], wish.nodes), offsets)
    return levers


def _thinned(wish: Wish) -> list[Key]:
    """The keys; of a handle with many, an even choice that includes the last one."""
    result = []
    for handle in sorted({key[0] for key in wish.keys}):
        mine = sorted(key for key in wish.keys if key[0] == handle and key[1] > 0)
        still = all(np.allclose(key[2], wish.rest[handle], atol=1e-6) for key in mine)  # a pin
        count = min(len(mine), KEYS_OF_A_PIN if still else KEYS_PER_HANDLE)
        picks = np.linspace(0, len(mine) - 1, count).round().astype(int)
        result += [mine[pick] for pick in picks]
    return result


def window_terms(match: Match, prepared: PreparedWish) -> Iterator[Terms]:
    """The energy terms of the windows of one entry, for every speed."""
    entry, turned, wish = match.entry, np.asarray(match.turn), prepared.wish
    shape = entry.shape
    fits = [not wish.behaviour or clip.behaviour == wish.behaviour for clip in shape.clips]
    allowed = np.array(fits) & [shape.clip_key(clip) not in wish.without for clip in shape.clips]
    if not allowed.any():
        return
    by_part = np.einsum("nj,kna->kja", match.parts, prepared.levers @ turned.T, optimize=True)  # [K, J, 3]
    resting = by_part.sum(axis=1)
    wanted = prepared.place @ turned.T
    places, mass = entry.places, match.mass
    middle = np.einsum("fja,j->fa", places, mass)
    rotations = entry.rotations.swapaxes(1, 2).reshape(len(middle), 3, -1)  # [F, 3, J 3]: applied to all parts at once
    begun = {
        handle: np.einsum("sjba,jb->sja", entry.rotations, by_part[handle], optimize=True).reshape(len(middle), -1, 1)
        for handle in {key[0] for key in prepared.keys}
    }
    span = wish.frames - 1 if not wish.loop else wish.frames
    none = np.zeros(len(middle))
    for speed in SPEEDS:
        step = speed * STORED_FPS / wish.fps
        moved, along, squared = [], none.copy(), none + 1e-9
        for (handle, frame, _), target in zip(prepared.keys, wanted, strict=True):
            then = entry.rows_after(frame * step)
            path = (rotations[then] @ begun[handle])[..., 0] - resting[handle]
            path += middle[then] - middle
            moved.append(path)
            along += path @ target
            squared += np.einsum("fa,fa->f", path, path)
        amplitude, missed = none + 1.0, none
        if prepared.size > 0:
            amplitude = np.clip(along / squared, *AMPLITUDE)
            squares = none.copy()
            for path, target in zip(moved, wanted, strict=True):
                off = amplitude[:, None] * path - target
                squares += np.einsum("fa,fa->f", off, off)
            missed = np.sqrt(squares / len(moved)) / (prepared.size + SLACK)
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


def effort(motion: NDArray[Any], size: float, determined: float) -> NDArray[Any]:
    """The energy of a mean motion relative to the distance that handles should move, or by itself if none moves.

    It is small if the handles determine the body (`determined` near 1).
    """
    if size > 0:
        beside: NDArray[Any] = EFFORT * (1 - RELIEF * determined) * np.maximum(log_motion(motion, size), STILLEST)
        return beside
    alone: NDArray[Any] = UNUSUAL * np.square((np.log(motion + 0.0005) - USUAL_MOTION) / USUAL_SPREAD)
    return alone


def log_motion(motion: NDArray[Any], size: float) -> NDArray[Any]:
    """Logarithm of a mean motion over the distance that the farthest handle should move."""
    result: NDArray[Any] = np.log((motion + 0.01 * max(size, 0.05)) / size)
    return result
