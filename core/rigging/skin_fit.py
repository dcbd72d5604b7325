"""Fits bones, weights and poses to a moving surface, poses of a tree and weights alternating.

Bones and weights are found from a few very different frames. Poses in all frames are found once, at the end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial.distance import cdist

from core.geometry.skeleton import skinned
from core.rigging.bone_tree import Known, bone_tree
from core.rigging.coarse_surface import CoarseSurface
from core.rigging.guide import Regions
from core.rigging.pose_fit import Pose, fit_pose
from core.rigging.rigid_clusters import rigid_clusters, rigid_motion
from core.rigging.skinning_decomposition import region_weights
from core.rigging.weight_fit import carried_weights, dense_weights, fit_weights

Floats = NDArray[np.float64]
FRAMES_READ = 32  # frames, as different as possible, that bones and weights are found from
RIGID_ENOUGH = 2e-4  # of the size: regions this rigid are not divided
TURNS = 2  # of weights and poses, alternating
BLUR, BLUR_AGAIN = 6, 2  # rounds over the mesh's edges
SHIFT_PRICE = 1e-3  # of a squared shift, see `fit_pose`


@dataclass(frozen=True, eq=False)
class Moving:
    """A surface in motion: points at rest [V, 3] and moved [T, V, 3], size about 1.

    Bones are found from the `chosen` frames, poses only for the first `shown` frames. `usual` is the factor from an
    error in the chosen frames to the likely one over all frames.
    """

    rest: Floats
    moved: Floats
    surface: CoarseSurface
    chosen: NDArray[np.int64]
    shown: int
    usual: float

    @classmethod
    def of(cls, rest: Floats, moved: Floats, surface: CoarseSurface, shown: int) -> Moving:
        samples = surface.samples
        own = FRAMES_READ if shown == len(moved) else FRAMES_READ // 2
        chosen = _different_frames(moved[:shown, samples], own)
        if shown < len(moved):
            chosen = np.append(chosen, shown + _different_frames(moved[shown:, samples], FRAMES_READ - len(chosen)))
        far = np.linalg.norm(moved[:, samples] - rest[samples], axis=-1).mean(axis=1)
        usual = float(np.sqrt(far.mean() / max(far[chosen].mean(), 1e-12)))
        return cls(rest, moved, surface, chosen, shown, usual)


@dataclass(frozen=True, eq=False)
class SkinFit:
    """Bones, weights of all vertices, and a pose in every frame or only in the chosen ones."""

    pose: Pose
    bones: NDArray[np.int64]
    weights: Floats
    sample_weights: Floats  # [S, B]
    named: tuple[tuple[str, str], ...]  # each bone's part and side by its guide; empty if unknown
    error: float  # mean distance from the motion over all frames, or the likely one


def fit_bones(
    moving: Moving, count: int, exactly: bool, regions: Regions | None = None, divide: bool = True
) -> SkinFit:
    """Up to `count` bones with weights of the samples, and poses in the chosen frames.

    `regions` of the samples become one bone each, or with `divide` several where they do not move rigidly enough.
    Without regions, the samples are divided. With `exactly`, they are divided until there are `count` bones.
    """
    surface, samples, neighbours = moving.surface, moving.surface.samples, moving.surface.neighbours
    at, there = moving.rest[samples], moving.moved[np.ix_(moving.chosen, samples)]
    label = None if regions is None else regions.label
    if label is None or divide:
        label = rigid_clusters(at, there, neighbours, count, 0.0 if exactly else RIGID_ENOUGH, label)
        label = np.unique(label, return_inverse=True)[1].reshape(-1)
    known = None if regions is None else _known(regions, label)
    weights = region_weights(at, there, surface.faces, label, neighbours)
    parents, places, order = bone_tree(at, weights, *rigid_motion(at, there, weights), neighbours, known)
    weights = weights[:, order]
    named = (("", ""),) * len(parents)
    if regions is not None and known is not None:
        named = tuple(regions.named[region] for region in known.region[order])
    fixed = np.zeros(len(parents), bool)
    pose = Pose.of(parents, places, *rigid_motion(at, there, weights))
    pose = fit_pose(pose, at, there, weights, 4, fixed, SHIFT_PRICE)
    mean = sparse.diags(1 / np.asarray(neighbours.sum(axis=1)).ravel()) @ neighbours
    for _ in range(TURNS):
        bones, few = fit_weights(at, there, *pose.maps(), mean @ weights, mean, 1)
        weights = dense_weights(bones, few, len(parents))
        pose = fit_pose(pose, at, there, weights, 2, fixed, SHIFT_PRICE)
    owned = np.bincount(surface.owner, minlength=len(samples)).astype(np.float64)
    return SkinFit(pose, bones, few, weights, named, moving.usual * _error(at, there, bones, few, pose, owned))


def on_vertices(fit: SkinFit, moving: Moving) -> SkinFit:
    """The bones with weights of all vertices."""
    surface, rest, gone = moving.surface, moving.rest, moving.moved[moving.chosen]
    samples, count = surface.samples, len(fit.pose.parents)
    guess = carried_weights(fit.sample_weights, surface.owner, surface.near, BLUR)
    bones, few = fit_weights(rest, gone, *fit.pose.maps(), guess, surface.near)
    weights = dense_weights(bones[samples], few[samples], count)
    pose = fit_pose(fit.pose, rest[samples], gone[:, samples], weights, 2, np.zeros(count, bool), SHIFT_PRICE)
    return SkinFit(pose, bones, few, weights, fit.named, moving.usual * _error(rest, gone, bones, few, pose))


def with_shifts(fit: SkinFit, moving: Moving) -> SkinFit:
    """The fit in the chosen frames with small shifts of every joint, for motions that stretch the surface."""
    pose, weights, count = fit.pose, fit.sample_weights, len(fit.pose.parents)
    surface, rest, gone = moving.surface, moving.rest, moving.moved[moving.chosen]
    samples, all_joints = surface.samples, np.ones(count, bool)
    for _ in range(TURNS):
        pose = fit_pose(pose, rest[samples], gone[:, samples], weights, 3, all_joints, SHIFT_PRICE)
        guess = dense_weights(fit.bones, fit.weights, count)
        for _ in range(BLUR_AGAIN):
            guess = surface.near @ guess
        bones, few = fit_weights(rest, gone, *pose.maps(), guess, surface.near)
        weights = dense_weights(bones[samples], few[samples], count)
        error = moving.usual * _error(rest, gone, bones, few, pose)
        fit = SkinFit(pose, bones, few, weights, fit.named, error)
    return fit


def in_all_frames(fit: SkinFit, moving: Moving) -> SkinFit:
    """The fit with a pose in every frame that is shown."""
    if len(moving.chosen) == moving.shown:
        return fit
    samples, weights = moving.surface.samples, fit.sample_weights
    at, there = moving.rest[samples], moving.moved[: moving.shown, samples]
    shifting = np.abs(fit.pose.shifts).max(axis=(0, 2)) > 0
    flat, known = (
        there.reshape(len(there), -1),
        moving.moved[np.ix_(moving.chosen, samples)].reshape(len(fit.pose.shifts), -1),
    )
    nearest = cdist(flat, known).argmin(axis=1)  # each frame starts with the most similar chosen one
    pose = replace(fit.pose, rotations=fit.pose.rotations[nearest], shifts=fit.pose.shifts[nearest])
    shifting &= fit.pose.parents >= 0
    pose = fit_pose(pose, at, there, weights, 3, shifting, SHIFT_PRICE)
    return replace(
        fit, pose=pose, error=_error(moving.rest, moving.moved[: moving.shown], fit.bones, fit.weights, pose)
    )


def _known(regions: Regions, label: NDArray[np.int64]) -> Known:
    """What the guide says about the pieces `label` [S]; each belongs to the region of most of its samples."""
    votes = np.zeros((label.max() + 1, len(regions.parents)))
    np.add.at(votes, (label, regions.label), 1)
    return Known(votes.argmax(axis=1), regions.parents, regions.places)


def _error(
    rest: Floats, moved: Floats, bones: NDArray[np.int64], weights: Floats, pose: Pose, counts: Floats | None = None
) -> float:
    """Mean distance from the motion, weighted by `counts` [V]."""
    made = skinned(rest, bones, weights, *pose.maps())
    apart = np.mean([np.linalg.norm(a - b, axis=-1) for a, b in zip(made, moved, strict=True)], axis=0)
    return float(np.average(apart, weights=counts))


def _different_frames(moved: Floats, most: int) -> NDArray[np.int64]:
    """Up to `most` frames of moved [T, S, 3], each as different as possible from those chosen before, in order."""
    flat = moved.reshape(len(moved), -1)
    if len(flat) <= most:
        return np.arange(len(flat))
    chosen, nearest = [0], np.full(len(flat), np.inf)
    while len(chosen) < most:
        nearest = np.minimum(nearest, np.square(flat - flat[chosen[-1]]).sum(axis=1))
        chosen.append(int(nearest.argmax()))
    return np.sort(np.array(chosen))
