"""The tasks of each scan protocol by name, and the observation of a clip for each.

The simulators are `core.data.scan_simulation`'s; a clip and a task always give the same observation.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.evaluation.evaluation_clips import EvaluationClip
from core.sequence import ScanSequence

Kind = Literal["tracked", "depth", "half_body", "voxels", "images"]


@dataclass(frozen=True)
class ScanTask:
    """One kind of observation: `points` per frame (512 unless said), Gaussian noise `sigma` in normalised units."""

    name: str
    title: str
    kind: Kind
    points: int = 512
    sigma: float = 0.001
    frames: int = 17


def _tracked(points: int, sigma: float, name: str, frames: int = 17) -> ScanTask:
    title = f"{points} tracked points, noise {sigma:g}" + (f", {frames} frames" if frames != 17 else "")
    return ScanTask(name, title, "tracked", points, sigma, frames)


TASKS: dict[str, tuple[ScanTask, ...]] = {
    "sparse-points": (_tracked(512, 0.001, "sparse_points"),),
    "depth-scans": (ScanTask("depth_scans", "Scans of a fixed depth camera, noise 0.001", "depth"),),
    "half-body": (ScanTask("half_body", "Tracked points above a plane, noise 0.001", "half_body"),),
    "voxels": (ScanTask("voxels", "Voxel grids of 32^3", "voxels"),),
    "images": (ScanTask("images", "Shaded pictures", "images"),),
    "long-sequence": (_tracked(512, 0.001, "long_sequence", 100),),
    "noise-sweep": tuple(_tracked(512, sigma, f"noise_{sigma:g}") for sigma in (0.001, 0.005, 0.01, 0.05)),
    "density-sweep": tuple(_tracked(count, 0.001, f"points_{count}") for count in (100, 300, 500)),
}


def observe(task: ScanTask, clip: EvaluationClip) -> ScanSequence:
    """What a task shows of a clip, in normalised space; the same in every run."""
    from core.data import scan_simulation as simulate

    vertices, faces, seed = clip.vertices, clip.faces, _seed(clip)
    if task.kind == "tracked":
        return simulate.simulate_tracked(vertices, faces, count=task.points, sigma=task.sigma, seed=seed)
    if task.kind == "half_body":
        return simulate.simulate_half_body(vertices, faces, count=task.points, sigma=task.sigma, seed=seed)
    if task.kind == "depth":
        return simulate.simulate_depth(vertices, faces, sigma=task.sigma, seed=seed)
    if task.kind == "voxels":
        return simulate.simulate_voxels(vertices, faces)
    return simulate.simulate_images(vertices, faces, seed=seed)


def seen_half(clip: EvaluationClip) -> tuple[NDArray[np.float64], float]:
    """The plane p . normal = level of frame 0 above which a half body of this clip is observed."""
    from core.data.scan_simulation import half_body_plane

    return half_body_plane(clip.vertices, clip.faces, _seed(clip))


def _seed(clip: EvaluationClip) -> int:
    return zlib.crc32(clip.name.key.encode())
