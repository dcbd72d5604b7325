"""Turns meshes that move without bones into shapes of the bank: nodes that move rigidly together become a part.

Two nodes belong to one rigid part if their distance hardly changes. Shapes that bend everywhere (cloth, a worm) are
split into `MOST_PARTS` pieces, as rigid as possible.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from core.bank.bank_file import STORED_FPS
from core.bank.behaviours import behaviour_of
from core.bank.credits import Credit
from core.bank.read_rig import (
    CANDIDATES,
    NODES,
    SHORTEST,
    STATIC,
    clip_period,
    coarse_first,
    farthest,
    rotation_quaternions,
    strongest,
)
from core.bank.shape import BankClip, BankShape, dense_weights, part_centres
from core.errors import DataError
from core.geometry.closed_surface import closed_surface
from core.geometry.sampling import face_normals, orientation, sample_surface, vertex_normals
from core.geometry.soft_arap import closest
from core.quaternions import kabsch_rotations
from core.sequence import Normalization

APART = 0.015  # of the size: nodes of one part keep their distance within this
MOST_PARTS = 32
SMALLEST = 4  # nodes of a part, enough to determine its rotation
BLUR = 0.004  # of the size: parts with an error this much above the best still count
SAMPLED = 240  # frames that parts are found from


class MeshMotion(NamedTuple):
    """One clip: positions [T, V, 3] of the vertices, and its frame rate."""

    name: str
    vertices: NDArray[np.float32]
    fps: float


def shape_of_motions(
    name: str,
    rest: NDArray[Any],
    faces: NDArray[np.int32],
    motions: Sequence[MeshMotion],
    credit: Credit,
    category: str = "",
) -> BankShape:
    """A shape from a mesh at rest [V, 3], Y up, and its motions, all of one topology.

    Raises DataError when nothing moves or the mesh has no size.
    """
    if not np.ptp(rest, axis=0).max() > 0:
        raise DataError(f"{name} has no size in its first frame; give another file.")
    box = Normalization.of(np.asarray(rest, np.float32))
    placed = box.apply(rest)
    samples = sample_surface(placed, faces, CANDIDATES, np.random.default_rng(zlib.crc32(name.encode())))
    samples = samples.of(farthest(samples.at(placed), NODES))
    nodes = samples.at(placed)
    normals = (face_normals(placed, faces) * orientation(placed, faces))[samples.face]
    moving = []
    for motion in motions:
        paths = _resampled(np.stack([samples.at(box.apply(frame)) for frame in motion.vertices]), motion.fps)
        if len(paths) >= SHORTEST and np.linalg.norm(paths - paths[:1], axis=-1).max() >= STATIC:
            moving.append((motion.name, paths))
    return _shape_of_paths(name, nodes, normals, moving, credit, category)


def body_of_motion(
    name: str, motion: MeshMotion, faces: NDArray[np.int32], credit: Credit, category: str, count: int
) -> BankShape:
    """Like `shape_of_motions`, with a closed surface of about `count` vertices, at rest in the motion's first frame.

    Raises MeshError when it has no inside, DataError when it hardly moves.
    """
    box = Normalization.of(motion.vertices[0])
    frames = np.stack([box.apply(frame) for frame in motion.vertices])
    vertices, triangles = coarse_first(*closed_surface(frames[0], faces, count))
    attachment = closest(frames[0], faces, vertices)[0]
    paths = _resampled(vertices + np.stack([attachment @ (frame - frames[0]) for frame in frames]), motion.fps)
    normals = vertex_normals(vertices, triangles)
    shape = _shape_of_paths(name, vertices, normals, [(motion.name, paths)], credit, category)
    return replace(shape, faces=triangles)


def _shape_of_paths(
    name: str,
    nodes: NDArray[Any],
    normals: NDArray[Any],
    moving: Sequence[tuple[str, NDArray[Any]]],
    credit: Credit,
    category: str,
) -> BankShape:
    """The shape with nodes [N, 3], from their positions [F, N, 3] in each clip."""
    if not moving:
        raise DataError(f"{name} holds no motion that is long and large enough to keep; give an animated model.")
    every = np.concatenate([nodes[None], *(paths for _, paths in moving)])
    every = every[np.linspace(0, len(every) - 1, min(len(every), SAMPLED)).round().astype(int)]
    parts = rigid_parts(every)
    index, weight = _shares(nodes, parts, every)
    centres = part_centres(nodes, dense_weights(index, weight, parts.max() + 1))
    clips = []
    for clip, paths in moving:
        rotations, places = _part_motion(nodes, parts, paths, centres)
        quaternions = rotation_quaternions(rotations)
        period = clip_period(quaternions, places)
        clips.append(BankClip(clip, behaviour_of(clip), quaternions, places.astype(np.float32), period))
    return BankShape(
        name,
        category,
        credit.author,
        credit.licence,
        nodes.astype(np.float32),
        normals.astype(np.float32),
        tuple(f"part{number}" for number in range(parts.max() + 1)),
        index.astype(np.int16),
        weight.astype(np.float32),
        tuple(clips),
        credit.pack,
    )


def rigid_parts(paths: NDArray[Any]) -> NDArray[np.int64]:
    """The part [N] of every node, numbered from 0, from positions [F, N, 3] in units of the size."""
    count = paths.shape[1]
    first = np.linalg.norm(paths[0][:, None] - paths[0][None], axis=-1)
    change = np.zeros((count, count))
    for frame in paths[1:]:
        np.maximum(change, np.abs(np.linalg.norm(frame[:, None] - frame[None], axis=-1) - first), out=change)
    if count < 2 * SMALLEST:
        return np.zeros(count, np.int64)
    tree = linkage(squareform(change, checks=False), "complete")
    label = fcluster(tree, APART, "distance")
    if label.max() > MOST_PARTS:
        label = fcluster(tree, MOST_PARTS, "maxclust")
    label = np.unique(label, return_inverse=True)[1]
    sizes = np.bincount(label)
    while len(sizes) > 1 and sizes.min() < SMALLEST:  # the smallest joins the part it keeps its distance from best
        mine = label == sizes.argmin()
        apart = [change[mine][:, label == part].mean() for part in range(len(sizes))]
        apart[sizes.argmin()] = np.inf
        label[mine] = int(np.argmin(apart))
        label = np.unique(label, return_inverse=True)[1]
        sizes = np.bincount(label)
    return label


def _part_motion(
    nodes: NDArray[Any], parts: NDArray[Any], paths: NDArray[Any], centres: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Rotations [F, J, 3, 3] that best carry each part's nodes (Kabsch 1976), and where `centres` [J, 3] go."""
    rotations, places = [], []
    for part in range(parts.max() + 1):
        mine = parts == part
        middle, moved = nodes[mine].mean(axis=0), paths[:, mine].mean(axis=1)
        covariance = np.einsum("fna,nb->fab", paths[:, mine] - moved[:, None], nodes[mine] - middle)
        rotations.append(kabsch_rotations(covariance))
        places.append(moved + rotations[-1] @ (centres[part] - middle))
    return np.stack(rotations, axis=1), np.stack(places, axis=1)


def _shares(
    nodes: NDArray[Any], parts: NDArray[Any], paths: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Parts [N, 4] that carry each node well, and their weights [N, 4]."""
    rotations, places = _part_motion(nodes, parts, paths, np.zeros((parts.max() + 1, 3)))
    missed = np.empty((len(nodes), parts.max() + 1))
    for part in range(parts.max() + 1):
        carried = np.einsum("fab,nb->fna", rotations[:, part], nodes) + places[:, part, None]
        missed[:, part] = np.square(carried - paths).sum(axis=-1).mean(axis=0)
    own = missed[np.arange(len(nodes)), parts]
    closeness = 1 / (np.maximum(missed - own[:, None], 0) + BLUR**2)
    return strongest(np.square(closeness), 4)  # squared: half the fit gives a quarter of the weight


def _resampled(paths: NDArray[Any], fps: float) -> NDArray[Any]:
    """Positions [T, N, 3] at the bank's rate."""
    seconds = (len(paths) - 1) / fps
    at = np.arange(int(np.floor(seconds * STORED_FPS + 1e-4)) + 1) * (fps / STORED_FPS)
    low = np.minimum(at.astype(int), len(paths) - 1)
    high, share = np.minimum(low + 1, len(paths) - 1), (at - low)[:, None, None]
    result: NDArray[Any] = paths[low] * (1 - share) + paths[high] * share
    return result
