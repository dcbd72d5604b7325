"""Makes a rig from motions of one mesh: bones, weights and sparse keys that give nearly the same motions.

Regions of the surface that move as one -> smooth weights of a few samples (Dem Bones) -> a tree with joints where the
bones slip least -> poses of that tree and weights of all vertices, alternating -> keys. It needs no torch, unless the
part descriptor names the bones.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from core.errors import ExportError
from core.geometry.sampling import face_normals, orientation, sample_surface, vertex_normals
from core.geometry.skeleton import Action, Rig
from core.geometry.weld import weld
from core.pipelines.bone_names import NameParts, PartChances, bone_names
from core.pipelines.request import OnStep, phase_reporter
from core.quaternions import quaternions_of
from core.rigging.coarse_surface import coarse_surface
from core.rigging.guide import Guide, Regions, guided_regions
from core.rigging.rigid_clusters import rigid_clusters, rigid_motion, squared_errors
from core.rigging.skin_fit import Moving, SkinFit, fit_bones, in_all_frames, on_vertices, with_shifts
from core.rigging.sparse_keys import sparse_keys
from core.rigging.weight_fit import dense_weights
from core.sequence import MeshSequence, Normalization

Floats = NDArray[np.float64]

MOST_BONES = 128
SAMPLES = 1500  # vertices from which bones are found
FIRST_TRIES = (18,)  # bones; more are tried if the error is too large
GUIDED_STEPS = (3, 6, 12)  # additional bones tried on a borrowed skeleton
# An object of rigid parts, such as a laptop, gets as few bones as leave at most this share of every motion.
RIGID_PARTS, RIGID_SHARE = (2, 3, 4), 0.06
# Mean distance of the skinned vertices from the motion, in units of the size and of the mean displacement: the aim, and
# the bound for which more bones, translations and keys are used.
AIM_SIZE, AIM_MOTION = 1.5e-3, 0.045
BOUND_SIZE, BOUND_MOTION = 1.9e-3, 0.057
NEARLY = 1.1  # times the samples' allowed error; above it, weights of all vertices are not computed
FIT_SHARE = 0.8  # of the aim; error that bones and weights may have, so that keys can be removed
KEY_SHARE = 0.3  # of the aim; error that removing keys may add
WELD = 1e-6  # of the size
MORE = " The motion bends the surface more than these bones can; more of them may help (m2v rig --bones N)."
NAMED_POINTS = 256


@dataclass(frozen=True)
class RigOptions:
    """`bones` is the largest number of bones; with `exactly`, so many are used. Raises ExportError if out of range."""

    bones: int = 32
    exactly: bool = False

    def __post_init__(self) -> None:
        if not 2 <= self.bones <= MOST_BONES:
            raise ExportError(f"{self.bones} bones is out of range; ask for 2 to {MOST_BONES}.")


USUAL = RigOptions()


@dataclass(frozen=True, eq=False)
class RigResult:
    """A rig in the space of its sequences. Errors are mean distances from their vertices, over frames and vertices."""

    rig: Rig
    rest: MeshSequence  # its frame 0 is the mesh in the rig's rest pose
    error: float  # in units of the size
    motion: float  # mean distance of the vertices from rest, in units of the size
    seconds: float

    @property
    def share(self) -> float:
        """The error in units of the motion; 0 where nothing moves."""
        return self.error / self.motion if self.motion > 0 else 0.0

    @property
    def sentence(self) -> str:
        """A sentence on bones, keys, error and time for the user."""
        keys = sum(action.keys for action in self.rig.actions)
        more = self.error > BOUND_SIZE or self.share > BOUND_MOTION
        return (
            f"{len(self.rig.names)} bones and {keys} keys follow the vertices within {100 * self.error:.3f}% of the "
            f"size ({100 * self.share:.1f}% of the motion) on average, found in {self.seconds:.1f} s." + MORE * more
        )


def make_rig(
    sequences: Sequence[MeshSequence],
    names: Sequence[str],
    options: RigOptions = USUAL,
    up_axis: str = "y",
    name_parts: NameParts | None = None,
    on_step: OnStep | None = None,
    guide: Guide | None = None,
    others: Sequence[MeshSequence] = (),
) -> RigResult:
    """One rig for motions of one mesh; each becomes an action with its name. Frame 0 of the first is the rest pose.

    `up_axis` is that of the sequences. `name_parts` names the bones; without it, their positions do. `guide` is a
    skeleton to follow; `others` are motions that show where the mesh bends, but become no actions. Raises ExportError
    if the sequences differ in faces or number of vertices, have fewer than two frames, or if nothing moves.
    """
    started = time.perf_counter()
    step = phase_reporter(on_step)
    every = (*sequences, *others)
    _check(every)
    normalization = Normalization.of(sequences[0].vertices[0], up_axis)
    shift = [np.subtract(sequence.origin, sequences[0].origin) for sequence in every]
    clips = [normalization.apply(s.vertices.astype(np.float64) + d) for s, d in zip(every, shift, strict=True)]
    rest, moved = clips[0][0], np.concatenate(clips)
    faces = sequences[0].faces.astype(np.int64)
    on_faces = np.unique(faces)
    motion = float(np.linalg.norm(moved[:, on_faces] - rest[on_faces], axis=-1).mean())
    if motion < 1e-7:
        raise ExportError("Nothing moves here, so there is nothing to rig; give a motion.")
    copies, first = _surface_points(rest, moved, faces)
    welded = copies[faces]
    welded = welded[(welded[:, 0] != welded[:, 1]) & (welded[:, 1] != welded[:, 2]) & (welded[:, 2] != welded[:, 0])]
    aim, bound = min(AIM_SIZE, AIM_MOTION * motion), min(BOUND_SIZE, BOUND_MOTION * motion)
    step("Looking for parts that move as one")
    surface = coarse_surface(rest[first], welded, SAMPLES)
    shown = sum(sequence.frames for sequence in sequences)
    moving = Moving.of(rest[first], moved[:, first], surface, shown)
    regions = None if guide is None else partial(guided_regions, guide, first[surface.samples], surface.neighbours)
    fit = _fitted(moving, options, [sequence.frames for sequence in every], regions, aim, bound, step)
    step("Posing every frame")
    fit, moved = in_all_frames(fit, moving), moved[:shown]
    motion = float(np.linalg.norm(moved[:, on_faces] - rest[on_faces], axis=-1).mean())
    step("Naming bones and choosing keys")
    parts = None if name_parts is None else _part_chances(rest, faces, name_parts)
    at = rest[first][surface.samples]
    heading = None if guide is None else guide.heading
    normals = vertex_normals(rest[first], welded)[surface.samples]
    labels = bone_names(fit.pose.parents, at, fit.sample_weights, parts, fit.named, heading, normals)
    rig, error = _with_keys(fit, labels, rest, moved, copies, first, sequences, names, aim, bound)
    back = rig.moved(normalization.rotation.T, normalization.scale)
    rig = replace(back, places=normalization.invert(rig.places))
    return RigResult(rig, sequences[0], error, motion, time.perf_counter() - started)


def _fitted(
    moving: Moving,
    options: RigOptions,
    frames: Sequence[int],
    regions: Callable[[int], Regions] | None,
    aim: float,
    bound: float,
    step: Callable[[str], None],
) -> SkinFit:
    """The fit with the fewest bones that follow the motions, which have `frames` frames each.

    `regions` makes at most so many regions from a borrowed skeleton, if there is one. Errors should be below `aim`, and
    if possible below `bound`.
    """
    enough = FIT_SHARE * (aim if regions is None else bound)  # a borrowed skeleton is divided only if necessary
    few = None if regions is not None or options.exactly else _rigid_parts(moving, options.bones, frames)
    tries = [(few, True)] if few else _tries(options, None if regions is None else regions(options.bones))
    for number, (count, divide) in enumerate(tries):
        step(f"Fitting {count} bones")
        known = None if regions is None else regions(count)
        fit = fit_bones(moving, count, options.exactly or bool(few), known, divide)
        last = number == len(tries) - 1 or (divide and len(fit.pose.parents) < count)
        if last or fit.error <= NEARLY * enough:
            fit = on_vertices(fit, moving)
            if last or fit.error <= enough:
                break
    return with_shifts(fit, moving) if fit.error > bound and not few else fit


def _tries(options: RigOptions, regions: Regions | None) -> list[tuple[int, bool]]:
    """(number of bones, whether a borrowed skeleton is divided further) to try one after the other."""
    if options.exactly:
        return [(options.bones, True)]
    if regions is None:
        return [(count, True) for count in (*FIRST_TRIES, options.bones) if count <= options.bones]
    more = [len(regions.parents) + step for step in GUIDED_STEPS]
    counts = [count for count in more if count < options.bones]
    return [(options.bones, False), *((count, True) for count in (*counts, options.bones))]


def _rigid_parts(moving: Moving, most: int, frames: Sequence[int]) -> int | None:
    """The number of rigid parts that leave at most `RIGID_SHARE` of each motion; None if there are many."""
    surface = moving.surface
    at, gone = moving.rest[surface.samples], moving.moved[:, surface.samples]
    for count in RIGID_PARTS:
        if count > most:
            break
        label = rigid_clusters(at, gone[moving.chosen], surface.neighbours, count, 0.0)
        member = np.eye(label.max() + 1)[label]
        shares = []
        for there in np.split(gone, np.cumsum(frames)[:-1]):
            missed = squared_errors(at, there, *rigid_motion(at, there, member))[np.arange(len(label)), label]
            moved = np.square(there - at).sum(axis=(0, 2)).mean()
            shares.append(np.sqrt(missed.mean() / max(moved, 1e-12)))
        if max(shares) <= RIGID_SHARE:
            return count
    return None


def _check(sequences: Sequence[MeshSequence]) -> None:
    if not sequences:
        raise ExportError("A rig needs a motion; give one.")
    first = sequences[0]
    for sequence in sequences:
        if sequence.frames < 2:
            raise ExportError(f"{sequence.name!r} has only one frame, so nothing moves; give a motion.")
        same = sequence.vertices.shape[1] == first.vertices.shape[1] and np.array_equal(sequence.faces, first.faces)
        if not same:
            raise ExportError(
                f"{sequence.name!r} belongs to another mesh than {first.name!r}; one rig is for motions of one mesh."
            )


def _surface_points(
    rest: Floats, moved: Floats, faces: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The surface point of each vertex [V], and each point's first vertex; copies that stay together are one point.

    A vertex without a face belongs to the point nearest to it.
    """
    group, first = weld(rest, WELD)
    together = np.abs(moved - moved[:, first[group]]).max(axis=(0, 2)) < 10 * WELD
    own = len(first) + np.arange(len(rest))
    _, first, group = np.unique(np.where(together, group, own), return_index=True, return_inverse=True)
    group = group.reshape(-1)
    used = np.unique(group[faces])
    place = np.full(len(first), -1)
    place[used] = np.arange(len(used))
    if (loose := np.flatnonzero(place < 0)).size:
        place[loose] = KDTree(rest[first[used]]).query(rest[first[loose]])[1]
    return place[group], first[used]


def _part_chances(rest: Floats, faces: NDArray[np.int64], name_parts: NameParts) -> PartChances:
    samples = sample_surface(rest, faces, NAMED_POINTS, np.random.default_rng(0))
    points = samples.at(rest)
    normals = face_normals(rest, faces)[samples.face] * orientation(rest, faces)
    chances, heading = name_parts(points, normals)
    return PartChances(points, chances.astype(np.float64), heading)


def _with_keys(
    fit: SkinFit,
    labels: tuple[str, ...],
    rest: Floats,
    moved: Floats,
    copies: NDArray[np.int64],
    first: NDArray[np.int64],
    sequences: Sequence[MeshSequence],
    names: Sequence[str],
    aim: float,
    bound: float,
) -> tuple[Rig, float]:
    """The rig on all vertices with few keys, and its error: little above the fit's, within the bound if the fit is."""
    pose = fit.pose
    rotations = quaternions_of(pose.rotations)
    reach = _reach(fit, rest[first])
    bounds = np.cumsum([0, *(sequence.frames for sequence in sequences)])
    shifting = np.abs(pose.shifts).max(axis=(0, 2)) > 1e-6
    bones, weights = fit.bones[copies], fit.weights[copies].astype(np.float32)
    allowed, tolerance = max(min(fit.error + KEY_SHARE * aim, bound), 1.03 * fit.error), 4 * aim
    while True:
        actions = []
        for sequence, name, start, stop in zip(sequences, names, bounds[:-1], bounds[1:], strict=True):
            turns = [sparse_keys(rotations[start:stop, b], tolerance / reach[b]) for b in range(len(labels))]
            shifts = [
                sparse_keys(pose.shifts[start:stop, b], tolerance) if shifting[b] else None for b in range(len(labels))
            ]
            actions.append(Action(name, sequence.fps, sequence.frames, tuple(turns), tuple(shifts)))
        rig = Rig(labels, pose.parents, pose.places, bones, weights, tuple(actions))
        points = replace(rig, bones=fit.bones, weights=fit.weights.astype(np.float32))
        made = np.concatenate([points.vertices(rest[first], action) for action in actions])
        error = float(np.linalg.norm(made - moved[:, first], axis=-1).mean())
        if error <= allowed or tolerance < 1e-2 * aim:
            return rig, error
        tolerance /= 2


def _reach(fit: SkinFit, rest: Floats) -> Floats:
    """[B] root mean square distance from each joint of the vertices that it turns."""
    dense = dense_weights(fit.bones, fit.weights, len(fit.pose.parents))
    for joint in range(len(fit.pose.parents) - 1, 0, -1):
        dense[:, fit.pose.parents[joint]] += dense[:, joint]
    apart = np.square(rest[:, None] - fit.pose.places[None]).sum(axis=-1)
    result: Floats = np.sqrt((dense * apart).sum(axis=0) / dense.sum(axis=0).clip(1e-9)).clip(1e-3)
    return result
