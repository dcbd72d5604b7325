"""Animate a mesh from handles: the whole path from a SourceMesh and HandleTracks to sampled motions.

    animator = Animator.load("small")
    samples = animator.animate(read_mesh("fox.glb"), tracks, SamplingOptions(seeds=4))

normalise -> shape latents -> condition (once) -> motion latents (sampler) -> the mesh's own vertices -> exact handles.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.config import Config
from core.errors import M2VError
from core.models.diffusion_models import MotionDiffusion
from core.models.motion_autoencoder import MotionAutoencoder
from core.models.shape_autoencoder import ShapeAutoencoder
from core.models.warm_start import HandleCondition
from core.pipelines.decoding import decode_vertices
from core.pipelines.exact_handles import frame_chunks, meet_handles
from core.pipelines.model_files import choose_device, load_modules
from core.pipelines.motion_sampling import denoiser_calls, prepare_motion, sample_motion
from core.pipelines.prepared_mesh import PreparedMesh, PreparedMeshes
from core.pipelines.progress import Reporter
from core.pipelines.request import OnStep, Sample, SampleSet, SamplingOptions
from core.sequence import HandleTracks, MeshSequence, SourceMesh

# Positions a preview may have; a larger one would cost more to pass on than it shows.
PREVIEW_LIMIT = 4_000_000


class Animator:
    """The models of one preset on one device. Results depend on mesh, handles, options and device; not thread-safe."""

    def __init__(
        self,
        config: Config,
        shape_autoencoder: ShapeAutoencoder,
        motion_autoencoder: MotionAutoencoder,
        motion_diffusion: MotionDiffusion,
        device: str | torch.device = "cpu",
    ) -> None:
        self.config = config
        self.preset = config.name
        self.device = choose_device(str(device))
        self.shape_autoencoder = shape_autoencoder.to(self.device).float().eval()
        self.motion_autoencoder = motion_autoencoder.to(self.device).float().eval()
        self.motion_diffusion = motion_diffusion.to(self.device).float().eval()
        self._meshes = PreparedMeshes(config, self.shape_autoencoder, self.device)

    @classmethod
    def load(cls, preset: str = "small", device: str = "auto") -> Animator:
        """Read the weights of a bundled preset by name, or of a folder with one file per stage.

        `device` is auto, cpu or cuda. Raises CheckpointError when a file is missing, damaged, of another version or
        made for another model, M2VError for a device that is not there.
        """
        place = choose_device(device)
        config, modules = load_modules(preset, ("shape-autoencoder", "motion-autoencoder", "motion-diffusion"))
        shape, motion, diffusion = modules
        return cls(config, shape, motion, diffusion, place)

    @classmethod
    def from_modules(
        cls,
        config: Config,
        shape_autoencoder: ShapeAutoencoder,
        motion_autoencoder: MotionAutoencoder,
        motion_diffusion: MotionDiffusion,
        device: str | torch.device = "cpu",
    ) -> Animator:
        """From models in memory, trained or not."""
        return cls(config, shape_autoencoder, motion_autoencoder, motion_diffusion, device)

    @torch.inference_mode()
    def animate(
        self,
        mesh: SourceMesh,
        tracks: HandleTracks,
        options: SamplingOptions,
        on_step: OnStep | None = None,
    ) -> SampleSet:
        """Sample motions of `mesh` that follow `tracks` (both in the mesh's own units and axes).

        Frame 0 of each is the mesh itself; given handle positions are met within 1e-5 of its size. `draft` gives one
        sample whatever the number of seeds. `on_step` is called between denoiser calls, on this thread; Cancelled
        raised in it passes through. Raises HandleError, MeshError or M2VError for bad input.
        """
        started = time.perf_counter()
        options.validate()
        tracks.validate(mesh.vertices)
        # The posterior mean is the same for every seed.
        seeds = [options.seed + number for number in range(1 if options.quality == "draft" else options.seeds)]
        report = Reporter(on_step, denoiser_calls(options, self.config) + len(seeds))
        report.start("Reading the shape")
        prepared = self._meshes.of(mesh)
        surface = prepared.nodes(np.array([handle.vertex for handle in tracks.handles], dtype=np.int64))
        moving = tracks.frames - 1
        condition = prepare_motion(
            self.motion_diffusion,
            self.config,
            surface.shape_latents,
            surface.nodes,
            handle_condition(prepared, tracks, self.config.tasks.most_handles, self.device),
            options.guidance,
            distance=surface.distance,
        )
        previewed = len(mesh.vertices) * tracks.frames <= PREVIEW_LIMIT

        def on_call(latents: Tensor, last: bool) -> None:
            # After the last call the motion itself is on its way.
            show = lambda: decode_vertices(self.motion_autoencoder, prepared, surface, latents[:, :moving])  # noqa: E731
            report.step("Finding the motion", None if last or not previewed else show)

        latents = sample_motion(
            self.motion_diffusion,
            self.config,
            condition,
            moving,
            seeds,
            options,
            on_call,
            report.pulse,
            keyed=True,
        )
        motions, errors = [], []
        for number in range(len(seeds)):
            motions.append(decode_vertices(self.motion_autoencoder, prepared, surface, latents[number : number + 1]))
            errors.append(self._meet(prepared, motions[-1], tracks))
            report.step("Moving the surface")
        return self._collect(prepared, tracks, seeds, motions, errors, started)

    def _meet(self, mesh: PreparedMesh, vertices: NDArray[np.float32], tracks: HandleTracks) -> tuple[float, float]:
        """Make the handles exact in place; their error before (mean) and after (largest) in source units."""
        if not tracks.handles:
            return 0.0, 0.0
        handles = np.array([handle.vertex for handle in tracks.handles], dtype=np.int64)
        targets, given = tracks.constraints(mesh.source.vertices)
        return meet_handles(vertices, handles, targets.swapaxes(0, 1), given.T, mesh.solver(handles))

    def _collect(
        self,
        mesh: PreparedMesh,
        tracks: HandleTracks,
        seeds: Sequence[int],
        motions: list[NDArray[np.float32]],
        errors: Sequence[tuple[float, float]],
        started: float,
    ) -> SampleSet:
        if not all(np.isfinite(motion).all() for motion in motions):
            raise M2VError("The model gave numbers that are not finite for these handles; move them less far.")
        differences, disagreement = compare_motions(motions, mesh.size)
        samples = []
        for number, seed in enumerate(seeds):
            before, after = errors[number]
            sequence = MeshSequence(
                motions[number],
                mesh.source.faces,
                tracks.fps,
                handles=tracks,
                name=mesh.source.name,
            )
            motions[number] = sequence.vertices  # frees the copy
            samples.append(
                Sample(
                    seed,
                    sequence,
                    after / mesh.size,
                    before / mesh.size,
                    float(differences[number]),
                )
            )
        seconds = time.perf_counter() - started
        return SampleSet(tuple(samples), disagreement, seconds, self.preset, str(self.device))


def handle_condition(mesh: PreparedMesh, tracks: HandleTracks, slots: int, device: torch.device) -> HandleCondition:
    """The handles of one clip in normalised space, over its moving frames 1 .. T-1.

    Padded with absent handles to at least `slots`, as the model saw them in training.
    """
    targets, given = tracks.constraints(mesh.source.vertices)
    vertices = np.array([handle.vertex for handle in tracks.handles], dtype=np.int64)
    rest = mesh.normalization.apply(mesh.source.vertices[vertices])
    displacements = np.where(given[..., None], mesh.normalization.apply(targets) - rest[:, None], 0.0)

    free = max(0, slots - len(vertices))

    def batch(array: NDArray, dtype: type, axis: int) -> Tensor:
        widths = [(0, free if side == axis else 0) for side in range(array.ndim)]
        return torch.from_numpy(np.ascontiguousarray(np.pad(array, widths), dtype=dtype)).to(device)[None]

    return HandleCondition(
        positions=batch(rest, np.float32, 0),
        displacements=batch(displacements[:, 1:].swapaxes(0, 1), np.float32, 1),
        given=batch(given[:, 1:].T, np.bool_, 1),
        present=batch(np.ones(len(vertices)), np.bool_, 0),
    )


def compare_motions(motions: Sequence[NDArray[np.float32]], size: float) -> tuple[NDArray, NDArray[np.float32]]:
    """Each motion's mean distance from the mean of all [S], and the seeds' standard deviation [T, V], over `size`."""
    frames, count, _ = motions[0].shape
    disagreement = np.zeros((frames, count), dtype=np.float32)
    distances = np.zeros(len(motions))
    if len(motions) > 1:
        for chunk in frame_chunks(frames, count * len(motions)):
            stacked = np.stack([motion[chunk] for motion in motions]).astype(np.float64)
            squared = np.square(stacked - stacked.mean(axis=0)).sum(axis=-1) / size**2
            distances += np.sqrt(squared).sum(axis=(1, 2))
            disagreement[chunk] = np.sqrt(squared.mean(axis=0))
    return distances / (frames * count), disagreement
