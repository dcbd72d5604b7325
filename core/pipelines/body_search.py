"""Finds the bodies of the bank, their poses and places that a partial scan may show: many are tried, few are kept.

Every pose with every heading is fitted into frame 0's box and compared with the seen points; if none fits a whole shape
upright, also with all rotations that align their main axes. The best are then moved, turned and scaled until the points
lie on them, and judged by what is left and by what contradicts the scan: surface where the camera saw through, outside
the shape's box, or on the seen side of a half body where nothing was seen.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations, product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.bank.bodies import shipped_bodies
from core.bank.search import plain_name
from core.bank.shape import BankShape, mirrored
from core.geometry.sampling import vertex_normals
from core.pipelines.frame_box import FrameBox
from core.pipelines.free_space import FreeSpace
from core.pipelines.seen_side import Extent, SeenSide

Floats = NDArray[np.float64]
COARSE, FINE = 64, 200  # vertices of a body that are compared, at first and then
COARSE_POINTS, FINE_POINTS = 48, 100  # seen points that are compared, at first and then
HEADINGS = 16
CHUNK = 1024  # poses compared at once
FITTED = 300  # poses that are moved to the points
OF_ONE = 24  # most of them from one body
ROUNDS = 6
REACH = 0.06  # distance at which a seen point counts half
SLIDE = 0.3  # weight of a point's offset along the surface, relative to that across it
SIZE_STEP = 0.03  # share by which a body may grow or shrink in a round
INSIDE = 0.02  # how far a body may leave frame 0's box
FREE_VERTICES = 100
FREE_MARGIN, MOST_FREE = 0.01, 0.2
KEPT_OF_ONE = 3
ANY_BOX = FrameBox.unknown()
UPRIGHT = 0.05  # best misfit from which on a whole shape is taken to lie or hang


@dataclass(frozen=True, eq=False)
class PlacedBody:
    """A body of the bank in one pose, placed in normalised space."""

    name: str
    vertices: Floats  # [V, 3]
    faces: NDArray[np.int32]  # [F, 3]
    misfit: float  # as a share of the size; 0 is perfect


class BodyPoses:
    """Bodies, also mirrored, in all their poses, ready to be compared."""

    def __init__(self, bodies: Sequence[BankShape]) -> None:
        self._bodies: list[BankShape] = []
        places, normals, of, pose = [], [], [], []
        for body in bodies:
            for shape in (body, mirrored(body)):
                clip = shape.clips[0]
                # The default pose of nearly all bodies is its own mirror image.
                rows = np.arange(0 if shape is body else 1, clip.frames)
                if not len(rows):
                    continue
                posed = shape.posed(clip, rows)
                places.append(posed[:, :FINE].astype(np.float32))
                normals.append(vertex_normals(posed, shape.faces)[:, :FINE].astype(np.float32))
                of += [len(self._bodies)] * len(rows)
                pose += rows.tolist()
                self._bodies.append(shape)
        self._places, self._normals = places, normals
        self._of, self._pose = np.array(of), np.array(pose)
        self._usable = np.ones(len(of), dtype=bool)
        fewest = min((part.shape[1] for part in places), default=0)
        self.places = torch.from_numpy(np.concatenate([part[:, :fewest] for part in places]))
        self.normals = torch.from_numpy(np.concatenate([part[:, :fewest] for part in normals]))

    @classmethod
    def shipped(cls) -> BodyPoses:
        """The poses of the bank that comes with the program. Raises DataError if it cannot be read."""
        return _shipped()

    def without(self, names: Collection[str]) -> BodyPoses:
        """Without bodies whose name (as in the file or as a person reads it), pack or author is in `names`."""
        if not names:
            return self
        other = object.__new__(BodyPoses)
        other.__dict__.update(self.__dict__)
        named = [{b.name, plain_name(b.name), b.pack, b.author} for b in self._bodies]
        out = np.array([not one.isdisjoint(names) for one in named], dtype=bool)
        other._usable = self._usable & ~out[self._of]
        return other

    @property
    def packs(self) -> dict[str, str]:
        """The pack of each body by its name."""
        return {body.name: body.pack for body in self._bodies}

    @property
    def usable(self) -> NDArray[np.int64]:
        """Numbers of the poses that may be used."""
        return np.flatnonzero(self._usable)

    def name(self, number: int) -> str:
        """The name of a pose's body."""
        return str(self._bodies[self._of[number]].name)

    def mesh(self, number: int) -> tuple[Floats, NDArray[np.int32]]:
        """The whole surface of one pose: vertices [V, 3] and faces [F, 3]."""
        shape = self._bodies[self._of[number]]
        return shape.posed(shape.clips[0], [self._pose[number]])[0].astype(np.float64), shape.faces


@lru_cache(maxsize=1)
def _shipped() -> BodyPoses:
    return BodyPoses(shipped_bodies())


def find_bodies(
    poses: BodyPoses,
    points: NDArray[np.floating],
    free: FreeSpace | None,
    count: int,
    check_cancelled: Callable[[], None] = lambda: None,
    extent: Extent = Extent.SIDE,
    box: FrameBox = ANY_BOX,
) -> list[PlacedBody]:
    """The `count` bodies that agree best with the seen points [N, 3] of frame 0, in normalised space, best first.

    `free` is the space that the camera saw to be empty; without it `extent` says what the points show. `box` is that of
    the whole shape.
    """
    if not len(poses.usable) or len(points) < 4:
        return []
    cloud = np.asarray(points, dtype=np.float64)
    cloud = cloud[np.random.default_rng(0).permutation(len(cloud))]
    upright = turns_about_y(2 * np.pi * np.arange(HEADINGS) / HEADINGS)[None]
    found = _found(poses, upright, cloud, free, count, check_cancelled, extent, box)
    if extent is Extent.WHOLE and (not found or found[0].misfit > UPRIGHT):
        found += _found(poses, _onto_axes(poses, cloud), cloud, free, count, check_cancelled, extent, box)
        found.sort(key=lambda body: body.misfit)
    return found[:count]


def _onto_axes(poses: BodyPoses, cloud: Floats) -> Floats:
    """The 24 rotations [P, 24, 3, 3] that align the main axes of each usable pose with those of points [N, 3]."""
    signed = (
        np.eye(3)[list(order)] * signs for order in permutations(range(3)) for signs in product((1, -1), repeat=3)
    )
    swaps = np.stack([swap for swap in signed if np.linalg.det(swap) > 0])
    own = _main_axes(poses.places[poses.usable].numpy().astype(np.float64))
    result: Floats = np.einsum("ia,hab,pjb->phij", _main_axes(cloud), swaps, own)
    return result


def _main_axes(points: Floats) -> Floats:
    """Principal axes of points [..., N, 3] as the columns of a rotation [..., 3, 3], the shortest first."""
    away = points - points.mean(axis=-2, keepdims=True)
    axes = np.linalg.eigh(np.swapaxes(away, -1, -2) @ away)[1]
    result: Floats = axes * np.linalg.det(axes)[..., None, None]
    return result


def _found(
    poses: BodyPoses,
    turns: Floats,
    cloud: Floats,
    free: FreeSpace | None,
    count: int,
    check_cancelled: Callable[[], None],
    extent: Extent,
    box: FrameBox,
) -> list[PlacedBody]:
    """The best bodies with `turns` [P, H, 3, 3] of each usable pose, or [1, H, 3, 3] of all."""
    rows, turned = _coarsely(poses, turns, cloud[:COARSE_POINTS], check_cancelled)
    matrix, offset, surfaces, residual = _moved(poses, rows, turned, cloud, check_cancelled)
    misfit = residual + contradictions(surfaces, free, box)
    if free is None:
        misfit += SeenSide.of(cloud).contradictions(surfaces, extent, np.argsort(misfit)[:count])
    found: list[PlacedBody] = []
    taken: dict[str, int] = {}
    for place in np.argsort(misfit):
        name = poses.name(rows[place])
        if len(found) == count:
            break
        if taken.get(name, 0) < KEPT_OF_ONE:
            taken[name] = taken.get(name, 0) + 1
            vertices, faces = poses.mesh(rows[place])
            found.append(PlacedBody(name, vertices @ matrix[place].T + offset[place], faces, float(misfit[place])))
    return found


def _coarsely(
    poses: BodyPoses, turns: Floats, points: Floats, check_cancelled: Callable[[], None]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Poses and their turns [C, 3, 3] with the points [n, 3] nearest to them when they fill frame 0's box."""
    usable = poses.usable
    cloud = torch.from_numpy(points.astype(np.float32))
    every = torch.from_numpy(turns.astype(np.float32)).expand(len(usable), -1, -1, -1)
    step = CHUNK // every.shape[1]
    scores = []
    for start in range(0, len(usable), step):
        check_cancelled()
        some = poses.places[usable[start : start + step], :COARSE]
        laid = boxed(torch.einsum("chij,cnj->chni", every[start : start + step], some).flatten(0, 1))[0]
        scores.append(_squared(laid, cloud).amin(dim=2).clamp_min(0).sqrt().mean(dim=1))
    numbers = np.arange(every.shape[1])
    rows, chosen = best_poses(poses, usable, numbers, torch.cat(scores).argsort().tolist(), OF_ONE, FITTED)
    return rows, every[np.searchsorted(usable, rows), chosen].numpy().astype(np.float64)


def best_poses(
    poses: BodyPoses, usable: NDArray[Any], angles: NDArray[Any], order: Sequence[int], of_one: int, most: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Rows of `poses` and headings of the first `most` in `order`, with at most `of_one` of any body.

    A place in the order is that of a `usable` row times the number of `angles`, plus that of its angle.
    """
    rows, headings = [], []
    taken: dict[str, int] = {}
    for place in order:
        row = int(usable[place // len(angles)])
        name = poses.name(row)
        if taken.get(name, 0) < of_one:
            taken[name] = taken.get(name, 0) + 1
            rows.append(row)
            headings.append(angles[place % len(angles)])
        if len(rows) == most:
            break
    return np.array(rows), np.array(headings)


def _moved(
    poses: BodyPoses,
    rows: NDArray[np.int64],
    turns: Floats,
    cloud: Floats,
    check_cancelled: Callable[[], None],
) -> tuple[Floats, Floats, Floats, Floats]:
    """Poses, first turned by `turns` [C, 3, 3], fitted to the points by similarities.

    Returns matrices [C, 3, 3], offsets [C, 3], surfaces [C, V, 3], and the points' distances from each [C].
    """
    seen = torch.from_numpy(cloud[:FINE_POINTS].astype(np.float32))
    turned = torch.from_numpy(turns.astype(np.float32))
    surface, size, middle = boxed(poses.places[rows] @ turned.transpose(1, 2))
    normals = poses.normals[rows] @ turned.transpose(1, 2)
    matrix, offset = turned * size, -(middle * size)[:, 0]
    for turn in range(ROUNDS + 1):
        check_cancelled()
        squared, nearest = _squared(surface, seen).min(dim=2)
        distance = squared.clamp_min(0).sqrt()
        at = nearest[..., None].expand(-1, -1, 3)
        here, normal = surface.gather(1, at), normals.gather(1, at)
        apart = seen - here
        along = (apart * normal).sum(dim=2, keepdim=True)
        if turn == ROUNDS:
            break
        target = here + normal * along + SLIDE * (apart - normal * along)
        rotation, scale, old, new = _similarity(here, target, 1 / (1 + (distance / REACH).square()))
        step = rotation * scale[:, None, None]
        surface, normals = (surface - old) @ step.transpose(1, 2) + new, normals @ rotation.transpose(1, 2)
        matrix, offset = step @ matrix, ((offset[:, None] - old) @ step.transpose(1, 2) + new)[:, 0]
    residual = (along.abs()[..., 0] + 0.15 * distance).mean(dim=1).numpy().astype(np.float64)
    matrices, offsets, surfaces = (part.numpy().astype(np.float64) for part in (matrix, offset, surface))
    return matrices, offsets, surfaces, residual


def contradictions(surfaces: Floats, free: FreeSpace | None, box: FrameBox = ANY_BOX) -> Floats:
    """How much of surfaces [C, V, 3] is outside frame 0's box or in `free` space, [C], as a share of the size.

    And how far they do not fill the box.
    """
    result: Floats = box.beyond(surfaces, INSIDE).sum(axis=2).mean(axis=1) + box.misfit(surfaces)
    if free is not None:
        some = surfaces[:, :FREE_VERTICES]
        inside = np.maximum(free.clearance(some.reshape(-1, 3)) - FREE_MARGIN, 0).clip(0, MOST_FREE)
        result = result + 0.5 * inside.reshape(some.shape[:2]).mean(axis=1)
    return result


def turns_about_y(angles: Floats) -> Floats:
    """Rotations [N, 3, 3] about the vertical axis by angles [N]."""
    cosine, sine, zero, one = np.cos(angles), np.sin(angles), 0 * angles, 0 * angles + 1
    rows = [cosine, zero, sine, zero, one, zero, -sine, zero, cosine]
    result: Floats = np.stack(rows, axis=-1).reshape(-1, 3, 3)
    return result


def boxed(surfaces: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Surfaces [C, V, 3] fitted into frame 0's box, their factors [C, 1, 1] and old centres [C, 1, 3]."""
    low, high = surfaces.amin(dim=1, keepdim=True), surfaces.amax(dim=1, keepdim=True)
    size, middle = 1 / (high - low).amax(dim=2, keepdim=True).clamp_min(1e-9), (low + high) / 2
    return (surfaces - middle) * size, size, middle


def _squared(surfaces: Tensor, points: Tensor) -> Tensor:
    """Squared distances [C, n, V] of points [n, 3] from vertices [C, V, 3]."""
    lengths = surfaces.square().sum(dim=2)[:, None] + points.square().sum(dim=1)[None, :, None]
    return lengths - 2 * points[None] @ surfaces.transpose(1, 2)


def _similarity(start: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Rotations [C, 3, 3], sizes [C] and both middles [C, 1, 3] that take start to target [C, n, 3] (Umeyama 1991)."""
    share = (weight / weight.sum(dim=1, keepdim=True))[..., None]
    old, new = (share * start).sum(dim=1, keepdim=True), (share * target).sum(dim=1, keepdim=True)
    before, after = start - old, target - new
    left, values, right = torch.linalg.svd((share * after).transpose(1, 2) @ before)
    sign = torch.ones_like(values)
    sign[:, 2] = torch.sign(torch.linalg.det(left @ right))
    spread = (share * before.square()).sum(dim=(1, 2)).clamp_min(1e-9)
    size = ((values * sign).sum(dim=1) / spread).clamp(1 - SIZE_STEP, 1 + SIZE_STEP)
    return left @ (sign[..., None] * right), size, old, new
