"""One objective per stage: a module whose forward turns an example into a loss, and a held-out check.

    example = objective.example(clips, generator)       a batch of clips, prepared by frozen networks and geometry
    objective(example, generator) -> (loss, figures)
    objective.check(clips, generator) -> figures

`trained` is the module whose weights are optimised and saved. Modules of earlier stages are frozen.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.config import Config
from core.data.clips import ClipBatch, ClipSource
from core.geometry.farthest_points import farthest_point_indices
from core.models.diffusion_models import build_motion_autoencoder, build_shape_autoencoder
from core.models.layers import gather_rows
from core.models.motion_autoencoder import MotionAutoencoder, MotionContext
from core.models.shape_autoencoder import ShapeAutoencoder

Figures = dict[str, float]


class Objective(nn.Module):
    """A stage, as the loop sees it."""

    trained: nn.Module
    occupancy_queries = 0

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config

    @property
    def points(self) -> int:
        return self.config.shape.points

    def fit_statistics(self, clips: ClipBatch, generator: torch.Generator) -> None:
        """Fit constants such as latent whitening, once before the first step."""

    def draw(self, source: ClipSource, batch: int, generator: torch.Generator, split: str) -> ClipBatch:
        return source.sample(batch, self.config.training.frames, self.points, generator, split, self.occupancy_queries)

    def example(self, clips: ClipBatch, generator: torch.Generator) -> Any:
        """Prepare what does not depend on the trained weights; several steps may share it (`reuse`)."""
        return clips

    @property
    def reuse(self) -> int:
        """The number of steps that share an example, each with fresh noise."""
        return 1

    def forward(self, example: Any, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        raise TypeError("An objective defines its own loss.")

    def check(self, clips: ClipBatch, generator: torch.Generator) -> Figures:
        """Held-out figures of one batch, with the averaged weights."""
        raise TypeError("An objective defines its own check.")


class ShapeAutoencoderObjective(Objective):
    """Cross-entropy of occupancy, uniform and near the surface, and a small KL divergence (paper Eq. 3)."""

    trained: ShapeAutoencoder

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.trained = build_shape_autoencoder(config)
        self.occupancy_queries = config.training.occupancy_queries

    def draw(self, source: ClipSource, batch: int, generator: torch.Generator, split: str) -> ClipBatch:
        return source.sample(batch, 1, self.points, generator, split, self.occupancy_queries)

    def forward(self, clips: ClipBatch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        points, queries = clips.points[:, 0], clips.occupancy_points
        assert queries is not None and clips.occupancy is not None
        # Paper 4: per-axis scaling between 0.75 and 1.25, then back to the unit box.
        stretch = 0.75 + 0.5 * torch.rand(len(points), 1, 3, device=points.device, generator=generator)
        stretch = stretch / stretch.amax(dim=-1, keepdim=True)
        normals = F.normalize(clips.normals / stretch, dim=-1)
        logits, kl = self._logits(points * stretch, normals, queries * stretch)
        uniform, near = self._losses(logits, clips.occupancy)
        config = self.config.shape
        loss = uniform + config.near_weight * near + config.kl_weight * kl
        return loss, {"uniform": uniform.detach(), "near": near.detach(), "kl": kl.detach()}

    @torch.no_grad()
    def check(self, clips: ClipBatch, generator: torch.Generator) -> Figures:
        assert clips.occupancy_points is not None and clips.occupancy is not None
        logits, _ = self._logits(clips.points[:, 0], clips.normals, clips.occupancy_points)
        half = logits.shape[1] // 2
        inside, truth = logits[:, :half] > 0, clips.occupancy[:, :half] > 0.5
        iou = (inside & truth).sum(1) / (inside | truth).sum(1).clamp_min(1)
        near = ((logits[:, half:] > 0) == (clips.occupancy[:, half:] > 0.5)).float().mean()
        return {"iou": float(iou.mean()), "near_accuracy": float(near)}

    def _logits(self, points: Tensor, normals: Tensor, queries: Tensor) -> tuple[Tensor, Tensor]:
        anchors = gather_rows(points, farthest_point_indices(points, self.config.shape.latents))
        latents, kl = self.trained.encode(points, anchors, normals)
        return self.trained.query(self.trained.context(latents), queries), kl

    def _losses(self, logits: Tensor, occupancy: Tensor) -> tuple[Tensor, Tensor]:
        half = logits.shape[1] // 2
        cross_entropy = F.binary_cross_entropy_with_logits(logits, occupancy.float(), reduction="none")
        return cross_entropy[:, :half].mean(), cross_entropy[:, half:].mean()


class MotionAutoencoderObjective(Objective):
    """Mean distance of tracked points and a very small KL divergence.

    The published loss (paper Eq. 5) squares the distances, so that the few clips that move most dominate.
    """

    trained: MotionAutoencoder

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.trained = build_motion_autoencoder(config)

    @property
    def points(self) -> int:
        return max(self.config.motion.points, self.config.shape.points) + self.config.training.motion_queries

    def forward(self, clips: ClipBatch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        predicted, truth, kl = self._reconstruct(clips)
        distance = ((predicted - truth).square().sum(dim=-1) + 1e-8).sqrt().mean()  # smooth at zero
        loss = distance + self.config.motion.kl_weight * kl
        return loss * 100.0, {"distance": distance.detach(), "kl": kl.detach()}

    @torch.no_grad()
    def check(self, clips: ClipBatch, generator: torch.Generator) -> Figures:
        predicted, truth, _ = self._reconstruct(clips)
        queries = truth.shape[2]
        motion = (truth - clips.points[:, :1, -queries:]).norm(dim=-1).mean()
        return {"vertex_error": float((predicted - truth).norm(dim=-1).mean()), "motion": float(motion)}

    def reconstruct(self, clips: ClipBatch) -> Tensor:
        """All points of the clips in the moving frames [B, T, N, 3], encoded and decoded."""
        return self.trained.query(self._encode(clips)[0], clips.points[:, 0])

    def _reconstruct(self, clips: ClipBatch) -> tuple[Tensor, Tensor, Tensor]:
        # The loss uses points that the encoder does not see.
        queries = self.config.training.motion_queries
        context, kl = self._encode(clips)
        return self.trained.query(context, clips.points[:, 0, -queries:]), clips.points[:, 1:, -queries:], kl

    def _encode(self, clips: ClipBatch) -> tuple[MotionContext, Tensor]:
        seen = clips.points[:, :, : -self.config.training.motion_queries]
        rest, moved = seen[:, 0], seen[:, 1:]
        index = farthest_point_indices(rest, self.config.motion.latents)
        latents, kl = self.trained.encode(rest, moved, index)
        return self.trained.context(latents, gather_rows(rest, index)), kl


def untouched(module: torch.nn.Module) -> Tensor:
    """Zero, with a zero gradient for every weight: tasks use different weights, but processes need all gradients."""
    return 0.0 * torch.stack([weight.sum() for weight in module.parameters()]).sum()
