"""Draws the best and worst results of handle editing: true motion, ours and ARAP, frames side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.atomic import check_writable, write_atomically
from core.data.cameras import cameras_at
from core.data.scan_simulation import simulate_images
from core.errors import DataError
from core.evaluation.baselines import classical_motions
from core.evaluation.evaluation_clips import ClipName, EvaluationClip, load
from core.evaluation.handles import ALL_TASKS, Animates, HandleSettings, HandleTask, task_tracks
from core.evaluation.handles_report import BASELINES, task_title
from core.evaluation.reporting import OnProgress, page, rows_table, write_text
from core.geometry.image_camera import VIEW_SIDE
from core.pipelines.request import SamplingOptions

SHOWN = 10  # best and worst clips each
TILE, COLUMNS = 150, 5  # pixels of a square, frames
AZIMUTH, ELEVATION, DISTANCE = 0.6, 0.25, 2.6
TINTS = {"true": (0.62, 0.72, 0.88), "ours": (0.95, 0.68, 0.42), "arap": (0.70, 0.80, 0.62)}
HANDLE, PAPER = (200, 20, 60), (250, 250, 252)


@dataclass(frozen=True)
class Shown:
    """One image: a clip, the task in which it does best or worst, and its errors there."""

    clip: str
    task: str
    ours: float  # vertex error of a single seed, the mean over seeds
    baseline: float  # of the better of ARAP and biharmonic
    motion: float

    @property
    def ratio(self) -> float:
        return self.ours / max(self.baseline, 1e-9)


def best_and_worst(report: Mapping[str, Any]) -> tuple[list[Shown], list[Shown]]:
    """The clips with the smallest and largest error of a single seed over the better baseline's, with that task."""
    found: dict[str, list[Shown]] = {}
    for clip in report["clips"]:
        for task, figures in clip["tasks"].items():
            baseline = min(figures[name]["error"] for name in BASELINES)
            shown = Shown(clip["clip"], task, figures["single"]["error"], baseline, clip["motion"])
            found.setdefault(clip["clip"], []).append(shown)
    mean = {clip: float(np.exp(np.mean([np.log(max(s.ratio, 1e-6)) for s in rows]))) for clip, rows in found.items()}
    order = sorted(mean, key=lambda clip: mean[clip])
    count = min(SHOWN, (len(order) + 1) // 2)
    best = [min(found[clip], key=lambda shown: shown.ratio) for clip in order[:count]]
    worst = [max(found[clip], key=lambda shown: shown.ratio) for clip in order[count:][::-1][:count]]
    return best, worst


def write_pictures(
    animator: Animates,
    report: Mapping[str, Any],
    names: Sequence[ClipName],
    folder: Path,
    settings: HandleSettings,
    on_progress: OnProgress | None = None,
) -> Path:
    """Write a PNG per chosen clip to `folder`, and `index.md`, which shows them and is returned.

    Ours is the first seed, not the mean or the best. Raises DataError where the folder cannot be written.
    """
    check_writable(folder, DataError, make=True)
    by_name = {name.key: name for name in names}
    tasks = {task.name: task for task in (*settings.tasks, *ALL_TASKS)}
    best, worst = best_and_worst(report)
    blocks = [
        "Frames from left to right. Top: the true motion; middle: ours (the first seed, with exact handles); bottom: "
        "ARAP (libigl, 30 iterations, handles linear in time where they are free). Red dots are keyed handles. Clips "
        "are ranked by the error of a single seed over that of the better of ARAP and biharmonic (geometric mean over "
        "tasks); each image shows the task in which that ratio is most extreme."
    ]
    done = 0
    for title, rows in (("best", best), ("worst", worst)):
        blocks.append(f"## The {len(rows)} {title}")
        for place, shown in enumerate(rows):
            path = folder / f"{title}-{place + 1:02d}.png"
            clip = load(by_name[shown.clip], settings.frames, settings.vertices)
            assert clip is not None, "it was evaluated a moment ago"
            save_picture(path, clip_picture(animator, clip, tasks[shown.task], settings))
            blocks += [_caption(shown), f"![{shown.clip}]({path.name})"]
            done += 1
            if on_progress is not None:
                on_progress(done, len(best) + len(worst), f"image of {shown.clip}")
    index = folder / "index.md"
    write_text(index, page("Handle editing: the best and the worst", *blocks))
    return index


def _caption(shown: Shown) -> str:
    figures = (f"{value:.4f}" for value in (shown.motion, shown.ours, shown.baseline))
    head = ["Clip", "task", "motion", "error, a single seed", "error, better baseline", "ratio"]
    return rows_table(head, [[shown.clip, task_title(shown.task), *figures, f"{shown.ratio:.2f}"]])


def clip_picture(
    animator: Animates, clip: EvaluationClip, task: HandleTask, settings: HandleSettings
) -> NDArray[np.uint8]:
    """True motion, ours and ARAP as an image [3 * TILE, COLUMNS * TILE, 3], one below the other."""
    tracks = task_tracks(clip, task)
    options = SamplingOptions(1, settings.first_seed, settings.quality, settings.steps)
    ours = animator.animate(clip.mesh, tracks, options).samples[0].sequence.vertices.astype(np.float64)
    targets, keyframe_mask = tracks.constraints(clip.vertices[0])
    handles = np.array([handle.vertex for handle in tracks.handles])
    arap = classical_motions(clip.vertices[0], clip.faces, handles, targets, keyframe_mask)["arap"]
    frames = np.unique(np.linspace(0, len(clip.vertices) - 1, COLUMNS).round().astype(int))
    # One view for all: every motion fits the square.
    whole = np.concatenate([motion[frames].reshape(-1, 3) for motion in (clip.vertices, ours, arap)])
    centre = (whole.min(axis=0) + whole.max(axis=0)) / 2
    scale = 1.15 / max(1.0, float(2 * np.linalg.norm(whole - centre, axis=1).max()))
    rows = []
    for name, motion in (("true", clip.vertices), ("ours", ours), ("arap", arap)):
        seen = (motion[frames] - centre) * scale
        marks = [(targets[keyframe_mask[:, frame], frame] - centre) * scale for frame in frames]
        rows.append(strip(seen, clip.faces, TINTS[name], marks))
    return np.concatenate(rows)


def strip(
    frames: NDArray[np.float64], faces: NDArray, tint: tuple[float, float, float], marks: Sequence[NDArray]
) -> NDArray[np.uint8]:
    """Shaded frames side by side [TILE, T * TILE, 3], with dots at the marked positions [K, 3] of each."""
    scans = simulate_images(frames, faces, AZIMUTH, ELEVATION, DISTANCE, TILE)
    assert scans.images is not None
    grey = scans.images[..., :1].astype(np.float64) / 255
    coloured = 255 * grey * np.array(tint)
    # The background is black, and edges blend into it.
    share = np.clip(grey / 0.25, 0, 1)
    images = (coloured + (1 - share) * np.array(PAPER)).clip(0, 255).astype(np.uint8)
    for image, places in zip(images, marks, strict=True):
        for column, row in _pixels(places):
            image[max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3] = HANDLE
        image[-1:] = image[:, -1:] = 228
    return np.concatenate(list(images), axis=1)


def _pixels(places: NDArray) -> list[tuple[int, int]]:
    """Column and row of world points in the camera of the images."""
    import torch

    angles = [torch.full((1, 1), value, dtype=torch.float64) for value in (AZIMUTH, ELEVATION, DISTANCE)]
    camera = cameras_at(*angles)
    seen = (places - camera.position[0, 0].numpy()) @ camera.rotation[0, 0].numpy().T
    focal = DISTANCE / VIEW_SIDE * TILE
    pixel = focal * seen[:, :2] / np.maximum(seen[:, 2:], 1e-3) + (TILE - 1) / 2
    return [(int(x), int(y)) for x, y in np.round(pixel) if 0 <= x < TILE and 0 <= y < TILE]


def save_picture(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write an RGB image [H, W, 3] as PNG atomically."""
    from PIL import Image

    # 64 colours are plenty for shaded tiles, at a third of the bytes.
    image = Image.fromarray(picture).quantize(64)
    write_atomically(path, lambda temporary: image.save(temporary, format="PNG", optimize=True), DataError)
