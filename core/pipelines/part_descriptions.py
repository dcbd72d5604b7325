"""Runs the part descriptor: everything the bank needs to know of a surface in one call, whatever its heading."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from core.bank.matching import yaw
from core.bank.shape import BankShape
from core.checkpoint import PART_DESCRIPTOR
from core.errors import CheckpointError
from core.models.part_descriptor import PartDescriptor
from core.pipelines.bone_names import NameParts
from core.pipelines.model_files import choose_device, load_modules

Floats = NDArray[np.floating]


def name_parts(preset: str = "small") -> NameParts | None:
    """What names bones, with the weights of a preset or folder; None where it has no part descriptor."""
    try:
        return PartDescriptions.load(preset).chances
    except CheckpointError:
        return None


AROUND = np.arange(8) * (np.pi / 4)  # headings that a surface is looked at with


class _Sight(NamedTuple):
    """What the network makes of a surface as it stands."""

    descriptors: Floats  # [N, D]
    heading: float
    doubt: float  # entropy of the parts' names, mean over the points


class PartDescriptions:
    """Callable: points [N, 3] and normals [N, 3], Y up -> descriptors [N, D] and the angle about Y that they face."""

    def __init__(self, network: PartDescriptor) -> None:
        self.network = network.float().eval()

    @classmethod
    def load(cls, preset: str = "small", device: str = "cpu") -> PartDescriptions:
        """With the weights of a preset or folder; raises CheckpointError when they are missing or damaged."""
        return cls(load_modules(preset, (PART_DESCRIPTOR,))[1][0].to(choose_device(device)))

    @cached_property
    def version(self) -> str:
        """A hash of the weights and of how they are used: other descriptors cannot be compared with these."""
        digest = hashlib.sha256(AROUND.tobytes())
        for name, tensor in sorted(self.network.state_dict().items()):
            digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def __call__(self, points: Floats, normals: Floats) -> tuple[Floats, float]:
        """It looks from all around and believes the view in which it is surest of the parts' names; then it turns the
        surface to face +Z, where it tells parts apart best, and looks again."""
        sights = [self._look(points @ yaw(angle), normals @ yaw(angle)) for angle in AROUND]
        surest = int(np.argmin([sight.doubt for sight in sights]))
        heading = float(AROUND[surest] + sights[surest].heading)
        heading = float(np.pi - (np.pi - heading) % (2 * np.pi))
        return self._look(points @ yaw(heading), normals @ yaw(heading)).descriptors, heading

    @torch.inference_mode()
    def chances(self, points: Floats, normals: Floats) -> tuple[Floats, float]:
        """How likely each point is each of `core.bank.parts.CLASSES` [N, C], and the angle about Y that they face."""
        descriptors, heading = self(points, normals)
        logits = self.network.logits(torch.from_numpy(descriptors).to(self.network.prototypes.device))
        return logits.softmax(dim=-1).cpu().numpy(), heading

    def described(self, shape: BankShape) -> BankShape:
        """The shape with its heading and the descriptors of its nodes, as they are and mirrored; itself where it has
        them from these weights."""
        if shape.described_by == self.version:
            return shape
        own, heading = self(shape.nodes, shape.normals)
        flip = np.array([-1, 1, 1], np.float32)
        other = self._look(shape.nodes @ yaw(heading) * flip, shape.normals @ yaw(heading) * flip).descriptors
        return replace(shape, heading=heading, descriptors=np.stack([own, other]), described_by=self.version)

    @torch.inference_mode()
    def _look(self, points: Floats, normals: Floats) -> _Sight:
        low, high = points.min(axis=0), points.max(axis=0)
        placed = (points - (low + high) / 2) / max(float((high - low).max()), 1e-9)
        batch = [torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32))[None] for x in (placed, normals)]
        device = next(self.network.parameters()).device
        found = self.network(*(x.to(device) for x in batch))
        forward = found.frame[0, :, 2].cpu().numpy()
        chances = found.logits[0].log_softmax(dim=-1)
        doubt = -(chances.exp() * chances).sum(dim=-1).mean()
        return _Sight(found.descriptor[0].cpu().numpy(), float(np.arctan2(forward[0], forward[2])), float(doubt))
