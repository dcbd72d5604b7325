"""Windows of the bank that fit a request: any start, several speeds, either side, scored by what they would do.

A handle's position under borrowed rotations is a linear functional of them (the Poisson solve of `core.geometry.rigid`
is linear), so every window of every matched shape is judged by a few small products, without solving anything.
The energy of a window is minus the logarithm of an unnormalised likelihood with independent terms: path of the handles,
agreement of the first pose with the body's own, likeness of the shapes, and motion that the request does not call for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.bank.bank_file import STORED_FPS
from core.bank.matching import Body, Match
from core.bank.shape import Floats

SPEEDS = (0.7, 1.0, 1.4)
AMPLITUDE = (0.5, 1.3)  # how far a window's motion may be scaled to meet the handles
# Scales of the energy's terms, chosen on clips of packs that were left out of the bank.
REACH = 0.25  # deviation of a handle's path, over how far it is to move
POSE = 70.0
ALIKE = 6.0
EFFORT = 0.7
USUAL_EFFORT = -1.75  # logarithm of the mean motion over the farthest handle's, and its deviation
EFFORT_SPREAD = 0.55
USUAL_MOTION = -2.8  # logarithm of the mean motion where no handle says how large it is
LOOP_GAP = 20.0  # makes a closed cycle free and a leap at its end prohibitive
PER_CLIP = 6  # windows kept of one clip and speed
KEYS_PER_HANDLE = 6
KEYS_OF_A_PIN = 3


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
    keys: tuple[tuple[int, int, tuple[float, ...]], ...]  # (handle, frame, place)
    behaviour: str = ""  # empty: any
    loop: bool = False


@dataclass(frozen=True, eq=False)
class Window:
    """One candidate: which frames of which entry, how fast, how large, and how unlikely (`energy`)."""

    match: Match
    clip: int
    start: float  # frame of the clip, at the bank's rate
    speed: float
    amplitude: float
    energy: float

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
    kept = words[1:] if len(words) > 1 and words[0] in PREFIXES else words
    return " ".join(kept).strip().capitalize() or stem


PREFIXES = ("farm", "simple", "fish", "m2m", "cyber", "space", "platformer", "modular")


def find_windows(body: Body, matches: Sequence[Match], wish: Wish, functional: Floats, most: int = 96) -> list[Window]:
    """The `most` likely windows, the best first. `functional` [P, P, 3] is `position_functional` of the body."""
    keys = _thinned(wish)
    if keys:
        place = np.array([key[2] for key in keys], np.float32) - wish.rest[[key[0] for key in keys]]
        size = float(np.linalg.norm(place, axis=1).max())
    else:
        place, size = np.zeros((0, 3), np.float32), 0.0
    levers = _handle_levers(body, wish, functional)
    certainty = float(max(1, len({key[0] for key in keys})))
    found: list[Window] = []
    for match in matches:
        found += _windows_of(match, wish, keys, place, size, levers, certainty)
    found.sort(key=lambda window: window.energy)
    return found[:most]


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


def _thinned(wish: Wish) -> list[tuple[int, int, tuple[float, ...]]]:
    """The keys, of handles that have many an even choice with the last."""
    result = []
    for handle in sorted({key[0] for key in wish.keys}):
        mine = sorted(key for key in wish.keys if key[0] == handle and key[1] > 0)
        still = all(np.allclose(key[2], wish.rest[handle], atol=1e-6) for key in mine)  # a pin
        count = min(len(mine), KEYS_OF_A_PIN if still else KEYS_PER_HANDLE)
        picks = np.linspace(0, len(mine) - 1, count).round().astype(int)
        result += [mine[pick] for pick in picks]
    return result


def _windows_of(
    match: Match,
    wish: Wish,
    keys: list[tuple[int, int, tuple[float, ...]]],
    place: Floats,
    size: float,
    levers: Floats,
    certainty: float,
) -> list[Window]:
    entry, turned = match.entry, np.asarray(match.turn)
    wanted_clip = np.array([not wish.behaviour or clip.behaviour == wish.behaviour for clip in entry.shape.clips])
    allowed = wanted_clip[entry.clip]
    if not allowed.any():
        return []
    by_part = np.einsum("nj,kna->kja", match.parts, levers @ turned.T, optimize=True)  # [K, J, 3]
    resting = by_part.sum(axis=1)
    wanted = place @ turned.T
    rotations, places, mass = entry.rotations, entry.places, match.mass
    middle = np.einsum("fja,j->fa", places, mass)
    begun = {
        handle: np.einsum("sjba,jb->sja", rotations, by_part[handle], optimize=True) for handle in {k[0] for k in keys}
    }
    span = wish.frames - 1 if not wish.loop else wish.frames
    base = POSE * (1 - match.pose) + ALIKE * match.cost
    result: list[Window] = []
    for speed in SPEEDS:
        step = speed * STORED_FPS / wish.fps
        moved, along, squared = [], np.zeros(len(base)), np.full(len(base), 1e-9)
        for (handle, frame, _), target in zip(keys, wanted, strict=True):
            then = entry.rows_after(frame * step)
            path = (rotations[then] @ begun[handle][..., None]).sum(axis=(1, 3)) - resting[handle]
            path += middle[then] - middle
            moved.append(path)
            along += path @ target
            squared += np.square(path).sum(axis=1)
        motion = np.zeros(len(base))
        for part in (1 / 3, 2 / 3, 1.0):
            motion += np.linalg.norm(places[entry.rows_after(part * span * step)] - places, axis=-1) @ mass / 3
        energy, amplitude = base.copy(), np.ones(len(base))
        if size > 0:
            amplitude = np.clip(along / squared, *AMPLITUDE)
            missed = sum(
                np.square(amplitude[:, None] * path - target).sum(axis=1)
                for path, target in zip(moved, wanted, strict=True)
            )
            energy += certainty * missed / len(keys) / (REACH * size + 0.01) ** 2 + np.log(amplitude) ** 2
        energy += EFFORT * effort(amplitude * motion, size)
        left = entry.left_after(span * step)
        # A clip may end before the request does, at a price, if it is played from its beginning.
        energy += np.where(left < 0, -2.0 * np.maximum(left, -span * step) / max(span * step, 1e-6), 0.0)
        if wish.loop:
            end = entry.rows_after(span * step)
            energy += LOOP_GAP * (np.square(rotations[end] - rotations).sum(axis=(-1, -2)) @ mass)
        energy[~allowed | ((left < 0) & (entry.frame > 0))] = np.inf
        result += [
            Window(
                match, int(entry.clip[row]), float(entry.frame[row]), speed, float(amplitude[row]), float(energy[row])
            )
            for row in _best_of_each_clip(energy, entry.clip)
        ]
    return result


def _best_of_each_clip(energy: NDArray[Any], clip: NDArray[Any]) -> NDArray[np.int64]:
    """Rows of the `PER_CLIP` lowest finite energies of every clip."""
    order = np.lexsort((energy, clip))
    rank = np.arange(len(order)) - np.searchsorted(clip[order], clip[order])
    result: NDArray[np.int64] = order[(rank < PER_CLIP) & np.isfinite(energy[order])]
    return result


def effort(motion: NDArray[Any], size: float) -> NDArray[Any]:
    """How unusual a mean motion is beside how far a handle is to move (or by itself, where none is)."""
    usual = np.log(size) + USUAL_EFFORT if size > 0 else USUAL_MOTION
    return np.square((np.log(motion + 0.01 * max(size, 0.05)) - usual) / EFFORT_SPREAD)
