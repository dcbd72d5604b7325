"""Evaluates the autoencoders alone on held-out clips: the error that remains without any diffusion.

Motion: true tracked surface points are encoded and decoded at the mesh's own vertices. Shape: surface points are
encoded, and the decoded occupancy is compared with the mesh's winding number at 100,000 points in the box of side 1.1.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.errors import DataError
from core.evaluation import metrics
from core.evaluation.evaluation_clips import ClipName, EvaluationClip, load_all
from core.evaluation.reporting import (
    OnProgress,
    Report,
    group_title,
    machine,
    origin,
    page,
    spread,
    table,
    write_report,
)
from core.geometry.farthest_points import farthest_point_indices
from core.geometry.occupancy import is_inside, uniform_box_points
from core.geometry.sampling import SurfaceSamples, face_normals, orientation, sample_surface
from core.geometry.surface_distance import SurfaceGraph
from core.models.layers import gather_rows
from core.pipelines.animate import Animator

OCCUPANCY_POINTS = 100_000
ABOUT = (
    "True motions and shapes are encoded and decoded, without diffusion. Vertex error: mean distance of the decoded "
    "from the true vertices over the moving frames, in units of the shape's longest side. Jitter: third difference in "
    "time, over the true motion's. Shape IoU: decoded occupancy against the mesh's winding number, at uniform points "
    "of the box of side 1.1. Motion: mean distance of the true vertices from frame 0."
)
_QUERIES = 8192  # points per decoder call


def evaluate_autoencoders(
    animator: Animator,
    names: Sequence[ClipName],
    out: Path,
    frames: int = 17,
    vertices: int = 1500,
    occupancy_points: int = OCCUPANCY_POINTS,
    model: Mapping[str, Any] | None = None,
    on_progress: OnProgress | None = None,
    raw: Path | None = None,
) -> dict[str, Any]:
    """Evaluate both on every clip, write the report `out` (JSON, .md beside it) and the clips' rows to `raw`.

    Raises DataError where no clip moves enough.
    """
    rows = []
    for number, clip in enumerate(load_all(names, frames, vertices)):
        shape_iou = shape_reconstruction_iou(animator, clip, occupancy_points)
        decoded = reconstruct_motion(animator, clip)
        rows.append(
            {
                "clip": clip.name.key,
                "source": clip.name.source,
                "split": clip.name.split,
                "category": clip.name.category,
                "vertices": clip.vertices.shape[1],
                "motion": metrics.motion_size(clip.vertices),
                "vertex_error": metrics.vertex_error(decoded, clip.vertices),
                "jitter_over_truth": metrics.jitter(decoded) / max(metrics.jitter(clip.vertices), 1e-9),
                "shape_iou": shape_iou,
            }
        )
        if on_progress is not None:
            on_progress(number + 1, len(names), clip.name.key)
    if not rows:
        raise DataError("None of these clips moves enough to be evaluated; choose others.")
    report = {
        "protocol": "autoencoders",
        "settings": {"frames": frames, "vertices": vertices, "occupancy_points": occupancy_points},
        "model": dict(model or {}),
        "machine": machine(),
        "summary": _summarise(rows),
        "clips": rows,
    }
    write_report(out, report, page("The autoencoders alone", ABOUT, origin(report), *autoencoder_tables(report)), raw)
    return report


@torch.no_grad()
def reconstruct_motion(animator: Animator, clip: EvaluationClip) -> NDArray[np.float64]:
    """Encode true tracked surface points of a clip and decode them at its vertices: tracks [T, V, 3]."""
    network, config = animator.motion_autoencoder, animator.config
    samples = _surface_samples(clip, max(config.motion.points, config.shape.points))
    points = torch.from_numpy(samples.at(clip.vertices).astype(np.float32)).to(animator.device)
    rest, moved = points[None, 0], points[None, 1:]
    index = farthest_point_indices(rest, config.motion.latents)
    latents, _ = network.encode(rest, moved, index)
    context = network.context(latents, gather_rows(rest, index))
    queries = torch.from_numpy(clip.vertices[0].astype(np.float32)).to(animator.device)[None]
    graph, count = SurfaceGraph(clip.vertices[0], clip.faces, samples), clip.vertices.shape[1]
    geodesic = graph.distances(index[0].cpu().numpy() + count)[:, :count]
    distances = torch.from_numpy(geodesic.T.copy()).to(animator.device)[None]
    blocks = zip(queries.split(_QUERIES, dim=1), distances.split(_QUERIES, dim=1), strict=True)
    decoded = [network.query(context, points, distance)[0].cpu().numpy() for points, distance in blocks]
    return np.concatenate([clip.vertices[:1], np.concatenate(decoded, axis=1)])


@torch.no_grad()
def shape_reconstruction_iou(animator: Animator, clip: EvaluationClip, count: int = OCCUPANCY_POINTS) -> float:
    """IoU of the decoded occupancy with the mesh's winding number at `count` uniform points of the box."""
    network, config = animator.shape_autoencoder, animator.config
    samples = _surface_samples(clip, config.shape.points)
    rest = samples.at(clip.vertices[0])
    points = torch.from_numpy(rest.astype(np.float32)).to(animator.device)[None]
    anchors = gather_rows(points, farthest_point_indices(points, config.shape.latents))
    outward = face_normals(clip.vertices[0], clip.faces)[samples.face] * orientation(clip.vertices[0], clip.faces)
    normals = torch.from_numpy(outward.astype(np.float32)).to(animator.device)[None]
    context = network.context(network.encode(points, anchors, normals)[0])
    box_points = uniform_box_points(count, np.random.default_rng(0))
    queries = torch.from_numpy(box_points.astype(np.float32)).to(animator.device)[None]
    decoded = [(network.query(context, piece)[0] > 0).cpu().numpy() for piece in queries.split(_QUERIES, dim=1)]
    return metrics.intersection_over_union(np.concatenate(decoded), is_inside(clip.vertices[0], clip.faces, box_points))


def _surface_samples(clip: EvaluationClip, count: int) -> SurfaceSamples:
    """Surface points that can be tracked, uniform by area in frame 0; the same in every run."""
    rng = np.random.default_rng(zlib.crc32(clip.name.key.encode()))
    return sample_surface(clip.vertices[0], clip.faces, count, rng)


def _summarise(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(f"{row['source']}/{row['split']}", []).append(row)
        groups.setdefault(f"{row['source']}/{row['split']}/{row['category']}", []).append(row)
    summary: dict[str, Any] = {}
    for group, members in sorted(groups.items()):
        summary[group] = {"clips": len(members)}
        for key in ("motion", "vertex_error", "jitter_over_truth", "shape_iou"):
            values = np.array([row[key] for row in members], dtype=np.float64)
            summary[group][key] = {"mean": float(values.mean()), "std": float(values.std())}
    return summary


def autoencoder_tables(report: Report) -> list[str]:
    columns = {
        "Clips": lambda row: group_title(row[0]),
        "number": lambda row: str(row[1]["clips"]),
        "motion": lambda row: f"{row[1]['motion']['mean']:.4f}",
        "vertex error ↓ (aim: at most 0.006)": lambda row: spread(row[1]["vertex_error"], 4),
        "jitter over truth (1 is right)": lambda row: f"{row[1]['jitter_over_truth']['mean']:.2f}",
        "shape IoU ↑": lambda row: spread(row[1]["shape_iou"], 3),
    }
    return [table(report["summary"].items(), columns)]
