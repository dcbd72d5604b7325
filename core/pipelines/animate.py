"""Animates a mesh: from a SourceMesh and HandleTracks to sampled motions.

    animator = Animator.load("small")
    samples = animator.animate(read_mesh("fox.glb"), tracks, SamplingOptions(seeds=4))

normalise -> motions borrowed from the bank -> condition (once) -> motion latents (sampler) -> both on the rigid surface
-> the mesh's own vertices -> exact handles.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from core.bank.borrowing import Borrowed
from core.bank.library import MotionLibrary
from core.bank.matching import Match
from core.bank.user_bank import bank_files
from core.checkpoint import PART_DESCRIPTOR, checkpoint_path
from core.config import Config
from core.errors import M2VError
from core.models.diffusion_models import MotionDiffusion
from core.models.motion_autoencoder import MotionAutoencoder
from core.models.shape_autoencoder import ShapeAutoencoder
from core.pipelines.body_request import Request, handle_condition, request_on
from core.pipelines.devices import choose_device, in_smaller_batches, on_cpu_at_need, where_it_fits
from core.pipelines.exact_handles import meet_handles
from core.pipelines.leads import MOST_UNLIKE, NOTHING_ALIKE, NOTHING_LEFT, find_lead
from core.pipelines.living_motion import blend, estimate_share
from core.pipelines.looping import check_loop
from core.pipelines.memory_room import check_room, return_freed_memory
from core.pipelines.model_files import load_modules
from core.pipelines.motion_differences import compare_motions
from core.pipelines.motion_sampling import denoiser_calls, prepare_motion, sample_motion
from core.pipelines.moving_body import Describe, MovingBody, unnamed_parts
from core.pipelines.part_descriptions import PartDescriptions
from core.pipelines.prepared_mesh import PreparedMesh, PreparedMeshes
from core.pipelines.progress import Reporter
from core.pipelines.proposals import borrowed_features, proposed_motion
from core.pipelines.request import OnStep, Sample, SampleSet, SamplingOptions
from core.pipelines.turned_handles import hold_regions
from core.sequence import HandleTracks, MeshSequence, SourceMesh

PREVIEW_LIMIT = 4_000_000  # vertices times frames; sending larger previews costs too much
FACE_KNOWN = 1.0  # matching cost up to which the estimated heading is trusted


class Animator:
    """The models of one preset on one device. Results depend on mesh, handles, options and device; not thread-safe."""

    def __init__(
        self,
        config: Config,
        shape_autoencoder: ShapeAutoencoder,
        motion_autoencoder: MotionAutoencoder,
        motion_diffusion: MotionDiffusion,
        device: str | torch.device = "cpu",
        describe: Describe | None = None,
        library: MotionLibrary | None = None,
    ) -> None:
        """Without `describe` (the part descriptor) or a `library` nothing is borrowed."""
        self.config = config
        self.preset = config.name
        self.device = choose_device(str(device))
        self.shape_autoencoder = shape_autoencoder.to(self.device).float().eval()
        self.motion_autoencoder = motion_autoencoder.to(self.device).float().eval()
        self.motion_diffusion = motion_diffusion.to(self.device).float().eval()
        self._twin: Animator | None = None
        self._meshes = PreparedMeshes(config, self.shape_autoencoder, self.device)
        self._describe = describe or unnamed_parts
        self.library = None if describe is None else library
        # The weight of the denoiser's estimate.
        self.share: Callable[[NDArray[np.float32], int], NDArray[np.float32]] = estimate_share

    @classmethod
    def load(cls, preset: str = "small", device: str = "auto") -> Animator:
        """Read the weights of a bundled preset, or of a folder with one file per stage.

        `device` is auto, cpu, cuda, cuda:N or mps; if its memory is full, the CPU is used. Raises CheckpointError if a
        file is missing, damaged, of another version or of another model, M2VError for a device that does not exist.
        """
        return where_it_fits(lambda place: cls._loaded(preset, place), choose_device(device))

    @classmethod
    def _loaded(cls, preset: str, place: torch.device) -> Animator:
        config, modules = load_modules(preset, ("shape-autoencoder", "motion-autoencoder", "motion-diffusion"))
        shape, motion, diffusion = modules
        parts = checkpoint_path(preset, PART_DESCRIPTOR)
        if not parts.is_file():  # trained without rigs
            return cls(config, shape, motion, diffusion, place)
        network = load_modules(preset, (PART_DESCRIPTOR,))[1][0].to(place)
        library = MotionLibrary.load(*bank_files())
        return cls(config, shape, motion, diffusion, place, PartDescriptions(network), library)

    def body_of(self, mesh: SourceMesh) -> MovingBody:
        """The mesh as a body for the bank's motions."""
        return self._meshes.of(mesh).moving_body(self._describe)

    def matches(self, mesh: SourceMesh) -> list[Match]:
        """The shapes of the bank most similar to a mesh, best first; none if nothing is similar."""
        if self.library is None:
            return []
        prepared = self._meshes.of(mesh)
        found = prepared.matches(self.library, prepared.moving_body(self._describe))
        return found if found and found[0].cost <= MOST_UNLIKE else []

    @torch.inference_mode()
    def animate(
        self, mesh: SourceMesh, tracks: HandleTracks, options: SamplingOptions, on_step: OnStep | None = None
    ) -> SampleSet:
        """Sample motions of `mesh` that follow `tracks` (both in the mesh's own units and axes).

        Frame 0 of each is the mesh itself; keyed handle positions are met within 1e-5 of its size. A `draft` has one
        sample, whatever the number of seeds. `on_step` is called between denoiser calls, on this thread, and may raise
        Cancelled. If the device runs out of memory, fewer seeds are made at a time, or all on the CPU, with a note.
        Raises HandleError, MeshError or M2VError for bad input, and MemoryError.
        """
        return on_cpu_at_need(self, lambda animator: animator._animate(mesh, tracks, options, on_step))

    def on_cpu(self) -> Animator:
        """The same models on the CPU, cached."""
        if self._twin is None:
            shape, motion = copy.deepcopy(self.shape_autoencoder), copy.deepcopy(self.motion_autoencoder)
            diffusion = copy.deepcopy(self.motion_diffusion)
            describe = copy.deepcopy(self._describe)
            if isinstance(describe, PartDescriptions):
                describe.network.cpu()
            self._twin = Animator(self.config, shape, motion, diffusion, "cpu", describe, self.library)
            self._twin.share = self.share
        return self._twin

    def _animate(
        self, mesh: SourceMesh, tracks: HandleTracks, options: SamplingOptions, on_step: OnStep | None
    ) -> SampleSet:
        started = time.perf_counter()
        options.validate()
        tracks.validate(mesh.vertices)
        if options.loop:
            check_loop(tracks.frames)
        seeds = [options.seed + number for number in range(1 if options.quality == "draft" else options.seeds)]
        check_room(len(mesh.vertices), tracks.frames, len(seeds))
        report = Reporter(on_step, denoiser_calls(options, self.config) + len(seeds) + 1)
        report.start("Reading the shape")
        prepared = self._meshes.of(mesh)
        request = request_on(prepared, self._describe, tracks, options)
        report.start("Searching the motions")
        lead = None if self.library is None else find_lead(self.library, prepared, request, seeds)
        contacts = options.contacts & (np.ones(len(seeds), bool) if lead is None else lead.standing)
        show = None
        if lead is not None and options.quality != "draft" and len(mesh.vertices) * tracks.frames <= PREVIEW_LIMIT:
            show = lambda: self._preview(prepared, request, lead.motions, contacts)  # noqa: E731
        report.step("Searching the motions", show)
        share = (
            np.ones_like(request.certainty) if lead is None else self.share(request.certainty, request.handles.moving)
        )
        few: tuple[str, ...] = ()
        if lead is None or share.any():
            borrowed = lead.motions if lead is not None and lead.borrowed else None
            parts, few = in_smaller_batches(
                lambda some: self._estimate(
                    prepared, request, borrowed and borrowed.of(some), tracks, options, seeds[some], report
                ),
                len(seeds),
                self.device,
            )
            led = Borrowed(*map(torch.cat, zip(*parts, strict=True)))
            if lead is not None:
                led = blend(lead.motions, led, share)
        else:
            led = lead.motions
        settled, missed = request.settled(led, contacts)
        if len(mesh.vertices) * tracks.frames > PREVIEW_LIMIT:
            return_freed_memory()  # from search and denoiser, before allocating all frames' vertices
        motions, errors, stretches = [], [], []
        for number in range(len(seeds)):
            report.check_cancelled()
            nodes = settled.positions[number], settled.rotations[number]
            vertices = request.body.carry(*nodes, prepared.normalization)
            vertices[0] = mesh.vertices
            stretches.append(request.body.stretch(vertices))
            after = self._meet(prepared, vertices, request)[1]
            errors.append((float(missed[number]) * prepared.size, after))
            hold_regions(vertices, mesh.vertices, tracks)
            motions.append(vertices)
            report.step("Moving the surface")
        samples = self._collect(prepared, tracks, seeds, motions, errors, started)
        sources = [""] * len(seeds) if lead is None else lead.sources
        named = zip(samples.samples, sources, stretches, strict=True)
        kept = tuple(replace(sample, source=source, stretch=stretch) for sample, source, stretch in named)
        alone = NOTHING_LEFT if options.without else NOTHING_ALIKE
        notes = () if lead is None or lead.borrowed else (alone,)
        return replace(samples, samples=kept, notes=(*notes, *few))

    @torch.inference_mode()
    def facing(self, mesh: SourceMesh) -> float | None:
        """A creature's heading, in radians about Y from +Z in normalised space; None if nothing in the bank is similar.

        What it computes is cached for the mesh's first motion. Raises MeshError as `animate` does.
        """
        matches = self.matches(mesh)
        return float(self.body_of(mesh).body.heading) if matches and matches[0].cost <= FACE_KNOWN else None

    def _preview(
        self, prepared: PreparedMesh, request: Request, borrowed: Borrowed, contacts: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """The first seed's borrowed motion [T, V, 3], in source units, as an early preview."""
        moved, _ = request.settled(borrowed.of(slice(0, 1)), contacts[:1])
        return request.body.carry(moved.positions[0], moved.rotations[0], prepared.normalization)

    def _estimate(
        self,
        prepared: PreparedMesh,
        request: Request,
        borrowed: Borrowed | None,
        tracks: HandleTracks,
        options: SamplingOptions,
        seeds: Sequence[int],
        report: Reporter,
    ) -> Borrowed:
        """The denoiser's motion of the nodes for every seed, given handles and borrowed motion."""
        surface = prepared.nodes(request.vertices)
        moving = tracks.frames - 1
        condition = prepare_motion(
            self.motion_diffusion,
            self.config,
            surface.shape_latents,
            surface.nodes,
            handle_condition(prepared, request, self.config.tasks.most_handles, self.device),
            distance=surface.distance,
        )
        if borrowed is not None and condition.warm is not None and self.motion_diffusion.denoiser.config.borrowed:
            led, missed = request.settled(borrowed, contacts=np.zeros(len(seeds), bool))
            proposed = proposed_motion(request.body, led, surface)
            features = borrowed_features(self.motion_diffusion, condition.warm, proposed, missed)
            condition = replace(condition, borrowed=features)
        latents = sample_motion(
            self.motion_diffusion,
            self.config,
            condition,
            moving,
            seeds,
            options,
            lambda latents, last: report.step("Finding the motion"),
            report.check_cancelled,
            keyed=True,
        )
        body = prepared.moving_body(self._describe)
        nodes = torch.from_numpy(body.nodes).to(self.device)[None]
        decoder = self.motion_autoencoder
        queried = [decoder.query(decoder.context(one[None], surface.anchors), nodes)[0] for one in latents]
        moved = torch.stack(queried).float().cpu()  # [S, T - 1, P, 3]
        rest = torch.from_numpy(body.nodes).expand(len(moved), 1, -1, -1)
        positions = torch.cat([rest, moved], dim=1)
        return Borrowed(positions, body.rotations(positions))

    def _meet(self, mesh: PreparedMesh, vertices: NDArray[np.float32], request: Request) -> tuple[float, float]:
        """Make the handles exact, in place; returns their error before (mean) and after (largest), in source units."""
        held, handles = request.vertices, request.handles
        if len(held) == 0:
            return 0.0, 0.0
        wanted, mask = request.wanted.swapaxes(0, 1), handles.keyframe_mask.T
        return meet_handles(vertices, held, wanted, mask, lambda: mesh.solver(held), mesh.size, handles.loop)

    def _collect(
        self,
        mesh: PreparedMesh,
        tracks: HandleTracks,
        seeds: Sequence[int],
        motions: list[NDArray[np.float32]],
        errors: Sequence[tuple[float, float]],
        started: float,
    ) -> SampleSet:
        if not all(np.isfinite(frame).all() for motion in motions for frame in motion):
            raise M2VError("The result for these handles is not finite; move them a shorter distance.")
        differences, disagreement = compare_motions(motions, mesh.size)
        samples = []
        for number, seed in enumerate(seeds):
            before, after = errors[number]
            motions[number].setflags(write=False)  # so that the sequence does not copy it
            faces, name = mesh.source.faces, mesh.source.name
            sequence = MeshSequence(motions[number], faces, tracks.fps, handles=tracks, name=name)
            figures = after / mesh.size, before / mesh.size, float(differences[number])
            samples.append(Sample(seed, sequence, *figures))
        seconds = time.perf_counter() - started
        return SampleSet(tuple(samples), disagreement, seconds, self.preset, str(self.device))
