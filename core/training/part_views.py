"""Draws training views for the part descriptor: pairs of one rig, posed by its clips, turned, stretched and mirrored.

Rigs are read once into a bank file with more nodes than the shipped bank; drawing views needs only numpy and torch.
"""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.assets import cache_folder
from core.bank.bank_file import read_bank, write_bank
from core.bank.matching import yaw
from core.bank.parts import MIRRORED, class_weights, side_or_spine_heading
from core.bank.shape import BankShape, quaternion_matrices
from core.data.clips import ClipBatch, ClipRequest, ClipSource
from core.data.rig_files import UNSEEN_AUTHORS, UNSEEN_IDENTITIES, clip_author, rig_files
from core.errors import DataError, M2VError
from core.quaternions import kabsch_rotations

POOL = 512  # nodes per rig; a view takes some of them
NODES = 128
NOISE = 0.004  # of the size
STRETCH = 0.15  # standard deviation of the logarithm, per axis
AT_REST, ANYWHERE, TILTED = 0.2, 0.35, 0.25  # fractions of views in the default pose, facing anywhere, not upright
HALF_THE_PACK = 0.6  # a rig's weight falls by this power of the number of rigs with the same joints


class PartViews(NamedTuple):
    """B views; 2i and 2i + 1 show the same nodes of one rig. The C classes are those of `core.bank.parts`."""

    points: Tensor  # [B, N, 3] in normalised space
    normals: Tensor  # [B, N, 3]
    labels: Tensor  # [B, N, C] shares of the named parts; all 0 if no name tells
    up: Tensor  # [B, 3]
    forward: Tensor  # [B, 3]
    certain: Tensor  # [B] 1 if joint names tell the heading, less if +Z is assumed
    places: Tensor  # [B, N, 3] nodes in the default pose
    mirrored: Tensor  # [B] bool: a view of the rig's mirror image


@dataclass(frozen=True, eq=False)
class _Rig:
    shape: BankShape
    weights: NDArray[np.float32]  # [N, J]
    labels: NDArray[np.float32]  # [N, C]
    forward: NDArray[np.float64]  # [3] in the default pose
    certain: float


class PartViewSource(ClipSource):
    """Draws views of rigs. `train` leaves out held-out identities and authors, `unseen_identity` has these authors.

    Raises DataError without rigs, and without any for a split.
    """

    def __init__(self, rigs: str) -> None:
        if not rigs:
            raise DataError("The part descriptor learns from rigs; give their folder with --set data.rigs=DIR.")
        self._rigs: dict[str, list[_Rig]] = {"train": [], "unseen_identity": []}
        for shape in read_bank(prepared_shapes(Path(rigs))):
            split = "unseen_identity" if clip_author(shape.name) in UNSEEN_AUTHORS else "train"
            if split == "train" and shape.name in UNSEEN_IDENTITIES:
                continue
            self._rigs[split].append(_rig(shape))
        counts = Counter(rig.shape.part_names for rig in self._rigs["train"])
        self._chances = {
            "train": _shares([counts[rig.shape.part_names] ** -HALF_THE_PACK for rig in self._rigs["train"]]),
            "unseen_identity": _shares([1.0] * len(self._rigs["unseen_identity"])),
        }

    def views(self, batch: int, generator: torch.Generator, split: str = "train") -> PartViews:
        """`batch` views, an even number, on the generator's device."""
        rigs = self._rigs[split] or self._rigs["train"]
        if not rigs:
            raise DataError("All of these rigs are held out for evaluation; give other rigs to train on.")
        chances = self._chances[split] if self._rigs[split] else self._chances["train"]
        seed = int(torch.randint(2**62, (1,), generator=generator, device=generator.device))
        random = np.random.default_rng(seed)
        views = []
        for _ in range(batch // 2):
            rig = rigs[random.choice(len(rigs), p=chances)]
            count = len(rig.shape.nodes)
            # Half of the views take the first nodes, which are far apart, as in the editor.
            among = min(count, 2 * NODES) if random.random() < 0.5 else count
            index = np.resize(random.permutation(among), NODES)
            views += [_view(rig, index, random), _view(rig, index, random)]
        stacked = [np.stack(parts).astype(np.float32) for parts in zip(*views, strict=True)]
        tensors = [torch.from_numpy(part).to(generator.device) for part in stacked]
        return PartViews(*tensors)._replace(mirrored=tensors[-1] > 0.5)

    def draw(self, request: ClipRequest, generator: torch.Generator) -> ClipBatch:
        """Raises DataError: this source has the interface of the others, but views instead of clips."""
        raise DataError("Rigs for the part descriptor give views of bodies, not clips; train another stage with clips.")


def prepared_shapes(rigs: Path) -> Path:
    """The path of a bank with `POOL` nodes per rig: the file itself, or for a folder one in the user's cache."""
    if not rigs.is_dir():
        return rigs
    files = rig_files(rigs)
    state = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    key = hashlib.sha256(repr((POOL, state)).encode()).hexdigest()[:16]
    bank = cache_folder() / f"parts-{key}.safetensors"
    if not bank.is_file():
        from core.bank.read_rig import read_rig

        shapes = []
        for path in files:
            try:
                shapes.append(read_rig(path, count=POOL))
            except M2VError as error:  # damaged, or without motion
                print(f"{path.name} is left out: {error}", file=sys.stderr)
        write_bank(bank, shapes)
    return bank


def _rig(shape: BankShape) -> _Rig:
    weights = np.asarray(shape.weights(), np.float32)
    forward = side_or_spine_heading(shape.part_names, shape.nodes, weights)
    certain = 0.3 if forward is None else 1.0
    return _Rig(
        shape,
        weights,
        (weights @ class_weights(shape.part_names)).astype(np.float32),
        np.array([0.0, 0.0, 1.0]) if forward is None else forward,
        certain,
    )


def _view(rig: _Rig, index: NDArray, random: np.random.Generator) -> tuple[NDArray, ...]:
    points, normals, body = _posed(rig, index, random)
    stretch = np.exp(STRETCH * random.standard_normal(3))
    points, normals = points * stretch, normals / stretch
    up, forward = body @ [0.0, 1.0, 0.0], body @ rig.forward
    labels, reflected = rig.labels[index], random.random() < 0.5
    if reflected:
        flip = np.array([-1.0, 1.0, 1.0])
        points, normals, up, forward = (x * flip for x in (points, normals, up, forward))
        labels = labels[:, MIRRORED]
    facing = float(np.arctan2(forward[0], forward[2])) if rig.certain == 1.0 else 0.0
    turn = _turn(random) @ yaw(facing).T
    points, normals, up, forward = points @ turn.T, normals @ turn.T, turn @ up, turn @ forward
    normals /= np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-9)
    low, high = points.min(axis=0), points.max(axis=0)
    points = (points - (low + high) / 2) / (high - low).max() + NOISE * random.standard_normal(points.shape)
    return (
        points, normals, labels, up, forward, np.array(rig.certain), rig.shape.nodes[index], np.array(float(reflected))
    )  # fmt: skip


def _posed(rig: _Rig, index: NDArray, random: np.random.Generator) -> tuple[NDArray, NDArray, NDArray]:
    """Nodes and normals [N, 3] in a random frame of a random clip, and the body's overall rotation [3, 3] there."""
    shape, weights = rig.shape, rig.weights[index]
    if random.random() < AT_REST:
        return shape.nodes[index].astype(np.float64), shape.normals[index].astype(np.float64), np.eye(3)
    clip = shape.clips[random.integers(len(shape.clips))]
    frame = random.integers(clip.frames)
    rotations = quaternion_matrices(clip.quaternions[frame])
    places = clip.places[frame] - np.einsum("jab,jb->ja", rotations, shape.centres())
    blended = np.einsum("nj,jab->nab", weights, rotations)
    points = np.einsum("nab,nb->na", blended, shape.nodes[index]) + weights @ places
    normals = np.einsum("nab,nb->na", blended, shape.normals[index])
    return points, normals, kabsch_rotations(blended.mean(axis=0))


def _turn(random: np.random.Generator) -> NDArray:
    """A random rotation [3, 3]: usually a little about Y, sometimes any turn about Y, sometimes tilted."""
    angle = random.random() * 2 * np.pi if random.random() < ANYWHERE else 0.25 * random.standard_normal()
    turn = np.asarray(yaw(angle), np.float64)
    if random.random() < TILTED:
        quaternion = random.standard_normal(4)
        if random.random() < 0.75:
            quaternion = np.array([1.0, 0.0, 0.0, 0.0]) + 0.12 * quaternion
        turn = quaternion_matrices(quaternion / np.linalg.norm(quaternion)) @ turn
    return turn


def _shares(values: list[float]) -> NDArray[np.float64]:
    array = np.array(values, np.float64)
    return array / max(array.sum(), 1e-9)
