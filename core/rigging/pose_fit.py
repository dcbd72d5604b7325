"""The pose of a skeleton in every frame from where its skin goes: Gauss-Newton on all joints at once.

A turn about a joint moves everything below it, so a vertex's Jacobian is a sum over its bones. All products over the
vertices are matrix products; the frames are independent and solved together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from core.geometry.skeleton import bone_maps
from core.quaternions import turned_by

Floats = NDArray[np.float64]
DAMPING = 1e-4  # of each unknown, in units of the mean
FRAMES = 8  # solved together: bounds the memory


@dataclass(frozen=True, eq=False)
class Pose:
    """Local rotations [T, B, 3, 3] and shifts [T, B, 3] of a skeleton, as in `core.geometry.skeleton`."""

    parents: NDArray[np.int64]
    places: Floats
    rotations: Floats
    shifts: Floats

    @classmethod
    def of(cls, parents: NDArray[np.int64], places: Floats, rotation: Floats, translation: Floats) -> Pose:
        """From maps of each bone alone, R [T, B, 3, 3] and t [T, B, 3]: their rotations, and the root's place."""
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


def fit_pose(
    pose: Pose, rest: Floats, moved: Floats, weights: Floats, rounds: int, shifting: NDArray[np.bool_], price: float
) -> Pose:
    """The pose nearest to samples moved to [T, S, 3], which follow the bones with weights [S, B].

    The root and the joints named by `shifting` [B] may shift; a joint other than the root pays `price` times its
    squared shift, where a sample that is missed by the same distance pays 1 / S.
    """
    parts = []
    for start in range(0, len(moved), FRAMES):
        rows = slice(start, start + FRAMES)
        part = replace(pose, rotations=pose.rotations[rows], shifts=pose.shifts[rows])
        for _ in range(rounds):
            part = _step(part, rest, moved[rows], weights, shifting, price)
        parts.append(part)
    joined = (np.concatenate([getattr(part, name) for part in parts]) for name in ("rotations", "shifts"))
    return Pose(pose.parents, pose.places, *joined)


def _step(pose: Pose, rest: Floats, moved: Floats, weights: Floats, shifting: NDArray[np.bool_], price: float) -> Pose:
    frames, samples, bones = len(moved), len(rest), weights.shape[1]
    rotation, translation = pose.maps()
    below = _below(pose.parents)
    # Each bone's share of each sample's place, and what of a sample a joint moves, counted from the joint.
    carried = np.einsum("tbij,sj->tsbi", rotation, rest, optimize=True) + translation[:, None]
    carried *= weights[None, :, :, None]
    residual = moved - carried.sum(axis=2)
    moves = weights @ below.T
    joints = np.einsum("tbij,bj->tbi", rotation, pose.places) + translation
    arms = np.einsum("jb,tsbi->tsji", below, carried, optimize=True) - moves[None, :, :, None] * joints[:, None]
    flat = arms.reshape(frames, samples, 3 * bones)
    gram = (flat.transpose(0, 2, 1) @ flat).reshape(frames, bones, 3, bones, 3)
    turning = np.einsum("tiaja->tij", gram)[:, :, None, :, None] * np.eye(3)[None, None, :, None, :]
    turning = turning - gram.transpose(0, 1, 4, 3, 2)
    free = np.flatnonzero(shifting | (pose.parents < 0))
    lever = np.einsum("tsja,sk->tjka", arms, moves[:, free], optimize=True)
    mixed = _cross(lever).transpose(0, 1, 3, 2, 4)  # [T, B, 3, K, 3]
    sliding = np.einsum("sj,sk->jk", moves[:, free], moves[:, free])[:, None, :, None] * np.eye(3)[None, :, None, :]
    size = 3 * bones
    matrix = np.empty((frames, size + 3 * len(free), size + 3 * len(free)))
    matrix[:, :size, :size] = turning.reshape(frames, size, size)
    matrix[:, :size, size:] = mixed.reshape(frames, size, -1)
    matrix[:, size:, :size] = matrix[:, :size, size:].transpose(0, 2, 1)
    matrix[:, size:, size:] = sliding.reshape(3 * len(free), -1)
    cross = np.cross(arms, residual[:, :, None])
    right = np.concatenate(
        [cross.sum(axis=1).reshape(frames, -1), np.einsum("sk,tsi->tki", moves[:, free], residual).reshape(frames, -1)],
        axis=1,
    )
    paid = np.where(pose.parents[free] < 0, 0.0, price * samples)
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
