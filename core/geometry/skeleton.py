"""A rig: joints in a tree, four weights per vertex, motions as sparse keys, and the surface that they move.

Every joint's axes at rest are the mesh's own, so a joint's rest transform is a translation. A joint's local rotation
turns it, and all joints below it, relative to its parent; its local translation is its rest offset from the parent
plus a `shift`, which only the root and the joints that need it have. Linear blend skinning carries the vertices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from core.quaternions import Floats, quaternions_of, rotation_matrices, slerp

INFLUENCES = 4  # bones per vertex: what every engine supports
BLOCK = 4096  # vertices skinned at a time


@dataclass(frozen=True, eq=False)
class Keys:
    """Keys of a joint: `frames` [K] rising, `values` [K, 4] rotations as quaternions (x, y, z, w), or [K, 3] shifts."""

    frames: NDArray[np.int64]
    values: Floats

    def at(self, when: Floats) -> Floats:
        """Interpolated values [T, C] at frames `when` [T] (slerp or linear), constant beyond the ends."""
        if len(self.frames) == 1:
            return np.repeat(self.values, len(when), axis=0)
        left = np.clip(np.searchsorted(self.frames, when, side="right") - 1, 0, len(self.frames) - 2)
        start, stop = self.frames[left], self.frames[left + 1]
        share = np.clip((when - start) / (stop - start), 0.0, 1.0)[:, None]
        a, b = self.values[left], self.values[left + 1]
        return slerp(a, b, share) if self.values.shape[1] == 4 else a + share * (b - a)


@dataclass(frozen=True, eq=False)
class Action:
    """One motion: rotation keys for each joint, and shift keys for those that have them. Frames count from 0."""

    name: str
    fps: float
    frames: int
    rotations: tuple[Keys, ...]
    shifts: tuple[Keys | None, ...]

    @property
    def keys(self) -> int:
        """The number of keys in all."""
        return sum(len(keys.frames) for keys in (*self.rotations, *self.shifts) if keys is not None)


@dataclass(frozen=True, eq=False)
class Rig:
    """Joints, parents before children, with their places at rest; weights of V vertices; motions.

    `parents` [B] has -1 for the one root, `places` [B, 3] the joints in the units and axes of the vertices,
    `bones` [V, 4] and `weights` [V, 4] (not negative, sum 1, the largest first) the bones of each vertex.
    """

    names: tuple[str, ...]
    parents: NDArray[np.int64]
    places: Floats
    bones: NDArray[np.int64]
    weights: NDArray[np.float32]
    actions: tuple[Action, ...]

    @property
    def offsets(self) -> Floats:
        """[B, 3] each joint's rest offset from its parent; the root's own position."""
        above = np.where(self.parents[:, None] < 0, 0.0, self.places[self.parents])
        return self.places - above

    def local_pose(self, action: Action, when: Floats) -> tuple[Floats, Floats]:
        """Local rotations [T, B, 4] and translations [T, B, 3] of every joint at frames `when` [T]."""
        rotations = np.stack([keys.at(when) for keys in action.rotations], axis=1)
        still = np.zeros((len(when), 3))
        shifts = [still if keys is None else keys.at(when) for keys in action.shifts]
        return rotations, self.offsets + np.stack(shifts, axis=1)

    def bone_maps(self, action: Action, when: Floats) -> tuple[Floats, Floats]:
        """Each bone's map of rest points at frames `when`: x -> R x + t with R [T, B, 3, 3] and t [T, B, 3]."""
        rotations, translations = self.local_pose(action, when)
        return bone_maps(self.parents, self.places, rotation_matrices(rotations), translations)

    def vertices(self, rest: Floats, action: Action, when: Floats | None = None) -> NDArray[np.float32]:
        """The skinned vertices [T, V, 3] at frames `when`, all of the action's if left out."""
        when = np.arange(action.frames, dtype=np.float64) if when is None else when
        return skinned(rest, self.bones, self.weights, *self.bone_maps(action, when))

    def moved(self, turn: Floats, scale: float) -> Rig:
        """The rig in other axes and units, where a point x is `scale * turn @ x`; `turn` is a rotation [3, 3]."""

        def turned(keys: Keys) -> Keys:
            return replace(keys, values=quaternions_of(turn @ rotation_matrices(keys.values) @ turn.T))

        def shifted(keys: Keys | None) -> Keys | None:
            return None if keys is None else replace(keys, values=scale * keys.values @ turn.T)

        actions = tuple(
            replace(action, rotations=tuple(map(turned, action.rotations)), shifts=tuple(map(shifted, action.shifts)))
            for action in self.actions
        )
        return replace(self, places=scale * self.places @ turn.T, actions=actions)


def ancestry(parents: Sequence[int] | NDArray[np.integer], joint: int) -> list[int]:
    """A joint, its parent, and so on to the root, which has the parent -1."""
    line = [int(joint)]
    while parents[line[-1]] >= 0:
        line.append(int(parents[line[-1]]))
    return line


def bone_maps(
    parents: Sequence[int] | NDArray[np.int64], places: Floats, rotations: Floats, translations: Floats
) -> tuple[Floats, Floats]:
    """Forward kinematics: maps of rest points, R [T, B, 3, 3] and t [T, B, 3], from local transforms [T, B, ...]."""
    turned, moved = np.empty_like(rotations), np.empty_like(translations)
    for joint, parent in enumerate(parents):
        if parent < 0:
            turned[:, joint], moved[:, joint] = rotations[:, joint], translations[:, joint]
        else:
            turned[:, joint] = turned[:, parent] @ rotations[:, joint]
            moved[:, joint] = np.einsum("tij,tj->ti", turned[:, parent], translations[:, joint]) + moved[:, parent]
    return turned, moved - np.einsum("tbij,bj->tbi", turned, places)


def skinned(
    rest: Floats, bones: NDArray[np.int64], weights: NDArray, rotations: Floats, translations: Floats
) -> NDArray[np.float32]:
    """Vertices [T, V, 3] by linear blending: bones [V, K] with weights [V, K], maps as of `bone_maps`."""
    frames, count = rotations.shape[:2]
    maps = np.concatenate([rotations, translations[..., None]], axis=-1)
    table = np.ascontiguousarray(maps.transpose(1, 3, 0, 2)).reshape(4 * count, frames * 3)
    result = np.empty((frames, len(rest), 3), np.float32)
    for start in range(0, len(rest), BLOCK):
        rows = slice(start, start + BLOCK)
        moved = skin_matrix(rest[rows], bones[rows], weights[rows], count) @ table
        result[:, rows] = moved.reshape(-1, frames, 3).transpose(1, 0, 2)
    return result


def skin_matrix(rest: Floats, bones: NDArray[np.int64], weights: NDArray, count: int) -> sparse.csr_matrix:
    """[V, 4 B]: rows w_b (x, y, z, 1), which times the columns of `count` bones' maps [4 B, ...] are the vertices."""
    rows, slots = bones.shape
    values = weights[:, :, None] * np.concatenate([rest, np.ones((rows, 1))], axis=1)[:, None]
    columns = 4 * bones[:, :, None] + np.arange(4)
    ends = np.arange(0, 4 * rows * slots + 1, 4 * slots)
    return sparse.csr_matrix((values.ravel(), columns.ravel(), ends), shape=(rows, 4 * count))
