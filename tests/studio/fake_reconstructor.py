"""A stand-in for the reconstruction pipeline, for tests of the editor only: an ellipsoid that follows the points."""

from __future__ import annotations

import time

import numpy as np
from scipy.spatial import cKDTree

from core.errors import DataError
from core.pipelines.request import OnStep, Progress, Reconstruction, ReconstructionOptions, ReconstructionSet
from core.sequence import MeshSequence, Normalization, ScanSequence


def blob(scans: ScanSequence, place: Normalization, seed: int) -> MeshSequence:
    """Each seed has another number of vertices and another width where nothing was seen."""
    from .shapes import ball_arrays

    unit, faces = ball_arrays(10 + seed % 5, 16)
    unit = unit / np.ptp(unit, axis=0).max()
    start = scans.points[0].mean(0)
    wide = np.array([1.0, 1.0 + 0.05 * seed, 1.0])
    frames = []
    for points in scans.points:
        middle = points.mean(0) - start if len(points) else np.zeros(3)
        frames.append(place.invert(unit * wide) + middle)
    return MeshSequence(np.stack(frames).astype(np.float32), faces, fps=scans.fps, name=scans.name)


def fake_reconstruction(
    scans: ScanSequence,
    options: ReconstructionOptions,
    on_step: OnStep | None,
    steps: int = 6,
    gate: object = None,
    device: str = "cpu",
) -> ReconstructionSet:
    """Raises DataError for scans without points, as the pipeline does for what it cannot use."""
    if not any(len(points) for points in scans.points):
        raise DataError("The scans have no points; open scans that have some.")
    start = time.perf_counter()
    place = options.normalization
    assert place is not None
    sampling = options.sampling
    sequences = [blob(scans, place, sampling.seed + row) for row in range(sampling.seeds)]
    for step in range(1, steps + 1):
        if callable(gate):
            gate()
        if on_step is not None:
            # Until the last steps a body is being fitted, as in the pipeline.
            preview = None if step == 1 else sequences[0].vertices[:1] if step < 3 else sequences[0].vertices
            faces = None if preview is None else sequences[0].faces
            on_step(Progress(step, steps, "Denoising", preview, faces, "Horse" if step == 2 else ""))
    samples = []
    for row, sequence in enumerate(sequences):
        other = sequences[(row + 1) % len(sequences)]
        to_scan = np.stack([_distance(v, p) for v, p in zip(sequence.vertices, scans.points, strict=True)])
        apart = np.stack([_distance(a, b) for a, b in zip(sequence.vertices, other.vertices, strict=True)])
        fit = np.array([_distance(p, v).mean() for v, p in zip(sequence.vertices, scans.points, strict=True)])
        values = (np.asarray(value / place.scale, dtype=np.float32) for value in (fit, to_scan, apart))
        samples.append(Reconstruction(sampling.seed + row, sequence, *values, body="Horse"))
    return ReconstructionSet(tuple(samples), place, time.perf_counter() - start, "small", device)


def _distance(points: np.ndarray, targets: np.ndarray) -> np.ndarray:
    return np.asarray(cKDTree(targets).query(points)[0])
