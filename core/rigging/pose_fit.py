"""The pose of a skeleton in every frame from where its skin goes: Gauss-Newton on all joints at once.

A skinned sample is linear in the bones' maps, with factors that are the same in all frames: its weights times
(x, y, z, 1). The equations of a frame need only the Gram matrix of these factors and their products with the target
positions. Both are computed once; a step then costs the same for any number of samples.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.geometry.skeleton import bone_maps
from core.quaternions import turned_by

Floats = NDArray[np.float64]
DAMPING = 1e-4  # of each unknown, in units of the mean diagonal entry
FRAMES = 16  # solved together, which limits the memory


@dataclass(frozen=True, eq=False)
class Pose:
    """Local rotations [T, B, 3, 3] and shifts [T, B, 3] of a skeleton, as in `core.geometry.skeleton`."""

    parents: NDArray[np.int64]
    places: Floats
    rotations: Floats
    shifts: Floats

    @classmethod
    def of(cls, parents: NDArray[np.int64], places: Floats, rotation: Floats, translation: Floats) -> Pose:
        """From independent maps of the bones, R [T, B, 3, 3] and t [T, B, 3]: their rotations, and the root's shift."""
        local = rotation.copy()
        for joint, parent in enumerate(parents):
            if parent >= 0:
                local[:, joint] = rotation[:, parent].transpose(0, 2, 1) @ rotation[:, joint]
        shifts = np.zeros_like(translation)
        shifts[:, 0] = rotation[:, 0] @ places[0] + translation[:, 0] - places[0]
        return cls(parents, places, local, shifts)

    def maps(self) -> tuple[Floats, Floats]:
        """x -> R x + t of every bone: R [T, B, 3, 3], t [T, B, 3]."""
        offsets = self.places - np.where(self.parents[:, None] < 0, 0.0, self.places[self.parents])
        return bone_maps(self.parents, self.places, self.rotations, offsets + self.shifts)


class _Moments(NamedTuple):
    """Sums over the samples, each with factors w_b (x, y, z, 1) [4 B] and a target position in each frame."""

    gram: Floats  # [4 B, 4 B] sum of the factors' products
    reached: Floats  # [T, 4 B, 3] sum of the factors times the targets
    samples: int


def fit_pose(
    pose: Pose, rest: Floats, moved: Floats, weights: Floats, rounds: int, shifting: NDArray[np.bool_], price: float
) -> Pose:
    """The pose nearest to samples moved to [T, S, 3], which follow the bones with weights [S, B].

    The root and the joints named by `shifting` [B] may shift; a joint other than the root pays `price` times its
    squared shift, where a sample that is missed by the same distance pays 1 / S.
    """
    placed = np.concatenate([rest, np.ones((len(rest), 1))], axis=1)
    factors = (weights[:, :, None] * placed[:, None]).reshape(len(rest), -1)
    gram, below = factors.T @ factors, _below(pose.parents)
    parts = []
    for start in range(0, len(moved), FRAMES):
        rows = slice(start, start + FRAMES)
        moments = _Moments(gram, factors.T @ moved[rows], len(rest))
        part = replace(pose, rotations=pose.rotations[rows], shifts=pose.shifts[rows])
        for _ in range(rounds):
            part = _step(part, moments, below, shifting, price)
        parts.append(part)
    joined = (np.concatenate([getattr(part, name) for part in parts]) for name in ("rotations", "shifts"))
    return Pose(pose.parents, pose.places, *joined)


def _step(pose: Pose, moments: _Moments, below: Floats, shifting: NDArray[np.bool_], price: float) -> Pose:
    rotation, translation = pose.maps()
    frames, bones, size = len(rotation), len(pose.parents), 3 * len(pose.parents)
    maps = np.concatenate([rotation, translation[..., None]], axis=-1)  # [T, B, 3, 4]
    # A joint's lever arm to the part of a sample that it moves: linear in the factors too.
    arms = np.repeat(maps[:, None], bones, axis=1)  # [T, J, B, 3, 4]
    arms[..., 3] -= (np.einsum("tbij,bj->tbi", rotation, pose.places) + translation)[:, :, None]
    arms *= below[None, :, :, None, None]
    arms = arms.transpose(0, 1, 3, 2, 4).reshape(frames, size, 4 * bones)
    spread = arms @ moments.gram  # [T, 3 J, 4 B]
    gram = (spread @ arms.transpose(0, 2, 1)).reshape(frames, bones, 3, bones, 3)
    turning = np.einsum("tiaja->tij", gram)[:, :, None, :, None] * np.eye(3)[None, None, :, None, :]
    turning = turning - gram.transpose(0, 1, 4, 3, 2)
    free = np.flatnonzero(shifting | (pose.parents < 0))
    lever = (spread[..., 3::4] @ below[free].T).reshape(frames, bones, 3, len(free)).transpose(0, 1, 3, 2)
    mixed = _cross(lever).transpose(0, 1, 3, 2, 4)  # [T, J, 3, K, 3]
    weight = below[free] @ moments.gram[3::4, 3::4] @ below[free].T
    sliding = weight[:, None, :, None] * np.eye(3)[None, :, None, :]
    matrix = np.empty((frames, size + 3 * len(free), size + 3 * len(free)))
    matrix[:, :size, :size] = turning.reshape(frames, size, size)
    matrix[:, :size, size:] = mixed.reshape(frames, size, -1)
    matrix[:, size:, :size] = matrix[:, :size, size:].transpose(0, 2, 1)
    matrix[:, size:, size:] = sliding.reshape(3 * len(free), -1)
    missed = moments.reached - moments.gram @ maps.transpose(0, 1, 3, 2).reshape(frames, 4 * bones, 3)
    pulled = (arms @ missed).reshape(frames, bones, 3, 3)
    torque = np.stack([pulled[..., a, b] - pulled[..., b, a] for a, b in ((1, 2), (2, 0), (0, 1))], axis=-1)
    right = np.concatenate([torque.reshape(frames, -1), (below[free] @ missed[:, 3::4]).reshape(frames, -1)], axis=1)
    paid = np.where(pose.parents[free] < 0, 0.0, price * moments.samples)
    matrix[:, np.arange(size, matrix.shape[1]), np.arange(size, matrix.shape[1])] += np.repeat(paid, 3)
    above = np.where(pose.parents < 0, 0, pose.parents)
    frame = np.where((pose.parents < 0)[None, :, None, None], np.eye(3), rotation[:, above])  # axes of each parent
    now = np.einsum("tbij,tbj->tbi", frame, pose.shifts)
    right[:, size:] -= (paid[:, None] * now[:, free]).reshape(frames, -1)
    diagonal = np.einsum("tii->ti", matrix)
    diagonal += DAMPING * diagonal.mean(axis=1, keepdims=True)
    step = np.linalg.solve(matrix, right[..., None])[..., 0]
    turned = turned_by(step[:, :size].reshape(frames, bones, 3))
    back = frame.transpose(0, 1, 3, 2)
    shifts = pose.shifts.copy()
    shifts[:, free] += np.einsum("tbij,tbj->tbi", back[:, free], step[:, size:].reshape(frames, -1, 3))
    return replace(pose, rotations=back @ turned @ frame @ pose.rotations, shifts=shifts)


def _below(parents: NDArray[np.int64]) -> Floats:
    """[B, B]: 1 where the second bone is the first or a descendant of it."""
    below = np.eye(len(parents))
    for joint in range(len(parents) - 1, 0, -1):
        below[parents[joint]] += below[joint]
    return below


def _cross(vectors: Floats) -> Floats:
    """[..., 3, 3] matrices that take the cross product with vectors [..., 3]."""
    x, y, z = np.moveaxis(vectors, -1, 0)
    zero = np.zeros_like(x)
    return np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*x.shape, 3, 3)
