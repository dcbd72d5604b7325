"""Metrics of reconstructed mesh sequences: IoU, Chamfer distance and correspondence (paper 4, "Evaluation Metrics").

All are in normalised space (longest side of the true frame 0 = 1), taken per frame and averaged over frames. Published
tables print CD and Corr in tenths of that unit: multiply by PUBLISHED. Prediction and truth need not share vertices or
faces.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import igl
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from core.evaluation.evaluation_clips import EvaluationClip
from core.evaluation.metrics import intersection_over_union
from core.geometry.occupancy import is_inside, uniform_box_points
from core.geometry.sampling import sample_surface
from core.sequence import BOX_SIDE, MeshSequence

SAMPLES = 100_000  # points per measure; figures with different numbers are not comparable
PUBLISHED = 10.0  # the paper's tables print distances times this
_SPREAD_POINTS = 4_000  # surface points per seed and frame that are compared with the other seeds


@dataclass(frozen=True)
class SequenceScores:
    """Per-frame IoU [T] and Chamfer distance [T], and the correspondence error over all frames."""

    iou: NDArray[np.float64]
    chamfer: NDArray[np.float64]
    correspondence: float

    def mean(self) -> dict[str, float]:
        """The three figures of one sequence: {iou, cd, corr}, raw units."""
        return {"iou": float(self.iou.mean()), "cd": float(self.chamfer.mean()), "corr": self.correspondence}


class Truth:
    """A true motion with its occupancy and surface points, cached for comparison with many predictions.

    `samples` is the number of points of every measure. A clip gets the same points in every run.
    """

    def __init__(self, clip: EvaluationClip, samples: int = SAMPLES) -> None:
        self.clip = clip
        self.samples = samples
        self._seed = zlib.crc32(clip.name.key.encode())
        self._occupied: dict[int, NDArray[np.bool_]] = {}

    @property
    def frames(self) -> int:
        return len(self.clip.vertices)

    @cached_property
    def box_points(self) -> NDArray[np.float64]:
        """[Q, 3] uniform points of the box of side 1.1, the same in every frame."""
        return uniform_box_points(self.samples, np.random.default_rng(self._seed))

    @cached_property
    def tracked(self) -> NDArray[np.float32]:
        """[T, N, 3] true surface points, uniform by area in frame 0 and followed through the motion."""
        rng = np.random.default_rng([self._seed, 1])
        return sample_surface(self.clip.vertices[0], self.clip.faces, self.samples, rng).at(
            self.clip.vertices.astype(np.float32)
        )

    def occupied(self, frame: int) -> NDArray[np.bool_]:
        """[Q] which box points are inside the true mesh of a frame."""
        if frame not in self._occupied:
            self._occupied[frame] = is_inside(self.clip.vertices[frame], self.clip.faces, self.box_points)
        return self._occupied[frame]

    def surface(self, frame: int) -> NDArray[np.float64]:
        """[N, 3] points drawn by area on the true mesh of a frame."""
        return surface_points(self.clip.vertices[frame], self.clip.faces, self.samples, [self._seed, 2, frame])

    def share_in_box(self) -> float:
        """Share of the true surface, over all frames, inside the box in which IoU is taken."""
        return float((np.abs(self.tracked) <= BOX_SIDE / 2).all(axis=-1).mean())

    def chamfer_floor(self) -> float:
        """Chamfer distance between two samples of frame 0's true surface: a perfect reconstruction has no less."""
        return chamfer_distance(self.surface(0), self.tracked[0])

    def score(self, sequence: MeshSequence) -> SequenceScores:
        """Score a predicted sequence in normalised space. Raises ValueError for another number of frames."""
        if sequence.frames != self.frames:
            raise ValueError(f"The prediction has {sequence.frames} frames, but the truth has {self.frames}.")
        iou, distance = np.empty(self.frames), np.empty(self.frames)
        for frame, vertices in enumerate(sequence.vertices):
            inside = is_inside(vertices, sequence.faces, self.box_points)
            iou[frame] = intersection_over_union(inside, self.occupied(frame))
            drawn = surface_points(vertices, sequence.faces, self.samples, [self._seed, 3, frame])
            distance[frame] = chamfer_distance(drawn, self.surface(frame))
        return SequenceScores(iou, distance, correspondence_error(sequence.vertices, self.tracked))


def surface_points(vertices: ArrayLike, faces: ArrayLike, count: int, seed: int | Sequence[int]) -> NDArray[np.float64]:
    """[count, 3] points uniform by area on one mesh; a seed always gives the same points."""
    points = np.asarray(vertices, dtype=np.float64)
    return sample_surface(points, faces, count, np.random.default_rng(seed)).at(points)


def chamfer_distance(predicted: ArrayLike, true: ArrayLike) -> float:
    """Half the sum of both mean nearest-neighbour distances (not squared) between point sets [N, 3] and [M, 3]."""
    first, second = (cKDTree(np.asarray(points, dtype=np.float64), balanced_tree=False) for points in (predicted, true))
    return 0.5 * (_mean_nearest(first, second) + _mean_nearest(second, first))


def _mean_nearest(queries: cKDTree, tree: cKDTree) -> float:
    """Mean nearest-neighbour distance; sorting queries by their own tree's leaves halves the time."""
    distance, _ = tree.query(np.asarray(queries.data)[queries.indices], workers=-1)
    return float(np.mean(distance))


def correspondence_error(predicted: ArrayLike, true_tracks: ArrayLike) -> float:
    """Mean distance of predicted vertices [T, V, 3] from the track of each one's nearest true point in frame 0.

    `true_tracks` [T, N, 3] are tracked surface points. Frame 0 counts too, so a reconstruction that fits frame 0
    and does not move is scored by how far the truth moves.
    """
    vertices, tracks = np.asarray(predicted), np.asarray(true_tracks)
    if len(vertices) != len(tracks):
        raise ValueError(f"The prediction has {len(vertices)} frames, but the truth has {len(tracks)}.")
    _, nearest = cKDTree(tracks[0]).query(vertices[0], workers=-1)
    return float(
        np.mean([np.linalg.norm(vertices[t] - tracks[t, nearest], axis=-1).mean() for t in range(len(tracks))])
    )


@dataclass(frozen=True)
class HalfSpread:
    """Mean distance between the seeds' surfaces, on the observed half and on the half that was cut away."""

    seen: float
    unseen: float

    @property
    def ratio(self) -> float:
        """Unseen over seen; above 1, seeds differ more where the scan shows nothing."""
        return self.unseen / self.seen if self.seen > 0 else float("nan")


def half_spread(
    sequences: Sequence[MeshSequence], normal: ArrayLike, level: float, points: int = _SPREAD_POINTS
) -> HalfSpread:
    """How far seeds of one scan differ on each side of the plane p . normal = level, averaged over frames.

    `points` points are tracked on every seed's surface. A point belongs to the half where it lies in frame 0 (seen:
    p . normal > level); its distance to the other seeds' surfaces is taken in every frame. A half without points is
    NaN, and so are both with fewer than two seeds.
    """
    gaps: dict[bool, list[float]] = {True: [], False: []}
    drawn = []
    for number, sequence in enumerate(sequences):
        found = sample_surface(sequence.vertices[0], sequence.faces, points, np.random.default_rng(number))
        tracks = found.at(sequence.vertices.astype(np.float64))
        drawn.append((tracks, tracks[0] @ np.asarray(normal, dtype=np.float64) > level))
    for number, sequence in enumerate(sequences):
        others = [pair for other, pair in enumerate(drawn) if other != number]
        if not others:
            continue
        sides = np.concatenate([seen for _, seen in others])
        faces = np.ascontiguousarray(sequence.faces, dtype=np.int64)
        for frame in range(sequence.frames):
            queries = np.concatenate([tracks[frame] for tracks, _ in others])
            surface = np.ascontiguousarray(sequence.vertices[frame], dtype=np.float64)
            distance = np.sqrt(igl.point_mesh_squared_distance(queries, surface, faces)[0])
            for seen in gaps:
                if (sides == seen).any():
                    gaps[seen].append(float(distance[sides == seen].mean()))
    return HalfSpread(*(float(np.mean(gaps[seen])) if gaps[seen] else float("nan") for seen in (True, False)))


def drift(chamfer: ArrayLike, length: int = 17) -> float:
    """Chamfer distance over the last `length` frames relative to the first `length`; 1 means none."""
    values = np.asarray(chamfer, dtype=np.float64)
    first = float(values[:length].mean())
    return float(values[-length:].mean()) / first if first > 0 else float("nan")


def frame_steps(vertices: ArrayLike) -> NDArray[np.float64]:
    """[T - 1] mean distance that vertices [T, V, 3] move from each frame to the next."""
    return np.linalg.norm(np.diff(np.asarray(vertices, dtype=np.float64), axis=0), axis=-1).mean(axis=-1)


def seam_jumps(vertices: ArrayLike, seams: Sequence[int]) -> NDArray[np.float64]:
    """[S] step of tracks [T, V, 3] into each seam frame over the median step between frames; NaN without motion.

    A seam is the first frame that only a later window covers: a stitching fault shows between it and the frame before.
    """
    steps = frame_steps(vertices)
    median = float(np.median(steps))
    return steps[np.asarray(seams, dtype=np.int64) - 1] / (median if median > 0 else np.nan)


def half_overlapping_seams(frames: int, length: int) -> tuple[int, ...]:
    """Seams of windows of `length` moving frames, half overlapping, over a sequence of `frames`: (1 + length, ...)."""
    return tuple(range(1 + length, frames, max(1, length // 2)))
