"""The part descriptor at work: what the bank asks of a surface, in one call, whichever way the surface faces."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from core.bank.matching import yaw
from core.bank.shape import BankShape
from core.checkpoint import PART_DESCRIPTOR
from core.models.part_descriptor import PartDescriptor
from core.pipelines.model_files import choose_device, load_modules

Floats = NDArray[np.floating]


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
        """A hash of the weights: descriptors of other weights cannot be compared with these."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.network.state_dict().items()):
            digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def __call__(self, points: Floats, normals: Floats) -> tuple[Floats, float]:
        """Twice, since the network is surer of what faces +Z: it looks, turns the surface, and looks again."""
        heading = self._look(points, normals)[1]
        heading += self._look(points @ yaw(heading), normals @ yaw(heading))[1]
        return self._look(points @ yaw(heading), normals @ yaw(heading))[0], heading

    def described(self, shape: BankShape) -> BankShape:
        """The shape with its heading and the descriptors of its nodes, as they are and mirrored; itself where it has
        them from these weights."""
        if shape.described_by == self.version:
            return shape
        own, heading = self(shape.nodes, shape.normals)
        flip = np.array([-1, 1, 1], np.float32)
        other = self._look(shape.nodes @ yaw(heading) * flip, shape.normals @ yaw(heading) * flip)[0]
        return replace(shape, heading=heading, descriptors=np.stack([own, other]), described_by=self.version)

    @torch.inference_mode()
    def _look(self, points: Floats, normals: Floats) -> tuple[Floats, float]:
        low, high = points.min(axis=0), points.max(axis=0)
        placed = (points - (low + high) / 2) / max(float((high - low).max()), 1e-9)
        batch = [torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32))[None] for x in (placed, normals)]
        device = next(self.network.parameters()).device
        found = self.network(*(x.to(device) for x in batch))
        forward = found.frame[0, :, 2].cpu().numpy()
        return found.descriptor[0].cpu().numpy(), float(np.arctan2(forward[0], forward[2]))
