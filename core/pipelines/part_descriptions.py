"""Runs the part descriptor on surfaces with any heading."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.bank.matching import yaw
from core.bank.shape import BankShape
from core.checkpoint import PART_DESCRIPTOR
from core.models.part_descriptor import AROUND, PartDescriptor, boxed, describe_parts
from core.pipelines.devices import choose_device
from core.pipelines.model_files import load_modules

Floats = NDArray[np.floating]


class PartDescriptions:
    """A callable that takes points [N, 3] and normals [N, 3], Y up, and returns descriptors [N, D] and the heading."""

    def __init__(self, network: PartDescriptor) -> None:
        self.network = network.float().eval()

    @classmethod
    def load(cls, preset: str = "small", device: str = "cpu") -> PartDescriptions:
        """Read the weights of a preset or folder. Raises CheckpointError if they are missing or damaged."""
        return cls(load_modules(preset, (PART_DESCRIPTOR,))[1][0].to(choose_device(device)))

    @cached_property
    def version(self) -> str:
        """A hash of weights and algorithm; descriptors of other versions are not comparable."""
        digest = hashlib.sha256((np.arange(AROUND) * (2 * np.pi / AROUND)).tobytes())
        for name, tensor in sorted(self.network.state_dict().items()):
            digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    @torch.inference_mode()
    def __call__(self, points: Floats, normals: Floats) -> tuple[Floats, float]:
        """Descriptors of the surface turned to face +Z, see `describe_parts`."""
        described = describe_parts(self.network, *self._batch(points, normals))
        return described.descriptor[0].cpu().numpy(), float(described.heading[0])

    @torch.inference_mode()
    def chances(self, points: Floats, normals: Floats) -> tuple[Floats, float]:
        """Probabilities [N, C] of `core.bank.parts.CLASSES` for each point, and the heading about Y."""
        descriptors, heading = self(points, normals)
        logits = self.network.logits(torch.from_numpy(descriptors).to(self.network.prototypes.device))
        return logits.softmax(dim=-1).cpu().numpy(), heading

    def described(self, shape: BankShape) -> BankShape:
        """The shape with heading and descriptors, as it is and mirrored; unchanged if it has those of these weights."""
        if shape.described_by == self.version:
            return shape
        own, heading = self(shape.nodes, shape.normals)
        flip = np.array([-1, 1, 1], np.float32)
        other = self._descriptors(shape.nodes @ yaw(heading) * flip, shape.normals @ yaw(heading) * flip)
        return replace(shape, heading=heading, descriptors=np.stack([own, other]), described_by=self.version)

    @torch.inference_mode()
    def _descriptors(self, points: Floats, normals: Floats) -> Floats:
        """Descriptors of a surface that faces +Z."""
        batch, directions = self._batch(points, normals)
        found: Floats = self.network(boxed(batch), directions).descriptor[0].cpu().numpy()
        return found

    def _batch(self, *arrays: Floats) -> list[Tensor]:
        device = next(self.network.parameters()).device
        return [torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32))[None].to(device) for x in arrays]
