"""Reconstruct: partial scans of a moving shape become complete, tracked mesh sequences (paper 3.2, 3.3).

    reconstructor = Reconstructor.load("small")
    result = reconstructor.reconstruct(read_scans("scans/"), ReconstructionOptions())

normalise -> shape latents of frame 0 (sampler) -> iso-surface (with the points' own field, where they are tracked) ->
the scans followed by that surface -> motion latents (sampler) -> the mesh's vertices in every frame. From the mesh on
this is an animation with estimated handles.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.bank.search import plain_name
from core.checkpoint import scan_motion_path
from core.config import Config
from core.errors import M2VError
from core.geometry.scan_normalization import guess_normalization
from core.models.diffusion_models import MotionDiffusion
from core.models.motion_autoencoder import MotionAutoencoder
from core.models.shape_autoencoder import ShapeAutoencoder
from core.models.shape_diffusion import ShapeDiffusion
from core.pipelines.body_fit import FittedBody
from core.pipelines.body_search import BodyPoses
from core.pipelines.decoding import decode_vertices
from core.pipelines.devices import choose_device, in_smaller_batches, on_cpu_at_need, where_it_fits
from core.pipelines.free_space import FreeSpace
from core.pipelines.memory_room import check_room
from core.pipelines.model_files import load_modules
from core.pipelines.motion_sampling import (
    denoiser_calls,
    prepare_motion,
    sample_motion,
)
from core.pipelines.outlined_bodies import outlined_shapes, outlines_of
from core.pipelines.prepared_mesh import PreparedMesh
from core.pipelines.progress import Reporter
from core.pipelines.request import OnStep, Reconstruction, ReconstructionOptions, ReconstructionSet, SamplingOptions
from core.pipelines.scan_bodies import likely_bodies
from core.pipelines.scan_fit import measure
from core.pipelines.scan_handles import scan_handles
from core.pipelines.scan_input import ScanInput
from core.pipelines.scan_registration import SurfaceRegistration
from core.pipelines.seen_side import Extent
from core.pipelines.shape_sampling import sample_shapes
from core.pipelines.surface import latents_to_mesh, model_occupancy, within_budget
from core.pipelines.temporal import steadied
from core.pipelines.unseen_motion import BankMotions, move_unseen
from core.sequence import IDENTITY, MeshPart, MeshSequence, Normalization, ScanSequence, SourceMesh
from core.shapes import Float


@dataclass(frozen=True, eq=False)
class _Surface:
    """Frame 0's surface of one seed, and its fit to the scans."""

    mesh: PreparedMesh
    registration: SurfaceRegistration
    observed: ScanInput  # what its motion follows
    body: str = ""  # the shape of the bank that completed it


class Reconstructor:
    """The shape and motion models of one preset on one device; not thread-safe."""

    def __init__(
        self,
        config: Config,
        shape_autoencoder: ShapeAutoencoder,
        motion_autoencoder: MotionAutoencoder,
        shape_diffusion: ShapeDiffusion,
        motion_diffusion: MotionDiffusion,
        device: str | torch.device = "cpu",
        bodies: BodyPoses | None = None,
        motions: BankMotions | None = None,
    ) -> None:
        """`bodies` complete what partial scans do not show, `motions` move it; without them the models alone do."""
        self.bodies = bodies
        self.motions = motions
        self.config = config
        self.preset = config.name
        self.device = choose_device(str(device))
        self.shape_autoencoder = shape_autoencoder.to(self.device).float().eval()
        self.motion_autoencoder = motion_autoencoder.to(self.device).float().eval()
        self.shape_diffusion = shape_diffusion.to(self.device).float().eval()
        self.motion_diffusion = motion_diffusion.to(self.device).float().eval()

    @classmethod
    def load(cls, preset: str = "small", device: str = "auto") -> Reconstructor:
        """From the files of a preset (or a folder with one file per stage).

        Raises CheckpointError when a file is missing, damaged or of another model, M2VError for a device not there.
        """
        return where_it_fits(lambda place: cls._loaded(preset, place), choose_device(device))

    @classmethod
    def _loaded(cls, preset: str, place: torch.device) -> Reconstructor:
        stages = ("shape-autoencoder", "motion-autoencoder", "shape-diffusion", "motion-diffusion")
        config, (shape, motion, shape_diffusion, motion_diffusion) = load_modules(
            preset, stages, {stages[-1]: scan_motion_path(preset)}
        )
        banks = BodyPoses.shipped(), BankMotions.load(preset)
        return cls(config, shape, motion, shape_diffusion, motion_diffusion, place, *banks)

    @torch.inference_mode()
    def reconstruct(
        self, scans: ScanSequence, options: ReconstructionOptions, on_step: OnStep | None = None
    ) -> ReconstructionSet:
        """Sample complete surfaces of frame 0 and their motion through all frames.

        `on_step` is called between denoiser calls and parts of longer work, on this thread; Cancelled raised in it
        passes through. Where the device's memory is too small, fewer shapes are made at a time, or all on the CPU,
        and a note says so. Raises DataError for scans that cannot be used, M2VError for other bad input, MemoryError.
        """
        return on_cpu_at_need(self, lambda models: models._reconstruct(scans, options, on_step))

    def on_cpu(self) -> Reconstructor:
        """The same models on the CPU."""
        shape, motion = copy.deepcopy(self.shape_autoencoder), copy.deepcopy(self.motion_autoencoder)
        diffusions = copy.deepcopy(self.shape_diffusion), copy.deepcopy(self.motion_diffusion)
        return Reconstructor(self.config, shape, motion, *diffusions, "cpu", self.bodies, self.motions)

    def _reconstruct(
        self, scans: ScanSequence, options: ReconstructionOptions, on_step: OnStep | None
    ) -> ReconstructionSet:
        started = time.perf_counter()
        options.validate()
        sampling = options.sampling
        seeds = [sampling.seed + number for number in range(1 if sampling.quality == "draft" else sampling.seeds)]
        calls = denoiser_calls(sampling, self.config)
        report = Reporter(on_step, calls + (3 + calls) * len(seeds) + 2)
        report.start("Reading the scans")
        normalization = options.normalization or guess_normalization(scans)
        observed = ScanInput(scans, normalization, self.config, self.device, report.check_cancelled)
        surfaces, few = self._surfaces(observed, seeds, options, report)
        check_room(max(len(found.mesh.source.vertices) for found in surfaces), scans.frames, len(seeds))
        motions: list[NDArray[np.float32]] = []
        report.faces = surfaces[0].mesh.source.faces
        for number, (seed, surface) in enumerate(zip(seeds, surfaces, strict=True)):
            in_scan_units = normalization if number == 0 else None
            motions.append(self._motion(surface, seed, options, report, in_scan_units))
        meshes = [surface.mesh for surface in surfaces]
        samples = self._collect(observed, normalization, seeds, meshes, motions, scans.fps, report)
        samples = tuple(replace(sample, body=found.body) for sample, found in zip(samples, surfaces, strict=True))
        seconds = time.perf_counter() - started
        return ReconstructionSet(samples, normalization, seconds, self.preset, str(self.device), few)

    def _surfaces(
        self, observed: ScanInput, seeds: list[int], options: ReconstructionOptions, report: Reporter
    ) -> tuple[list[_Surface], tuple[str, ...]]:
        """Frame 0's surface for each seed, and notes."""
        shapes = seeds[:1] if options.one_shape else seeds
        outlined = self._outlined(observed, len(shapes), options, report)
        if outlined:
            return [outlined[number % len(outlined)] for number in range(len(seeds))], ()
        parts, few = in_smaller_batches(
            lambda some: self._shapes(observed, shapes[some], options.sampling, report), len(shapes), self.device
        )
        latents = torch.cat(parts)
        free = observed.free_space()
        bodies = self._bodies(observed, latents[:1], free, options.sampling.without, report)
        surfaces: list[_Surface] = []
        for number in range(len(latents)):
            body = bodies[number % len(bodies)] if bodies else None
            known = latents[number : number + 1]
            if body is not None and self.shape_diffusion.borrows:
                known = self._shapes(observed, [shapes[number]], options.sampling, report, body)
            vertices, faces = latents_to_mesh(
                self.shape_autoencoder,
                known,
                options.resolution,
                options.faces,
                observed.points[0],
                free,
                report.check_cancelled,
                observed.whole_tracks(),
                body,
                observed.solid(),
                observed.box,
            )
            found = self._surface(vertices, faces, observed, report)
            surfaces.append(found if body is None else replace(found, body=plain_name(body.name)))
            report.step("Finding the surface")
        return [surfaces[min(number, len(surfaces) - 1)] for number in range(len(seeds))], few

    def _outlined(
        self, observed: ScanInput, count: int, options: ReconstructionOptions, report: Reporter
    ) -> list[_Surface]:
        """Surfaces of bodies that match the outline in images; none where no body does, or for other scans."""
        images = observed.scans.images
        if images is None or self.bodies is None:
            return []
        report.start("Finding a body with this outline")
        count = 1 if options.sampling.quality == "draft" else count
        cancelled = report.check_cancelled
        bodies = self.bodies.without(options.sampling.without)
        show, outlines = report.fitting(observed.normalization), outlines_of(images)
        found = outlined_shapes(bodies, outlines, count, options.resolution, cancelled, show)
        surfaces = []
        for shape in found:
            vertices, faces = within_budget(shape.vertices, shape.faces, options.faces)
            tracked = observed.followed(shape.tracks, cancelled)
            surfaces.append(replace(self._surface(vertices, faces, tracked, report), body=plain_name(shape.name)))
            report.step("Finding the surface")
        return surfaces

    def _shapes(
        self,
        observed: ScanInput,
        seeds: list[int],
        sampling: SamplingOptions,
        report: Reporter,
        body: FittedBody | None = None,
    ) -> Float[Tensor, "S M C"]:
        """Shape latents of frame 0, a row per seed, in one batch, with what is known of a `body` that fits."""
        return sample_shapes(
            self.shape_diffusion,
            self.shape_autoencoder,
            self.config,
            observed.shape(),
            seeds,
            sampling,
            (lambda: report.step("Finding the shape")) if body is None else report.check_cancelled,
            body,
        )

    def _bodies(
        self, observed: ScanInput, latents: Tensor, free: FreeSpace | None, without: Collection[str], report: Reporter
    ) -> list[FittedBody]:
        """Bodies that fit a scan of a part of the shape, the best first."""
        found: list[FittedBody] = []
        report.start("Finding a body that fits")
        if self.bodies is not None and (observed.one_sided or observed.sparse):
            model = model_occupancy(self.shape_autoencoder, latents)
            found = likely_bodies(
                self.bodies.without(without),
                observed.points[0],
                free,
                model,
                report.check_cancelled,
                observed.extent,
                report.fitting(observed.normalization),
                observed.box,
            )
        report.step("Finding a body that fits")
        return found

    def _surface(
        self, vertices: NDArray[np.float32], faces: NDArray[np.int32], observed: ScanInput, report: Reporter
    ) -> _Surface:
        """Frame 0's surface prepared for the motion stage: pulled onto the points."""
        registration = SurfaceRegistration(
            vertices,
            faces,
            observed.points,
            observed.viewpoints,
            observed.tracked,
            report.check_cancelled,
            observed.normals(),
            observed.extent is Extent.WHOLE and not observed.tracked,
        )
        if observed.kind.on_surface:
            vertices = registration.snap().astype(np.float32)
        every = np.arange(len(vertices), dtype=np.int32)
        source = SourceMesh(observed.scans.name, vertices, faces, every, (MeshPart(observed.scans.name, faces),))
        prepared = PreparedMesh(source, self.config, self.shape_autoencoder, self.device, IDENTITY)
        return _Surface(prepared, registration, observed)

    def _motion(
        self,
        found: _Surface,
        seed: int,
        options: ReconstructionOptions,
        report: Reporter,
        preview: Normalization | None,
    ) -> NDArray[np.float32]:
        """Vertices [T, V, 3] in normalised space; `preview` shows them on the way, in the scans' units."""
        mesh, observed = found.mesh, found.observed
        handles, surface = scan_handles(found.mesh, found.registration, observed)
        report.step("Following the scans")
        condition = prepare_motion(
            self.motion_diffusion, self.config, surface.shape_latents, surface.nodes, handles, observed.motion()
        )
        moving = observed.frames - 1

        def on_call(latents: Tensor, last: bool) -> None:
            def show() -> NDArray[np.float32]:
                assert preview is not None
                so_far = decode_vertices(self.motion_autoencoder, mesh, surface, latents[:, :moving])
                return preview.invert(so_far).astype(np.float32)

            report.step("Finding the motion", None if preview is None or last else show)

        latents = sample_motion(
            self.motion_diffusion,
            self.config,
            condition,
            moving,
            [seed],
            options.sampling,
            on_call,
            report.check_cancelled,
        )
        vertices = decode_vertices(self.motion_autoencoder, mesh, surface, latents)
        if not np.isfinite(vertices).all():
            raise M2VError("The result for these scans is not finite; check their centre and size.")
        vertices = found.registration.settle(vertices).astype(np.float32)
        if observed.one_sided and self.motions is not None and options.sampling.quality != "draft":
            points, fps, without = observed.points, observed.scans.fps, options.sampling.without
            vertices = move_unseen(self.motions, mesh, vertices, points, fps, seed, without)
        if not observed.tracked:
            vertices = steadied(vertices)
        report.step("Moving the surface")
        return vertices

    def _collect(
        self,
        observed: ScanInput,
        normalization: Normalization,
        seeds: list[int],
        meshes: list[PreparedMesh],
        motions: list[NDArray[np.float32]],
        fps: float,
        report: Reporter,
    ) -> tuple[Reconstruction, ...]:
        faces = [mesh.source.faces for mesh in meshes]
        figures = measure(motions, faces, observed.measured, report.check_cancelled)
        report.step("Measuring the fit")
        return tuple(
            Reconstruction(
                seed,
                MeshSequence(normalization.invert(motion).astype(np.float32), triangles, fps, name=observed.scans.name),
                figure.fit,
                figure.scan_distance,
                figure.disagreement,
            )
            for seed, motion, triangles, figure in zip(seeds, motions, faces, figures, strict=True)
        )
