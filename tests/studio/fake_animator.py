"""A stand-in for the model, for tests of the editor only: smooth displacements that meet every handle."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

from core.pipelines.request import (
    OnStep,
    Progress,
    ReconstructionOptions,
    ReconstructionSet,
    Sample,
    SampleSet,
    SamplingOptions,
)
from core.sequence import HandleTracks, MeshSequence, ScanSequence, SourceMesh

from .fake_reconstructor import fake_reconstruction


@dataclass
class FakeAnimator:
    """`gate`, when set, is called before every step, so that a test decides when a request goes on."""

    preset: str = "small"
    device: str = "cpu"
    steps: int = 6
    step_seconds: float = 0.0
    gate: object = None
    heading: float | None = None
    calls: list[SamplingOptions] = field(default_factory=list)

    def animate(
        self, mesh: SourceMesh, tracks: HandleTracks, options: SamplingOptions, on_step: OnStep | None = None
    ) -> SampleSet:
        self.calls.append(options)
        start = time.perf_counter()
        steps = 1 if options.quality == "draft" else self.steps
        motions = [self._motion(mesh, tracks, options.seed + row) for row in range(options.seeds)]
        for step in range(1, steps + 1):
            if callable(self.gate):
                self.gate()
            time.sleep(self.step_seconds)
            if on_step is not None:
                rough = mesh.vertices[None] + (motions[0] - mesh.vertices[None]) * (step / steps)
                on_step(Progress(step, steps, "Denoising", rough.astype(np.float32)))
        stacked = np.stack(motions)
        mean = stacked.mean(0)
        targets, given = tracks.constraints(mesh.vertices)
        samples = []
        for row, motion in enumerate(motions):
            at = np.stack([motion[:, handle.vertex] for handle in tracks.handles])
            error = float(np.where(given, np.linalg.norm(at - targets, axis=-1), 0.0).max()) / mesh.size
            sequence = MeshSequence(motion, mesh.faces, fps=tracks.fps, handles=tracks, name=mesh.name)
            difference = float(np.linalg.norm(motion - mean, axis=-1).mean()) / mesh.size
            samples.append(Sample(options.seed + row, sequence, error, 0.01 + error, difference))
        disagreement = (np.linalg.norm(stacked.std(0), axis=-1) / mesh.size).astype(np.float32)
        return SampleSet(tuple(samples), disagreement, time.perf_counter() - start, self.preset, self.device)

    def facing(self, mesh: SourceMesh) -> float | None:
        return self.heading

    def reconstruct(
        self, scans: ScanSequence, options: ReconstructionOptions, on_step: OnStep | None = None
    ) -> ReconstructionSet:
        self.calls.append(options.sampling)
        return fake_reconstruction(scans, options, on_step, self.steps, self.gate, self.device)

    def _motion(self, mesh: SourceMesh, tracks: HandleTracks, seed: int) -> np.ndarray:
        """Gaussian falloff around each handle, with a seed's own swing in between that vanishes at handles."""
        rest = mesh.vertices.astype(np.float64)
        handles = tracks.handles
        centers = rest[[handle.vertex for handle in handles]]
        kernel = np.exp(-((np.linalg.norm(centers[:, None] - centers[None], axis=-1) / (0.25 * mesh.size)) ** 2))
        spread = np.exp(-((np.linalg.norm(rest[:, None] - centers[None], axis=-1) / (0.25 * mesh.size)) ** 2))
        weights = spread @ np.linalg.inv(kernel + 1e-9 * np.eye(len(handles)))
        time_share = np.linspace(0.0, 1.0, tracks.frames)
        paths = np.zeros((len(handles), tracks.frames, 3))
        generator = np.random.default_rng(seed)
        targets, given = tracks.constraints(mesh.vertices)
        for row, handle in enumerate(handles):
            if handle.pinned:
                continue
            frames = np.flatnonzero(given[row])
            offsets = targets[row, frames] - centers[row]
            for axis in range(3):
                paths[row, :, axis] = np.interp(np.arange(tracks.frames), frames, offsets[:, axis])
        if not any(handle.hold or handle.pins or handle.easing for handle in handles):
            swing = generator.normal(size=3) * 0.12 * mesh.size
            keyed = sorted({0, tracks.frames - 1, *(f for h in handles for f in h.keys)})
            envelope = np.prod([np.abs(np.arange(tracks.frames) - f) / tracks.frames for f in keyed], axis=0)
            envelope = envelope / max(envelope.max(), 1e-12)
            moved = np.array([not handle.pinned for handle in handles], dtype=float)
            paths += moved[:, None, None] * envelope[None, :, None] * swing
        lean = generator.normal(size=3) * 0.05 * mesh.size
        away = np.clip(1.0 - spread.max(1), 0.0, 1.0)
        motion = rest[None] + np.einsum("vk,ktc->tvc", weights, paths)
        motion += (np.sin(np.pi * time_share)[:, None] * away[None])[..., None] * lean
        return motion.astype(np.float32)


def make_fake() -> FakeAnimator:
    return FakeAnimator()


def make_slow_fake() -> FakeAnimator:
    return FakeAnimator(step_seconds=0.15, steps=18)
