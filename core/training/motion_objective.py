"""The motion diffusion stage's objective: EDM loss on whitened latents."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from core.bank.library import MotionLibrary
from core.config import Config
from core.data.clips import ClipBatch, ClipSource
from core.diffusion.edm import EdmLoss, precondition
from core.diffusion.samplers import posterior_mean
from core.errors import ConfigError
from core.geometry.farthest_points import farthest_point_indices, nearest_indices
from core.models.diffusion_models import MotionCondition, MotionDiffusion, build_motion_diffusion
from core.models.layers import gather_rows
from core.models.motion_autoencoder import MotionAutoencoder
from core.models.observation_conditioners import ScanCondition
from core.models.part_descriptor import PartDescriptor
from core.models.shape_autoencoder import ShapeAutoencoder
from core.models.warm_start import HandleCondition, WarmStart
from core.observation_kinds import LEARNED, ClipView
from core.training.bank_tables import BankTables
from core.training.borrowed import BorrowedGuess, borrowed_guesses
from core.training.objectives import Figures, Objective, untouched
from core.training.scores import energy_score, relative_score
from core.training.tasks import draw_kind, handles_from_tracks, pick_handles, random_handles

PROPOSALS = 2  # borrowed motions per clip, each with its own noise, as the energy score needs
NOTHING_BORROWED = 0.15  # share of clips without a borrowed motion


class Lenders(NamedTuple):
    """Where borrowed motions come from during training."""

    library: MotionLibrary
    network: PartDescriptor


class MotionExample(NamedTuple):
    """A batch of clips with one kind of task, with everything that does not depend on the trained weights."""

    clips: tuple[Tensor, Tensor, Tensor]  # shape latents, nodes and motion latents
    handles: HandleCondition
    scans: ScanCondition | None = None
    warm: WarmStart | None = None
    borrowed: BorrowedGuess | None = None  # of the anchors, PROPOSALS motions per clip


class MotionDiffusionObjective(Objective):
    """EDM loss on whitened motion latents of all frames, conditioned on shape latents and handles (paper Eq. 6)."""

    trained: MotionDiffusion

    def __init__(
        self,
        config: Config,
        shape_autoencoder: ShapeAutoencoder,
        motion_autoencoder: MotionAutoencoder,
        lenders: Lenders | None = None,
    ) -> None:
        """Without `lenders`, or with a model that cannot use them, nothing is borrowed. Raises ConfigError."""
        super().__init__(config)
        if config.training.reuse < 1:
            raise ConfigError(f"training.reuse: {config.training.reuse} is out of range; give 1 or more steps.")
        self.trained = build_motion_diffusion(config)
        self.loss = EdmLoss(config.diffusion)
        self._frozen = (shape_autoencoder.eval().requires_grad_(False), motion_autoencoder.eval().requires_grad_(False))
        self._lenders = lenders if config.motion_denoiser.borrowed else None
        self._tables: BankTables | None = None
        self._rig_names: tuple[str, ...] = ()
        self._barred: Tensor | None = None  # [R + 1, 2, entries]

    @property
    def seen(self) -> int:
        """Points per clip for the encoders; the others are for simulated sensors."""
        return max(self.config.motion.points if self._frozen[1].learned else 0, self.config.shape.points)

    @property
    def points(self) -> int:
        tasks = self.config.tasks
        sensed = any(getattr(tasks, name) > 0 for name, kind in LEARNED.items() if not kind.tracked)
        return self.seen + (2 * tasks.scan_points if sensed else 0)

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

    def draw(self, source: ClipSource, batch: int, generator: torch.Generator, split: str) -> ClipBatch:
        self._rig_names = getattr(source, "rig_names", ())
        return super().draw(source, batch, generator, split)

    @torch.no_grad()
    def example(self, clips: ClipBatch, generator: torch.Generator) -> MotionExample:
        return self.example_of(draw_kind(self.config.tasks, generator), clips, generator)

    @torch.no_grad()
    def example_of(self, kind: str, clips: ClipBatch, generator: torch.Generator) -> MotionExample:
        """Clips prepared for one kind of task: encoded, with a condition and its warm start."""
        shape_latents, nodes, latents, anchors = self._encode(clips)
        handles, scans = self._condition(kind, clips, nodes, anchors, generator)
        warm = self.trained.geometry(nodes, handles) if self.trained.warm else None
        borrowed = self.borrow(clips, nodes, handles, generator) if kind == "handles" else None
        return MotionExample((shape_latents, nodes, latents), handles, scans, warm, borrowed)

    @torch.no_grad()
    def borrow(
        self, clips: ClipBatch, nodes: Tensor, handles: HandleCondition, generator: torch.Generator
    ) -> BorrowedGuess | None:
        """Motions borrowed for the clips, at the anchors; half of the clips get none of their own pack."""
        if self._lenders is None:
            return None
        device = nodes.device
        if self._tables is None or self._barred is None:
            with torch.autocast(device.type, enabled=False):
                self._tables = BankTables(*self._lenders, device)
                self._barred = self._tables.bar(self._rig_names)
        batch, count = len(nodes), self.trained.latents
        whole = (torch.rand(batch, device=device, generator=generator) < 0.5).long()
        none = torch.full((batch,), len(self._rig_names), device=device)
        barred = self._barred[none if clips.rig is None else clips.rig, whole]
        body = nodes[:, : self.trained.nodes]
        # Nodes are points of the clips, so the nearest one is identical.
        index = nearest_indices(body, clips.points[:, 0, : self.seen], 1)[..., 0]
        normals = gather_rows(clips.normals, index)
        found = borrowed_guesses(self._tables, body, normals, handles, clips.fps, barred, PROPOSALS, generator)
        return found._replace(displacements=found.displacements[..., :count, :].clone())

    def forward(self, example: MotionExample, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        loss, figures = self.loss_of(example, generator)
        return loss + untouched(self.trained), figures

    def loss_of(self, example: MotionExample, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss and figures of an example, with noise from the generator."""
        shape_latents, nodes, latents = example.clips
        diffusion = self.config.diffusion
        batch, device = len(latents), latents.device
        condition = self.trained.prepare(shape_latents, nodes, example.handles, example.scans, warm=example.warm)
        sigma, pure = self.loss.noise_levels(batch, device, generator)
        if self.trained.denoiser.from_borrowed is not None and condition.warm is not None:
            # Every clip twice, with two proposals and two noise samples.
            lent = torch.rand(batch, device=device, generator=generator) >= NOTHING_BORROWED
            condition = self._lend(condition, example.borrowed, lent)
            latents, sigma, pure = (x.repeat(PROPOSALS, *(1,) * (x.dim() - 1)) for x in (latents, sigma, pure))
        clean = self.trained.whiten(latents, condition.warm)
        white = torch.randn(clean.shape, device=device, generator=generator)
        noise = self.trained.noise(white, condition.warm)
        network = lambda x, level: self.trained.denoiser(x, level, condition.prepared)  # noqa: E731
        squares, estimate = self.loss(network, clean, noise, sigma, pure)
        loss = squares.mean(dim=(1, 2, 3))
        if diffusion.outlier_variance > 0:
            # Otherwise a few clips, many standard deviations from the warm start, would dominate.
            loss = loss / (1 + clean.square().mean(dim=(1, 2, 3)) / diffusion.outlier_variance)
        loss = torch.where(pure, self._score(estimate, clean, latents, condition.warm, len(latents) // batch), loss)
        share = pure.float()
        figures = {
            "loss_pure": (loss * share).sum().detach() / share.sum().clamp_min(1),
            "clean_variance": clean.square().mean().detach(),
        }
        return loss.mean(), figures

    def _score(self, estimate: Tensor, clean: Tensor, latents: Tensor, warm: WarmStart | None, samples: int) -> Tensor:
        """The loss [B] of estimates made from pure noise; a useless one has 1.

        Displacements count in lengths. Learned channels have other units, so they count in standard deviations; as
        lengths they would outweigh the displacements.
        """
        if not self.config.motion.explicit_displacement:
            return energy_score(estimate, clean, samples) / clean.shape[-1] ** 0.5
        answer = self.trained.unwhiten(estimate, warm)
        score = relative_score(answer[..., :3], latents[..., :3], warm, samples)
        learned = clean.shape[-1] - 3
        if learned:
            score = score + energy_score(estimate[..., 3:], clean[..., 3:], samples) / learned**0.5
        return score

    def _lend(self, condition: MotionCondition, borrowed: BorrowedGuess | None, lent: Tensor) -> MotionCondition:
        """The conditions of a batch, repeated for every proposal."""
        assert condition.warm is not None
        warm = condition.warm.repeat(PROPOSALS)
        prepared = condition.prepared.repeat(PROPOSALS)
        if borrowed is None:
            return MotionCondition(prepared, warm)
        features = self.trained.borrowed_features(
            warm,
            borrowed.displacements.transpose(0, 1).flatten(0, 1),
            borrowed.missed.t().flatten(),
            lent.repeat(PROPOSALS),
        )
        return MotionCondition(self.trained.denoiser.with_borrowed(prepared, features), warm)

    @torch.no_grad()
    def check(self, clips: ClipBatch, generator: torch.Generator) -> Figures:
        """Errors of the posterior mean at the anchors, per task, over those of the warm start and its as-rigid guess.

        Without a warm start they are the errors themselves.
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
            borrowed = self.borrow(clips, nodes, handles, generator)
            figures |= self._posterior_figures(
                name, shape_latents, nodes, latents, handles, generator, borrowed=borrowed
            )
        for name in LEARNED:
            if getattr(self.config.tasks, name) > 0:
                handles, scans = self._condition(name, clips, nodes, anchors, generator)
                figures |= self._posterior_figures(name, shape_latents, nodes, latents, handles, generator, scans)
        loss, _ = self.loss_of(self.example_of("handles", clips, generator), generator)
        return figures | {"loss": float(loss)}

    def _condition(
        self, kind: str, clips: ClipBatch, nodes: Tensor, anchors: Tensor, generator: torch.Generator
    ) -> tuple[HandleCondition, ScanCondition | None]:
        if kind == "handles":
            return random_handles(clips.points, self.config.tasks, generator), None
        observed = LEARNED[kind]
        assert observed.simulate_motion is not None, "what is learned can be simulated"
        sensed = slice(None) if observed.tracked else slice(self.seen, None)
        view = ClipView(clips.points[:, :, sensed], clips.normals[:, sensed], nodes, anchors)
        return observed.simulate_motion(view, self.config, generator)

    def _posterior_figures(
        self,
        name: str,
        shape_latents: Tensor,
        nodes: Tensor,
        latents: Tensor,
        handles: HandleCondition,
        generator: torch.Generator,
        scans: ScanCondition | None = None,
        borrowed: BorrowedGuess | None = None,
    ) -> Figures:
        condition = self.trained.prepare(shape_latents, nodes, handles, scans=scans)
        spread: Figures = {}
        if borrowed is None or condition.warm is None:
            sample = self._posterior_mean(condition, latents, generator)
        else:
            every = self._lend(condition, borrowed, torch.ones(len(latents), dtype=torch.bool, device=latents.device))
            samples = self._posterior_mean(every, latents.repeat(PROPOSALS, 1, 1, 1), generator)
            samples = samples.unflatten(0, (PROPOSALS, len(latents)))
            sample = samples.mean(dim=0)
            truth = latents[..., :3].norm(dim=-1).mean()
            spread = {
                f"{name}_size": float(samples[..., :3].norm(dim=-1).mean() / truth),
                f"{name}_apart": float((samples[0] - samples[1])[..., :3].norm(dim=-1).mean() / truth),
            }
        error = (sample - latents)[..., :3].norm(dim=-1).mean()
        if condition.warm is None:
            return {f"{name}_error": float(error)}
        guesses = {"warm": condition.warm.mean, "rigid": condition.warm.guesses[..., 0, :]}
        misses = {guess: (value - latents[..., :3]).norm(dim=-1).mean() for guess, value in guesses.items()}
        return spread | {
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
        """Motion latents, shaped as `like`, from one call of the denoiser on pure noise."""
        white = torch.randn(like.shape, device=like.device, generator=generator)
        network = lambda x, level: self.trained.denoiser(x, level, condition.prepared)  # noqa: E731
        noise = self.trained.noise(white, condition.warm)
        sample = posterior_mean(precondition(network, self.config.diffusion), noise, self.config.diffusion.sigma_max)
        return self.trained.unwhiten(sample, condition.warm)

    def _encode(self, clips: ClipBatch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Shape latents [B, Ms, Cs], nodes [B, P, 3], motion latents [B, T, M, Cd] and the anchors' indices [B, M].

        The first M nodes are the motion's anchors. If tokens only see their own anchor's shape latent, only those are
        encoded.
        """
        shape_autoencoder, motion_autoencoder = self._frozen
        points, normals = clips.points[:, :, : self.seen], clips.normals[:, : self.seen]
        rest = points[:, 0]
        motion_count = self.config.motion.latents
        own = self.config.motion_denoiser.shape_condition == "token"
        shape_count = motion_count if own else self.config.shape.latents
        count = max(shape_count, min(self.config.diffusion.warm_start_nodes, rest.shape[1]))
        index = farthest_point_indices(rest, count)
        nodes = gather_rows(rest, index)
        shape_latents, _ = shape_autoencoder.encode(rest, nodes[:, :shape_count], normals)
        latents, _ = motion_autoencoder.encode(rest, points[:, 1:], index[:, :motion_count])
        return shape_latents, nodes, latents, index[:, :motion_count]
