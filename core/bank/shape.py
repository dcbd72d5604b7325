"""An animated shape of the bank: surface nodes, the parts that move them, and the parts' rotations over time.

A part is a joint of the rig, or for a sequence without bones, a cluster of nodes that moves rigidly. All lengths are in
units of the default pose's longest side, Y up. A node's rotation relative to the default pose is the projected mean of
its parts' rotations; its position is the mean of the positions to which its parts move it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class BankClip:
    """One animation of a shape, `F` frames at the bank's rate."""

    name: str
    behaviour: str
    quaternions: Floats  # [F, J, 4] (w, x, y, z) of each part relative to the default pose
    places: Floats  # [F, J, 3] positions of the parts' centres
    period: float = 0.0  # of a cyclic clip, in frames; 0: not cyclic

    @property
    def frames(self) -> int:
        return len(self.places)


@dataclass(frozen=True, eq=False)
class BankShape:
    """An animated shape: nodes [N, 3] in the default pose, the parts that move them, and its clips."""

    name: str
    category: str
    author: str
    licence: str
    nodes: Floats  # [N, 3]
    normals: Floats  # [N, 3]
    part_names: tuple[str, ...]
    part_index: NDArray[np.int16]  # [N, 4]
    part_weight: Floats  # [N, 4], sums to 1
    clips: tuple[BankClip, ...]
    pack: str = ""  # models that share rig and clips; a fair evaluation of one leaves out its pack
    heading: float = 0.0  # angle about Y, in radians, from +Z to where the shape faces
    # [2, N, D] unit vectors that describe each node's part, for the shape and its mirror image; D = 0: not computed
    descriptors: Floats = field(default_factory=lambda: np.zeros((2, 0, 0), np.float32))
    described_by: str = ""  # the weights that computed these descriptors; only descriptors of the same weights compare
    source: str = ""  # hash of the file it was made from, so that it is not added twice
    # [F, 3] triangles if the nodes are the vertices of a closed surface; else empty
    faces: NDArray[np.int32] = field(default_factory=lambda: np.zeros((0, 3), np.int32))
    # Of files with a skeleton: each part's parent [J], -1 for the one root, and its joint [J, 3].
    parents: NDArray[np.int16] = field(default_factory=lambda: np.zeros(0, np.int16))
    joints: Floats = field(default_factory=lambda: np.zeros((0, 3), np.float32))

    @property
    def parts(self) -> int:
        return len(self.part_names)

    def clip_key(self, clip: BankClip) -> str:
        """The name of a clip among all: "Horse/Gallop"."""
        return f"{self.name}/{clip.name}"

    def renamed(self, name: str) -> BankShape:
        """The shape under another name; a pack that has its name is renamed too."""
        return replace(self, name=name, pack=name if self.pack == self.name else self.pack)

    def weights(self) -> Floats:
        """Dense weights [N, J] of the parts at every node."""
        return dense_weights(self.part_index, self.part_weight, self.parts)

    def centres(self) -> Floats:
        """Centres [J, 3] of the parts in the default pose."""
        return part_centres(self.nodes, self.weights())

    def posed(
        self, clip: BankClip, frames: Sequence[int] | NDArray[Any] | None = None, nodes: slice = slice(None)
    ) -> Floats:
        """Positions [F, N, 3] of nodes in some frames of a clip, by default all."""
        chosen = slice(None) if frames is None else np.asarray(frames)
        rotations = quaternion_matrices(clip.quaternions[chosen])  # [F, J, 3, 3]
        places = clip.places[chosen] - np.einsum("fjab,jb->fja", rotations, self.centres())
        weights = self.weights()[nodes]
        blend = np.einsum("nj,fjab->fnab", weights, rotations, optimize=True)
        result: Floats = np.einsum("fnab,nb->fna", blend, self.nodes[nodes]) + weights @ places
        return result


def dense_weights(index: NDArray[np.integer], weight: Floats, parts: int) -> Floats:
    """Weights [N, J] of all parts, from the few of each node: `index` and `weight` [N, K]."""
    dense = np.zeros((len(index), parts), weight.dtype)
    np.add.at(dense, (np.arange(len(index))[:, None], index), weight)
    return dense


def part_centres(nodes: NDArray[Any], weights: NDArray[Any]) -> Floats:
    """Weighted means of the nodes [J, 3]; a part without nodes gets the mean of all nodes."""
    total = weights.sum(axis=0)
    mean = weights.T @ nodes / total.clip(1e-9)[:, None]
    result: Floats = np.where(total[:, None] > 1e-6, mean, nodes.mean(axis=0)).astype(np.float32)
    return result


def quaternion_matrices(quaternions: NDArray[Any]) -> Floats:
    """Rotation matrices [..., 3, 3] of unit quaternions [..., 4] (w first)."""
    w, x, y, z = np.moveaxis(np.asarray(quaternions, np.float32), -1, 0)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return np.stack(rows, axis=-1).reshape(*w.shape, 3, 3)


def mirrored(shape: BankShape) -> BankShape:
    """The shape reflected in the plane x = 0, with all its clips."""
    flip, turn = np.array([-1, 1, 1], np.float32), np.array([1, 1, -1, -1], np.float32)
    clips = tuple(replace(clip, quaternions=clip.quaternions * turn, places=clip.places * flip) for clip in shape.clips)
    return replace(
        shape,
        nodes=shape.nodes * flip,
        normals=shape.normals * flip,
        clips=clips,
        heading=-shape.heading,
        descriptors=shape.descriptors[::-1],
        faces=shape.faces[:, ::-1],
        joints=shape.joints * flip,
    )
