"""Packs a clip into the arrays of a shard: surface points, normals, occupancy queries, rest mesh."""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from core.data.readers.common import ClipEntry, GivenQueries, TrackedClip
from core.data.rig_format import query_box
from core.data.rig_occupancy import NEAR_QUERIES, UNIFORM_QUERIES, label_queries, sample_surface
from core.data.rig_prepare import CLOSED, SNAP, STATIC
from core.data.shard_format import pack_normals, pack_tracks
from core.errors import DataError
from core.geometry.sampling import SurfaceSamples, face_areas, orientation
from core.io.mesh.source_mesh import build_source_mesh, first_file_vertices
from core.sequence import Normalization

NEIGHBOURS = 16  # points of a local plane, and queries that decide which side is outside
_NO_MESH = (np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32))


def pack_clip(
    clip: TrackedClip, entry: ClipEntry, points: int, references: int
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Header and arrays (see `shard_format`) of one clip with `points` surface points; always the same for a clip.

    Raises DataError for a clip without motion, and MeshError for a mesh without a surface.
    """
    random = np.random.default_rng(zlib.crc32(entry.name.encode()))
    frame = Normalization.of(clip.tracks[0], clip.up_axis)
    tracks = frame.apply(clip.tracks)
    if clip.faces is not None:
        tracks, faces = _welded(clip, tracks, entry.name)
        rest = (tracks[0].astype(np.float32), faces)
        face, barycentric = sample_surface(tracks[0][faces], points, random)  # stratified: 4096 points cover it evenly
        samples = SurfaceSamples(face, barycentric, faces[face].astype(np.int64))
        moved = samples.at(tracks)
    else:
        faces, rest = None, _NO_MESH
        moved = tracks[:, random.permutation(tracks.shape[1])[:points]]
        if moved.shape[1] < points:
            raise DataError(
                f"{entry.name} has {moved.shape[1]} tracked points, but {points} are asked for; ask for fewer."
            )
    moved, period, cyclic, motion = _looped(moved, entry.name)
    queries = _given(clip.queries, frame, len(moved))
    if faces is not None:
        turned = orientation(tracks[0], faces)
        a, b, c = (tracks[: len(moved)][:, samples.corners[:, corner]] for corner in range(3))
        normals = turned * np.cross(b - a, c - a)
        chosen = _reference_frames(len(moved), references, cyclic, random)
        labelled = [_label(tracks[n], faces, n, random) for n in chosen]
    else:
        normals = _normals_of_points(moved, queries)
        labelled = [_stored(given, moved[given.frame], random) for given in queries[:references]]
    packed, boxes = pack_tracks(moved)
    labels = np.stack([inside for _, _, inside in labelled]) if labelled else np.zeros((0, 8), bool)
    places = np.stack([stored for _, stored, _ in labelled]) if labelled else np.zeros((0, 8, 3), np.uint16)
    header = {
        "frames": len(moved),
        "fps": clip.fps,
        "motion": round(motion, 4),
        "cyclic": cyclic,
        "period": period,
        "queries": [UNIFORM_QUERIES, NEAR_QUERIES] if labelled else [0, 0],
        "references": [reference for reference, _, _ in labelled],
        "normalization": {"center": frame.center.tolist(), "scale": frame.scale, "up_axis": frame.up_axis},
    }
    arrays = {
        "tracks": packed,
        "boxes": boxes,
        "normals": pack_normals(normals),
        "queries": places.astype("<u2"),
        "inside": np.packbits(labels, axis=1),
        "vertices": rest[0],
        "faces": rest[1].astype("<i4"),
    }
    return header, arrays


def _welded(clip: TrackedClip, tracks: NDArray[np.float64], name: str) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Tracks of the surface after welding frame 0: closed seams, no degenerate faces."""
    mesh = build_source_mesh(clip.tracks[0], clip.faces, name=name)
    return tracks[:, first_file_vertices(mesh.file_to_vertex)], mesh.faces


def _looped(moved: NDArray[np.float64], name: str) -> tuple[NDArray[np.float64], float, bool, float]:
    """The frames to keep, the period in frames, whether the clip repeats, and the largest distance that a point moves.

    As in the rig bank, a final jump back is cut off. A clip whose last pose equals its first is a closed loop; one that
    ends a step earlier was exported without its last pose. Raises DataError without motion.
    """
    motion = float(np.sqrt(max(np.square(frame - moved[0]).sum(-1).max() for frame in moved)))
    if motion <= STATIC:
        raise DataError(f"{name} moves by {motion:.1e} of its size at most, so there is no motion to learn.")
    gap, step = (float(np.linalg.norm(moved[-1] - moved[other], axis=-1).max()) for other in (0, -2))
    if len(moved) > 8 and step > SNAP * motion:
        return moved[:-1], float(len(moved) - 2), False, motion
    closed = gap < CLOSED * motion
    cyclic = len(moved) > 4 and (closed or gap < min(1.25 * step, SNAP * motion))
    return moved, float(len(moved) - 1 if closed or not cyclic else len(moved)), cyclic, motion


def _reference_frames(frames: int, references: int, cyclic: bool, random: np.random.Generator) -> list[int]:
    """Frame 0 and random later frames from which a window still fits."""
    room = frames if cyclic else max(1, (frames + 1) // 2)
    later = 1 + random.permutation(room - 1)[: max(0, references - 1)] if room > 1 else np.zeros(0, np.int64)
    return sorted([0, *(int(frame) for frame in later)])[: max(references, 0)]


def _label(
    vertices: NDArray[np.float64], faces: NDArray[np.int32], frame: int, random: np.random.Generator
) -> tuple[dict[str, Any], NDArray[np.uint16], NDArray[np.bool_]]:
    """A reference frame's header, queries and labels by winding number."""
    solid = faces[face_areas(vertices, faces) > 0]  # degenerate faces have no normal, which breaks the tree
    low, high = vertices.min(0), vertices.max(0)
    stored, inside = label_queries(vertices, solid, low, high, random)
    return _reference(frame, low, high), stored, inside


def _reference(frame: int, low: NDArray, high: NDArray) -> dict[str, Any]:
    return {"frame": frame, "low": low.round(6).tolist(), "high": high.round(6).tolist()}


def _given(queries: tuple[GivenQueries, ...], frame: Normalization, frames: int) -> list[GivenQueries]:
    """Given queries in normalised space."""
    return [
        replace(
            given,
            uniform=frame.apply(given.uniform).astype(np.float32),
            near=frame.apply(given.near).astype(np.float32),
        )
        for given in queries
        if given.frame < frames
    ]


def _stored(
    given: GivenQueries, points: NDArray[np.float64], random: np.random.Generator
) -> tuple[dict[str, Any], NDArray[np.uint16], NDArray[np.bool_]]:
    """The queries to store: uniform ones in the frame's box, and near-surface ones.

    If the layout has no near-surface queries, the uniform ones closest to the tracked points are taken.
    """
    low, high = points.min(0), points.max(0)
    boxed = np.flatnonzero(((given.uniform >= low) & (given.uniform <= high)).all(1))
    if len(boxed) == 0:
        raise DataError("The given occupancy queries do not surround the tracked points; their loc and scale disagree.")
    uniform = boxed[_pick(len(boxed), UNIFORM_QUERIES, random)]
    near, near_inside = given.near, given.near_inside
    if len(near) == 0:
        distance = np.asarray(cKDTree(points).query(given.uniform)[0])
        closest = np.argsort(distance)[: max(NEAR_QUERIES, len(distance) // 20)]
        near, near_inside = given.uniform[closest], given.uniform_inside[closest]
    start, end = query_box(low.round(6), high.round(6))
    reached = ((near >= start) & (near <= end)).all(1)
    near, near_inside = near[reached], near_inside[reached]
    if len(near) == 0:
        raise DataError(
            "The given near-surface queries are nowhere near the tracked points; they belong to another clip."
        )
    chosen = _pick(len(near), NEAR_QUERIES, random)
    places = np.concatenate([given.uniform[uniform], near[chosen]])
    stored = np.clip(np.rint((places - start) / (end - start) * 65535), 0, 65535).astype("<u2")
    labels = np.concatenate([given.uniform_inside[uniform], near_inside[chosen]])
    return _reference(given.frame, low, high), stored, labels


def _pick(count: int, wanted: int, random: np.random.Generator) -> NDArray[np.int64]:
    """`wanted` of `count`, without repetition while there are enough."""
    return np.resize(random.permutation(count), wanted) if count else np.zeros(0, np.int64)


def _normals_of_points(moved: NDArray[np.float64], queries: list[GivenQueries]) -> NDArray[np.float64]:
    """Outward normals [T, P, 3] of tracked points, from local planes.

    Neighbours are those of frame 0, whose signs come from its labelled queries (without any, away from the points'
    mean). Planes turn continuously, so each later frame takes its signs from the one before.
    """
    neighbours = cKDTree(moved[0]).query(moved[0], k=min(NEIGHBOURS, moved.shape[1]))[1]
    normals = np.empty_like(moved)
    for t, points in enumerate(moved):
        around = points[neighbours] - points[neighbours].mean(1, keepdims=True)
        normals[t] = np.linalg.eigh(np.einsum("pki,pkj->pij", around, around))[1][..., 0]
        side = (normals[t] * normals[t - 1]).sum(-1) if t else _outward(points, normals[0], queries)
        normals[t] *= np.where(side < 0, -1.0, 1.0)[:, None]
    return normals


def _outward(points: NDArray[np.float64], normals: NDArray[np.float64], queries: list[GivenQueries]) -> NDArray:
    """[P] positive where frame 0's `normals` point outward."""
    first = next((given for given in queries if given.frame == 0), None)
    if first is None:
        return ((points - points.mean(0)) * normals).sum(-1)
    places = np.concatenate([first.uniform, first.near])
    sign = np.where(np.concatenate([first.uniform_inside, first.near_inside]), -1.0, 1.0)
    found = cKDTree(places).query(points, k=min(NEIGHBOURS, len(places)))
    distance, nearest = (np.asarray(each).reshape(len(points), -1) for each in found)
    along = np.einsum("pki,pi->pk", places[nearest] - points[:, None], normals)
    return (sign[nearest] * along / np.maximum(distance, 1e-9) ** 2).sum(1)
