"""One objective per stage: a module whose forward turns a batch of clips into a loss, and a held-out check.

    objective(clips, generator) -> (loss, figures)      objective.check(clips, generator) -> figures

`trained` is the module whose weights are optimised and saved. Modules of earlier stages are frozen.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.config import Config
from core.data.clips import ClipBatch, ClipSource
from core.diffusion.edm import EdmLoss, denoiser_of
from core.diffusion.samplers import posterior_mean
from core.geometry.farthest_points import farthest_point_indices
from core.models.diffusion_models import (
    MotionCondition,
    MotionDiffusion,
    ShapeDiffusion,
    build_motion_autoencoder,
    build_motion_diffusion,
    build_shape_autoencoder,
    build_shape_diffusion,
)
from core.models.layers import gather_rows
from core.models.motion_autoencoder import MotionAutoencoder, MotionContext
from core.models.shape_autoencoder import ShapeAutoencoder
from core.models.warm_start import HandleCondition
from core.training.tasks import handles_from_tracks, pick_handles, random_handles

Figures = dict[str, float]


class Objective(nn.Module):
    """What the loop needs to know of a stage."""

    trained: nn.Module
    occupancy_queries = 0

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config

    @property
    def points(self) -> int:
        return self.config.shape.points

    def fit_statistics(self, clips: ClipBatch, generator: torch.Generator) -> None:
        """Fit constants (latent whitening) once before the first step."""

    def draw(self, source: ClipSource, batch: int, generator: torch.Generator, split: str) -> ClipBatch:
        return source.sample(batch, self.config.training.frames, self.points, generator, split, self.occupancy_queries)

    def forward(self, clips: ClipBatch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        raise TypeError("An objective defines its own loss.")

    def check(self, clips: ClipBatch, generator: torch.Generator) -> Figures:
        """Held-out figures of one batch, with the averaged weights."""
        raise TypeError("An objective defines its own check.")


class ShapeAutoencoderObjective(Objective):
    """Occupancy cross-entropy, uniform and near the surface, and a small KL divergence (paper Eq. 3)."""

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
    """Squared error of tracked points and a very small KL divergence (paper Eq. 5)."""

    trained: MotionAutoencoder

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.trained = build_motion_autoencoder(config)

    @property
    def points(self) -> int:
        return max(self.config.motion.points, self.config.shape.points) + self.config.training.motion_queries

    def forward(self, clips: ClipBatch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        predicted, truth, kl = self._reconstruct(clips)
        squared = (predicted - truth).square().sum(dim=-1).mean()
        loss = squared + self.config.motion.kl_weight * kl
        return loss * 1000.0, {"squared": squared.detach(), "kl": kl.detach()}

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
        # The points the loss looks at are not among those the encoder sees.
        queries = self.config.training.motion_queries
        context, kl = self._encode(clips)
        return self.trained.query(context, clips.points[:, 0, -queries:]), clips.points[:, 1:, -queries:], kl

    def _encode(self, clips: ClipBatch) -> tuple[MotionContext, Tensor]:
        seen = clips.points[:, :, : -self.config.training.motion_queries]
        rest, moved = seen[:, 0], seen[:, 1:]
        index = farthest_point_indices(rest, self.config.motion.latents)
        latents, kl = self.trained.encode(rest, moved, index)
        return self.trained.context(latents, gather_rows(rest, index)), kl


class ShapeDiffusionObjective(Objective):
    """EDM loss on whitened shape latents given sparse noisy points of frame 0 (paper Eq. 4)."""

    trained: ShapeDiffusion

    SPARSE = 300
    NOISE = 0.001

    def __init__(self, config: Config, shape_autoencoder: ShapeAutoencoder) -> None:
        super().__init__(config)
        self.trained = build_shape_diffusion(config)
        self.loss = EdmLoss(config.diffusion)
        self._frozen = [shape_autoencoder.eval().requires_grad_(False)]

    def draw(self, source: ClipSource, batch: int, generator: torch.Generator, split: str) -> ClipBatch:
        return source.sample(batch, 1, self.points, generator, split)

    @torch.no_grad()
    def fit_statistics(self, clips: ClipBatch, generator: torch.Generator) -> None:
        latents = self._latents(clips)
        self.trained.latent_mean.copy_(latents.mean(dim=(0, 1)))
        self.trained.latent_std.copy_(latents.std(dim=(0, 1)).clamp_min(1e-4))

    def forward(self, clips: ClipBatch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.no_grad():
            clean = self.trained.whiten(self._latents(clips))
        batch, device = len(clean), clean.device
        sparse = clips.points[:, 0, : self.SPARSE]
        sparse = sparse + self.NOISE * torch.randn(sparse.shape, device=device, generator=generator)
        keep = torch.rand(batch, device=device, generator=generator) >= self.config.diffusion.condition_dropout
        prepared = self.trained.prepare(sparse, keep)
        sigma, pure = self.loss.noise_levels(batch, device, generator)
        noise = torch.randn(clean.shape, device=device, generator=generator)
        network = lambda x, level: self.trained.denoiser(x, level, prepared)  # noqa: E731
        return self.loss(network, clean, noise, sigma, pure).mean(), {}

    @torch.no_grad()
    def check(self, clips: ClipBatch, generator: torch.Generator) -> Figures:
        loss, _ = self(clips, generator)
        return {"loss": float(loss)}

    def _latents(self, clips: ClipBatch) -> Tensor:
        points = clips.points[:, 0]
        anchors = gather_rows(points, farthest_point_indices(points, self.config.shape.latents))
        return self._frozen[0].encode(points, anchors, clips.normals)[0]


class MotionDiffusionObjective(Objective):
    """EDM loss on whitened motion latents of all frames given shape latents and handles (paper Eq. 6)."""

    trained: MotionDiffusion

    def __init__(
        self, config: Config, shape_autoencoder: ShapeAutoencoder, motion_autoencoder: MotionAutoencoder
    ) -> None:
        super().__init__(config)
        self.trained = build_motion_diffusion(config)
        self.loss = EdmLoss(config.diffusion)
        self._frozen = (
            shape_autoencoder.eval().requires_grad_(False),
            motion_autoencoder.eval().requires_grad_(False),
        )

    @property
    def points(self) -> int:
        return max(self.config.motion.points if self._frozen[1].learned else 0, self.config.shape.points)

    @torch.no_grad()
    def fit_statistics(self, clips: ClipBatch, generator: torch.Generator) -> None:
        shape_latents, nodes, latents = self._encode(clips)
        handles = random_handles(clips.points, self.config.tasks, generator)
        warm = self.trained.prepare(shape_latents, nodes, handles).warm
        whitened = self.trained.whiten(latents, warm)  # the constants are still 0 and 1
        self.trained.latent_mean.copy_(whitened.mean(dim=(0, 1, 2)) * (0.0 if warm is not None else 1.0))
        outlier = self.config.diffusion.outlier_variance
        variance = whitened.square().mean(dim=(1, 2, 3), keepdim=True)
        weight = 1 / (1 + variance / outlier) if outlier > 0 else torch.ones_like(variance)
        second = (weight * whitened.square()).mean(dim=(0, 1, 2)) / weight.mean()
        self.trained.latent_std.copy_((second - self.trained.latent_mean.square()).clamp_min(1e-8).sqrt())

    def forward(self, clips: ClipBatch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.no_grad():
            shape_latents, nodes, latents = self._encode(clips)
        batch, device = len(latents), latents.device
        handles = random_handles(clips.points, self.config.tasks, generator)
        keep = torch.rand(batch, device=device, generator=generator) >= self.config.diffusion.condition_dropout
        condition = self.trained.prepare(shape_latents, nodes, handles, keep)
        clean = self.trained.whiten(latents, condition.warm)
        sigma, pure = self.loss.noise_levels(batch, device, generator)
        white = torch.randn(clean.shape, device=device, generator=generator)
        noise = self.trained.noise(white, condition.warm)
        network = lambda x, level: self.trained.denoiser(x, level, condition.prepared)  # noqa: E731
        loss = self.loss(network, clean, noise, sigma, pure).mean(dim=(1, 2, 3))
        share = pure.float()
        figures = {
            "loss_pure": (loss * share).sum().detach() / share.sum().clamp_min(1),
            "clean_variance": clean.square().mean().detach(),
        }
        if self.config.diffusion.outlier_variance > 0:
            # A few clips that the warm start misses by many of its own deviations would drown all the others.
            variance = clean.square().mean(dim=(1, 2, 3))
            loss = loss / (1 + variance / self.config.diffusion.outlier_variance)
        return loss.mean(), figures

    @torch.no_grad()
    def check(self, clips: ClipBatch, generator: torch.Generator) -> Figures:
        """Error of the posterior mean over that of the warm start (or of no motion) at the anchors, per task."""
        shape_latents, nodes, latents = self._encode(clips)
        frames = latents.shape[1]
        batch, device = len(latents), latents.device
        figures: Figures = {}
        last = torch.zeros(frames, dtype=torch.bool, device=device)
        last[-1] = True
        tasks = {"full_10": (10, torch.ones_like(last)), "full_3": (3, torch.ones_like(last)), "last_5": (5, last)}
        for name, (count, mask) in tasks.items():
            index = pick_handles(
                clips.points[:, 0], count, torch.ones(batch, dtype=torch.bool, device=device), generator
            )
            given = mask[None, :, None].expand(batch, -1, count)
            present = torch.ones(batch, count, dtype=torch.bool, device=device)
            handles = handles_from_tracks(clips.points, index, given, present)
            figures |= self._posterior_figures(name, shape_latents, nodes, latents, handles, generator)
        loss, _ = self(clips, generator)
        return figures | {"loss": float(loss)}

    def _posterior_figures(
        self,
        name: str,
        shape_latents: Tensor,
        nodes: Tensor,
        latents: Tensor,
        handles: HandleCondition,
        generator: torch.Generator,
    ) -> Figures:
        condition = self.trained.prepare(shape_latents, nodes, handles)
        sample = self._posterior_mean(condition, latents, generator)
        error = (sample - latents)[..., :3].norm(dim=-1).mean()
        if condition.warm is None:
            return {f"{name}_error": float(error)}
        warm_error = (condition.warm.mean - latents[..., :3]).norm(dim=-1).mean()
        return {f"{name}_warm": float(warm_error), f"{name}_ratio": float(error / warm_error.clamp_min(1e-9))}

    def draft(self, clips: ClipBatch, handles: HandleCondition, generator: torch.Generator) -> Tensor:
        """All points of the clips in the moving frames [B, T, N, 3], as the posterior mean moves them."""
        shape_latents, nodes, latents = self._encode(clips)
        sample = self._posterior_mean(self.trained.prepare(shape_latents, nodes, handles), latents, generator)
        motion_autoencoder = self._frozen[1]
        context = motion_autoencoder.context(sample, nodes[:, : self.config.motion.latents])
        return motion_autoencoder.query(context, clips.points[:, 0])

    def _posterior_mean(self, condition: MotionCondition, like: Tensor, generator: torch.Generator) -> Tensor:
        """Motion latents of the shape of `like` from one call of the denoiser on pure noise."""
        white = torch.randn(like.shape, device=like.device, generator=generator)
        network = lambda x, level: self.trained.denoiser(x, level, condition.prepared)  # noqa: E731
        noise = self.trained.noise(white, condition.warm)
        sample = posterior_mean(denoiser_of(network, self.config.diffusion), noise, self.config.diffusion.sigma_max)
        return self.trained.unwhiten(sample, condition.warm)

    def _encode(self, clips: ClipBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Shape latents [B, Ms, Cs], nodes [B, P, 3] (the first M are anchors) and motion latents [B, T, M, Cd]."""
        shape_autoencoder, motion_autoencoder = self._frozen
        rest = clips.points[:, 0]
        shape_count, motion_count = self.config.shape.latents, self.config.motion.latents
        count = max(shape_count, self.config.diffusion.warm_start_nodes if self.trained.warm else 0)
        index = farthest_point_indices(rest, count)
        nodes = gather_rows(rest, index)
        shape_latents, _ = shape_autoencoder.encode(rest, nodes[:, :shape_count], clips.normals)
        latents, _ = motion_autoencoder.encode(rest, clips.points[:, 1:], index[:, :motion_count])
        return shape_latents, nodes, latents
