"""The ground truth beside a scan sequence, `truth.npz` or `truth.glb`, and the distance of results from it.

A folder of scans may hold one of the two; beside a single file `walk.npz` the name is `walk-truth.npz`. The
positions are in the scans' own units and axes, with one frame per scan.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from core.errors import DataError
from core.geometry.sampling import sample_surface
from core.pipelines.request import ReconstructionSet
from core.sequence import MeshSequence
from m2v_studio.document.words import counted

SUFFIXES = (".npz", ".glb")
SURFACE_POINTS = 20_000
NEIGHBOURS = 4


def truth_path(scans: Path) -> Path | None:
    """The file that holds the true surface of these scans, if there is one."""
    folder, stem = (scans, "truth") if scans.is_dir() else (scans.parent, f"{scans.stem}-truth")
    return next((path for suffix in SUFFIXES if (path := folder / f"{stem}{suffix}").is_file()), None)


def read_truth(path: Path, frames: int, fps: float) -> MeshSequence:
    """The true surface in every frame of the scans; raises DataError or MeshError when it cannot be used.

    An animated GLB is sampled at the scans' frames per second, from the start of its first clip.
    """
    if path.suffix.lower() == ".npz":
        from core.io.sequence_file import read_sequence

        truth = read_sequence(path)
    else:
        from core.io.gltf.scene import GltfScene

        scene = GltfScene(path)
        clip = 0 if scene.clips else None
        times = (scene.clips[0].start if scene.clips else 0.0) + np.arange(frames) / fps
        positions = scene.positions(clip, times)
        if len(positions) == 1:
            positions = np.repeat(positions, frames, axis=0)
        faces = np.concatenate([part.faces for part in scene.parts])
        truth = MeshSequence(positions.astype(np.float32), faces, fps=fps, name=path.stem)
    if truth.frames != frames:
        raise DataError(
            f"{path.name} has {counted(truth.frames, 'frame')}, not one for each of {counted(frames, 'scan')}"
        )
    return truth


def truth_errors(samples: ReconstructionSet, truth: MeshSequence) -> tuple[NDArray[np.float32], ...]:
    """For each sample, the distance [T, V] of its vertices from the true surface, as a fraction of the longest side."""
    spots = sample_surface(truth.vertices[0], truth.faces, SURFACE_POINTS, np.random.default_rng(0))
    scale = samples.normalization.scale
    frames = min([truth.frames, *(sample.sequence.frames for sample in samples.samples)])
    errors = [np.zeros(sample.sequence.vertices.shape[:2], dtype=np.float32) for sample in samples.samples]
    for frame in range(frames):
        surface = truth.vertices[frame].astype(np.float64)
        tree = cKDTree(spots.at(surface))
        for row, sample in enumerate(samples.samples):
            points = sample.sequence.vertices[frame].astype(np.float64)
            near, index = (np.asarray(found) for found in tree.query(points, k=NEIGHBOURS))
            best = near[:, 0]
            for column in range(NEIGHBOURS):
                best = np.minimum(best, point_triangle_distance(points, surface[spots.corners[index[:, column]]]))
            errors[row][frame] = best / scale
    return tuple(errors)


def point_triangle_distance(points: NDArray[np.float64], triangles: NDArray[np.float64]) -> NDArray[np.float64]:
    """[Q] distance of each point [Q, 3] from its own triangle [Q, 3, 3]."""
    a, b, c = triangles[:, 0], triangles[:, 1], triangles[:, 2]
    best = np.minimum(
        np.minimum(_segment_distance(points, a, b), _segment_distance(points, b, c)), _segment_distance(points, c, a)
    )
    normal = np.cross(b - a, c - a)
    length = np.linalg.norm(normal, axis=1)
    unit = normal / np.maximum(length, 1e-300)[:, None]
    inside = length > 1e-20
    for p, q in ((a, b), (b, c), (c, a)):
        inside &= (np.cross(q - p, points - p) * unit).sum(1) >= 0.0
    return np.where(inside, np.abs(((points - a) * unit).sum(1)), best)


def _segment_distance(points: NDArray, start: NDArray, end: NDArray) -> NDArray[np.float64]:
    along = end - start
    share = ((points - start) * along).sum(1) / np.maximum((along * along).sum(1), 1e-300)
    return np.linalg.norm(points - (start + np.clip(share, 0.0, 1.0)[:, None] * along), axis=1)
