"""The motion diffusion stage's objective: EDM loss on whitened latents, and where shapes bend."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from core.config import Config
from core.data.clips import ClipBatch
from core.diffusion.edm import EdmLoss, precondition
from core.diffusion.samplers import posterior_mean
from core.errors import ConfigError
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
from core.models.warm_start import HandleCondition, WarmStart
from core.shapes import Float
from core.training.objectives import Figures, Objective, untouched
from core.training.simulate_observations import OBSERVED_KINDS, draw_kind, motion_observation
from core.training.tasks import handles_from_tracks, pick_handles, random_handles

BENDING_STRIDE = 3  # frames next to each other bend a shape alike
SMALLEST_MISS = 0.01  # of the shape's size: a clip that geometry alone gets right to this counts less, not more


class MotionExample(NamedTuple):
    """A batch of clips in one kind of task, as far as it can be known before the trained networks are asked."""

    clips: tuple[Tensor, Tensor, Tensor]  # shape latents, nodes and motion latents; for stiffness see `bending`
    handles: HandleCondition | None = None  # None: the whole motion is known, for the stiffness network
    scans: ScanCondition | None = None
    warm: WarmStart | None = None


class MotionDiffusionObjective(Objective):
    """EDM loss on whitened motion latents of all frames given shape latents and handles (paper Eq. 6)."""

    trained: MotionDiffusion

    def __init__(
        self, config: Config, shape_autoencoder: ShapeAutoencoder, motion_autoencoder: MotionAutoencoder
    ) -> None:
        super().__init__(config)
        if config.training.reuse < 1:
            raise ConfigError(f"training.reuse: {config.training.reuse} is not possible; give 1 or more steps.")
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

    @property
    def reuse(self) -> int:
        return self.config.training.reuse

    @torch.no_grad()
    def example(self, clips: ClipBatch, generator: torch.Generator) -> MotionExample:
        return self.example_of(draw_kind(self.config.tasks, generator), clips, generator)

    @torch.no_grad()
    def example_of(self, kind: str, clips: ClipBatch, generator: torch.Generator) -> MotionExample:
        """Clips as the denoiser meets them in one kind of task: encoded, with a condition and its warm start."""
        if kind == "stiffness":
            return MotionExample(self._whole_motion(clips))
        shape_latents, nodes, latents, anchors = self._encode(clips)
        handles, scans = self._condition(kind, clips, nodes, anchors, generator)
        warm = self.trained.geometry(shape_latents, nodes, handles) if self.trained.warm else None
        return MotionExample((shape_latents, nodes, latents), handles, scans, warm)

    def forward(self, example: MotionExample, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        loss, figures = self.loss_of(example, generator)
        return loss + untouched(self.trained), figures

    def loss_of(self, example: MotionExample, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss and figures of an example, with noise from the generator."""
        if example.handles is None:
            loss = self.trained.bending(*example.clips)
            return loss, {"loss_bending": loss.detach()}
        shape_latents, nodes, latents = example.clips
        diffusion = self.config.diffusion
        batch, device = len(latents), latents.device
        keep = torch.rand(batch, device=device, generator=generator) >= diffusion.condition_dropout
        condition = self.trained.prepare(shape_latents, nodes, example.handles, keep, example.scans, warm=example.warm)
        clean = self.trained.whiten(latents, condition.warm)
        sigma, pure = self.loss.noise_levels(batch, device, generator)
        white = torch.randn(clean.shape, device=device, generator=generator)
        noise = self.trained.noise(white, condition.warm)
        network = lambda x, level: self.trained.denoiser(x, level, condition.prepared)  # noqa: E731
        squares, estimate = self.loss(network, clean, noise, sigma, pure)
        loss = squares.mean(dim=(1, 2, 3))
        if diffusion.outlier_variance > 0:
            # A few clips that the warm start misses by many of its own deviations would drown all the others.
            loss = loss / (1 + clean.square().mean(dim=(1, 2, 3)) / diffusion.outlier_variance)
        distance = relative_distance(self.trained.unwhiten(estimate, condition.warm), latents, condition.warm)
        loss = torch.where(pure, distance, loss)  # the posterior's median rather than its mean
        share = pure.float()
        figures = {
            "loss_pure": (loss * share).sum().detach() / share.sum().clamp_min(1),
            "clean_variance": clean.square().mean().detach(),
        }
        return loss.mean(), figures

    @torch.no_grad()
    def check(self, clips: ClipBatch, generator: torch.Generator) -> Figures:
        """Errors of the posterior mean at the anchors, per task: over the warm start's mean, and its as-rigid guess.

        Without a warm start the errors themselves.
        """
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
            keyframe_mask = mask[None, :, None].expand(batch, -1, count)
            present = torch.ones(batch, count, dtype=torch.bool, device=device)
            handles = handles_from_tracks(clips.points, index, keyframe_mask, present)
            figures |= self._posterior_figures(name, shape_latents, nodes, latents, handles, generator)
        for name in OBSERVED_KINDS:
            if getattr(self.config.tasks, name) > 0:
                handles, scans = self._condition(name, clips, nodes, anchors, generator)
                figures |= self._posterior_figures(name, shape_latents, nodes, latents, handles, generator, scans)
        if self.trained.stiffness is not None:
            figures["bending"] = float(self.trained.bending(*self._whole_motion(clips)))
        loss, _ = self.loss_of(self.example_of("handles", clips, generator), generator)
        return figures | {"loss": float(loss)}

    def _whole_motion(self, clips: ClipBatch) -> tuple[Tensor, Tensor, Tensor]:
        """What the stiffness network learns from: latents, positions and displacements of the graph's nodes."""
        rest, shape_autoencoder = clips.points[:, 0, : self.seen], self._frozen[0]
        index = farthest_point_indices(rest, self.trained.nodes)
        nodes = gather_rows(rest, index)
        latents, _ = shape_autoencoder.encode(rest, nodes, clips.normals[:, : self.seen])
        frames = clips.points[:, 1::BENDING_STRIDE]
        moved = frames.gather(2, index[:, None, :, None].expand(-1, frames.shape[1], -1, 3))
        return latents, nodes, moved - nodes[:, None]

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
        guesses = {"warm": condition.warm.mean, "rigid": condition.warm.guesses[..., 0, :]}
        misses = {guess: (value - latents[..., :3]).norm(dim=-1).mean() for guess, value in guesses.items()}
        return {
            f"{name}_warm": float(misses["warm"]),
            f"{name}_ratio": float(error / misses["warm"].clamp_min(1e-9)),
            f"{name}_over_rigid": float(error / misses["rigid"].clamp_min(1e-9)),
        }

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
        sample = posterior_mean(precondition(network, self.config.diffusion), noise, self.config.diffusion.sigma_max)
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


def relative_distance(
    estimate: Float[Tensor, "B T M C"], latents: Float[Tensor, "B T M C"], warm: WarmStart | None
) -> Float[Tensor, " B"]:
    """Mean distance of the estimated latents from the true ones, over that of the as-rigid guess (or of no motion).

    Unlike a square in the warm start's units it is what motions are judged by: it asks for the median, far from the
    handles as much as beside them, and clips count by how much better they could be, not by how far they move.
    """
    rigid = torch.zeros_like(latents[..., :3]) if warm is None else warm.guesses[..., 0, :]
    miss = (rigid - latents[..., :3]).norm(dim=-1).mean(dim=(1, 2))
    distance = ((estimate - latents).square().sum(dim=-1) + 1e-10).sqrt().mean(dim=(1, 2))  # smooth at zero
    return distance / (miss + SMALLEST_MISS)
