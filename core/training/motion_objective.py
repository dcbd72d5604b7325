"""The motion diffusion stage's objective: EDM loss on whitened latents, and where shapes bend."""

from __future__ import annotations

import torch
from torch import Tensor

from core.config import Config
from core.data.clips import ClipBatch
from core.diffusion.edm import EdmLoss, denoiser_of
from core.diffusion.samplers import posterior_mean
from core.geometry.farthest_points import farthest_point_indices
from core.models.diffusion_models import (
    MotionCondition,
    MotionDiffusion,
    build_motion_diffusion,
)
from core.models.layers import gather_rows
from core.models.motion_autoencoder import MotionAutoencoder
from core.models.observation_conditioners import ScanCondition
from core.models.shape_autoencoder import ShapeAutoencoder
from core.models.warm_start import HandleCondition
from core.training.objectives import Figures, Objective, untouched
from core.training.observed import OBSERVED_KINDS, draw_kind, motion_observation
from core.training.tasks import handles_from_tracks, pick_handles, random_handles

BENDING_STRIDE = 3  # frames next to each other bend a shape alike


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
    def seen(self) -> int:
        """Points of a clip that the encoders see; the others are for simulated sensors."""
        return max(self.config.motion.points if self._frozen[1].learned else 0, self.config.shape.points)

    @property
    def points(self) -> int:
        tasks = self.config.tasks
        return self.seen + (2 * tasks.scan_points if tasks.scans + tasks.voxels + tasks.images > 0 else 0)

    @torch.no_grad()
    def fit_statistics(self, clips: ClipBatch, generator: torch.Generator) -> None:
        if not self.config.diffusion.whitening:
            return  # the constants stay 0 and 1
        shape_latents, nodes, latents, _ = self._encode(clips)
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
        loss, figures = self.loss_of(draw_kind(self.config.tasks, generator), clips, generator)
        return loss + untouched(self.trained), figures

    def loss_of(self, kind: str, clips: ClipBatch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss and figures given one kind of task."""
        if kind == "stiffness":
            loss = self._bending(clips)
            return loss, {"loss_bending": loss.detach()}
        with torch.no_grad():
            shape_latents, nodes, latents, anchors = self._encode(clips)
            handles, scans = self._condition(kind, clips, nodes, anchors, generator)
        batch, device = len(latents), latents.device
        keep = torch.rand(batch, device=device, generator=generator) >= self.config.diffusion.condition_dropout
        condition = self.trained.prepare(shape_latents, nodes, handles, keep, scans)
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
        shape_latents, nodes, latents, anchors = self._encode(clips)
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
        for name in OBSERVED_KINDS:
            if getattr(self.config.tasks, name) > 0:
                handles, scans = self._condition(name, clips, nodes, anchors, generator)
                figures |= self._posterior_figures(name, shape_latents, nodes, latents, handles, generator, scans)
        if self.trained.stiffness is not None:
            figures["bending"] = float(self._bending(clips))
        loss, _ = self.loss_of("handles", clips, generator)
        return figures | {"loss": float(loss)}

    def _bending(self, clips: ClipBatch) -> Tensor:
        """The stiffness network's loss on the whole motion of the graph's nodes."""
        rest, shape_autoencoder = clips.points[:, 0, : self.seen], self._frozen[0]
        with torch.no_grad():
            index = farthest_point_indices(rest, self.trained.nodes)
            nodes = gather_rows(rest, index)
            latents, _ = shape_autoencoder.encode(rest, nodes, clips.normals[:, : self.seen])
            frames = clips.points[:, 1::BENDING_STRIDE]
            moved = frames.gather(2, index[:, None, :, None].expand(-1, frames.shape[1], -1, 3))
        return self.trained.bending(latents, nodes, moved - nodes[:, None])

    def _condition(
        self, kind: str, clips: ClipBatch, nodes: Tensor, anchors: Tensor, generator: torch.Generator
    ) -> tuple[HandleCondition, ScanCondition | None]:
        if kind == "handles":
            return random_handles(clips.points, self.config.tasks, generator), None
        sensed = slice(self.seen, None) if kind != "tracked" else slice(None)
        points, normals = clips.points[:, :, sensed], clips.normals[:, sensed]
        return motion_observation(kind, points, normals, nodes, anchors, self.config, generator)

    def _posterior_figures(
        self,
        name: str,
        shape_latents: Tensor,
        nodes: Tensor,
        latents: Tensor,
        handles: HandleCondition,
        generator: torch.Generator,
        scans: ScanCondition | None = None,
    ) -> Figures:
        condition = self.trained.prepare(shape_latents, nodes, handles, scans=scans)
        sample = self._posterior_mean(condition, latents, generator)
        error = (sample - latents)[..., :3].norm(dim=-1).mean()
        if condition.warm is None:
            return {f"{name}_error": float(error)}
        warm_error = (condition.warm.mean - latents[..., :3]).norm(dim=-1).mean()
        return {f"{name}_warm": float(warm_error), f"{name}_ratio": float(error / warm_error.clamp_min(1e-9))}

    def draft(self, clips: ClipBatch, handles: HandleCondition, generator: torch.Generator) -> Tensor:
        """All points of the clips in the moving frames [B, T, N, 3], as the posterior mean moves them."""
        shape_latents, nodes, latents, _ = self._encode(clips)
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

    def _encode(self, clips: ClipBatch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Shape latents [B, Ms, Cs], nodes [B, P, 3], motion latents [B, T, M, Cd] and the anchors' indices [B, M].

        The first M nodes are the motion's anchors. Where each token only looks at its own anchor's shape latent, no
        others are encoded, except for the stiffness of the warm start's graph.
        """
        shape_autoencoder, motion_autoencoder = self._frozen
        points, normals = clips.points[:, :, : self.seen], clips.normals[:, : self.seen]
        rest = points[:, 0]
        motion_count = self.config.motion.latents
        own = self.config.motion_denoiser.shape_condition == "token"
        shape_count = motion_count if own else self.config.shape.latents
        if self.trained.stiffness is not None:
            shape_count = max(shape_count, self.trained.nodes)
        count = max(shape_count, min(self.config.diffusion.warm_start_nodes, rest.shape[1]))
        index = farthest_point_indices(rest, count)
        nodes = gather_rows(rest, index)
        shape_latents, _ = shape_autoencoder.encode(rest, nodes[:, :shape_count], normals)
        latents, _ = motion_autoencoder.encode(rest, points[:, 1:], index[:, :motion_count])
        return shape_latents, nodes, latents, index[:, :motion_count]
