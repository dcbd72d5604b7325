"""A rigged or morphed glTF file as a shape of the bank."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from core.bank.bank_file import STORED_FPS
from core.bank.behaviours import behaviour_of
from core.bank.credits import Credit, credit_of
from core.bank.joints import attached_joints
from core.bank.shape import BankClip, BankShape, Floats, dense_weights, part_centres
from core.bank.unnamed_joints import joint_name
from core.errors import DataError
from core.geometry.closed_surface import closed_surface
from core.geometry.sampling import face_normals, orientation, sample_surface, vertex_normals
from core.geometry.soft_arap import closest
from core.io.gltf.scene import GltfScene, source_mesh
from core.quaternions import continuous, kabsch_rotations
from core.sequence import Normalization

NODES = 128
CANDIDATES = 2048  # surface points from which the nodes are chosen by farthest-point sampling
FPS = STORED_FPS
STATIC = 2e-3  # a clip in which nothing moves this far (of the size) is a pose, not a motion
SHORTEST = 4  # frames of a clip worth keeping


def read_rig(path: str | Path, credit: Credit | None = None, category: str = "", count: int = NODES) -> BankShape:
    """The shape of a .glb or .gltf file with all its clips, without descriptors, with `count` nodes.

    By default `credit` is looked up by the file's name, and `category` is its folder's name. Raises MeshError for a
    damaged file, DataError for one in which nothing moves.
    """
    path = Path(path)
    scene = GltfScene(path)
    mesh = source_mesh(scene)
    box = Normalization.of(mesh.vertices)
    random = np.random.default_rng(zlib.crc32(path.stem.encode()))
    rest = box.apply(mesh.vertices)
    samples = sample_surface(rest, mesh.faces, CANDIDATES, random)
    samples = samples.of(farthest(samples.at(rest), count))
    normals = (face_normals(rest, mesh.faces) * orientation(rest, mesh.faces))[samples.face]
    corner_weights = _vertex_weights(scene, len(mesh.vertices), mesh.file_to_vertex)
    weights = np.einsum("nc,ncj->nj", samples.barycentric, corner_weights[samples.corners])
    credit = credit or credit_of(path.stem)
    return _moving_shape(scene, box, samples.at(rest), normals, weights, credit, category or path.parent.name)


def read_rig_body(path: str | Path, credit: Credit | None = None, category: str = "", count: int = 800) -> BankShape:
    """Like `read_rig`, but its nodes are the vertices of a closed surface of about `count` vertices, with faces.

    Raises MeshError for a damaged file or one without an inside, DataError for one in which nothing moves.
    """
    path = Path(path)
    scene = GltfScene(path)
    mesh = source_mesh(scene)
    box = Normalization.of(mesh.vertices)
    rest = box.apply(mesh.vertices)
    vertices, faces = coarse_first(*closed_surface(rest, mesh.faces, count))
    attachment = closest(rest, mesh.faces, vertices)[0]
    weights = attachment @ _vertex_weights(scene, len(mesh.vertices), mesh.file_to_vertex)
    credit = credit or credit_of(path.stem)
    normals = vertex_normals(vertices, faces)
    shape = _moving_shape(scene, box, vertices, normals, weights, credit, category or path.parent.name)
    return replace(shape, faces=faces)


def _moving_shape(
    scene: GltfScene,
    box: Normalization,
    nodes: NDArray[Any],
    normals: NDArray[Any],
    weights: NDArray[Any],
    credit: Credit,
    category: str,
) -> BankShape:
    """The shape whose nodes [N, 3], in the box's space, follow the scene's bones with weights [N, J]."""
    path = scene.path
    used = np.flatnonzero(weights.max(axis=0) > 0.02)
    index, weight = strongest(weights[:, used], 4)
    centres = part_centres(nodes, dense_weights(index, weight, len(used)))
    names = _part_names(scene, used)
    rest_bones = scene.bones()[0][used]
    clips = []
    for number, clip in enumerate(scene.clips):
        count = int(np.floor((clip.end - clip.start) * FPS + 1e-4)) + 1
        if count < SHORTEST:
            continue
        times = np.minimum(clip.start + np.arange(count) / FPS, clip.end)
        moved = scene.bones(number, times)[:, used] @ np.linalg.inv(rest_bones)
        linear = moved[..., :3, :3]
        world_centres = box.invert(centres)
        places = box.apply(np.einsum("fjab,jb->fja", linear, world_centres) + moved[..., :3, 3])
        if np.linalg.norm(places - places[:1], axis=-1).max() < STATIC:
            continue
        quaternions = rotation_quaternions(linear)
        period = clip_period(quaternions, places)
        clips.append(BankClip(clip.name, behaviour_of(clip.name), quaternions, places.astype(np.float32), period))
    if not clips:
        raise DataError(f"{path.name} holds no animation in which something moves; give an animated model.")
    shape = BankShape(
        path.stem,
        category,
        credit.author,
        credit.licence,
        nodes.astype(np.float32),
        normals.astype(np.float32),
        names,
        index.astype(np.int16),
        weight.astype(np.float32),
        tuple(clips),
        credit.pack,
        source=file_hash(path),
    )
    parents, joints = attached_joints(shape, *_skeleton(scene, used, box))
    return replace(shape, parents=parents, joints=joints)


def file_hash(path: Path) -> str:
    """A hash of a file's content, as 32 hex digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:32]


def farthest(points: NDArray[Any], count: int) -> NDArray[np.int64]:
    """Indices of farthest points, the first being the one farthest from the mean."""
    distance = np.full(len(points), np.inf)
    current = int(np.square(points - points.mean(axis=0)).sum(axis=1).argmax())
    chosen = []
    for _ in range(min(count, len(points))):
        chosen.append(current)
        distance = np.minimum(distance, np.square(points - points[current]).sum(axis=1))
        current = int(distance.argmax())
    return np.array(chosen)


def coarse_first(vertices: NDArray[Any], faces: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """The mesh with its vertices in farthest-point order, so that the first few are spread over all of it."""
    order = farthest(vertices, len(vertices))
    renamed = np.empty(len(order), np.int64)
    renamed[order] = np.arange(len(order))
    return vertices[order].astype(np.float32), renamed[faces].astype(np.int32)


def _vertex_weights(scene: GltfScene, count: int, file_to_vertex: NDArray[np.int32]) -> NDArray[np.float64]:
    """Weights [V, J] of all bones at the welded vertices."""
    dense = np.zeros((count, len(scene.bone_node)))
    first = np.full(count, -1)
    first[file_to_vertex[::-1]] = np.arange(len(file_to_vertex))[::-1]
    for k in range(scene.bone_index.shape[1]):
        np.add.at(dense, (np.arange(count), scene.bone_index[first, k]), scene.bone_weight[first, k])
    result: NDArray[np.float64] = dense / dense.sum(axis=1, keepdims=True).clip(1e-9)
    return result


def strongest(weights: NDArray[Any], most: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The `most` largest of each row, at most four, and their shares: index and weight [N, 4], padded with zeros."""
    most = min(most, weights.shape[1])
    index = np.argsort(-weights, axis=1)[:, :most]
    weight = np.take_along_axis(weights, index, axis=1)
    index, weight = (np.pad(x, ((0, 0), (0, 4 - most))) for x in (index, weight))
    return index, weight / weight.sum(axis=1, keepdims=True).clip(1e-9)


def _skeleton(scene: GltfScene, used: NDArray[np.int64], box: Normalization) -> tuple[NDArray[np.int64], Floats]:
    """For each bone in use [J], its nearest ancestor in use (-1: none), and its joint [J, 3].

    Joints [J, 3] are in the box's space. A bone that only holds a rigid piece, as a robot's do, counts as that piece.
    """
    nodes = [int(node) for node in scene.bone_node[used]]
    turning = {track.node for clip in scene.clips for track in clip.tracks}
    number, places = {node: row for row, node in enumerate(nodes)}, list(nodes)
    for row, node in enumerate(nodes):
        holder = scene.parent_of(node)
        if node not in turning and holder in turning and holder not in number:
            number[holder], places[row] = row, holder
    joints: Floats = box.apply(scene.world_matrices()[0, places, :3, 3])
    parents = []
    for row, node in enumerate(nodes):
        above = scene.parent_of(node)
        while above >= 0 and number.get(above, row) == row:
            above = scene.parent_of(above)
        parents.append(number[above] if above >= 0 else -1)
    return np.array(parents), joints


def _part_names(scene: GltfScene, used: NDArray[np.int64]) -> tuple[str, ...]:
    nodes = scene.file.items("nodes")
    names = (str(nodes[scene.bone_node[j]].get("name") or f"part{j}") for j in used)
    return tuple(joint_name(scene.path.stem, name) for name in names)


def rotation_quaternions(linear: NDArray[np.float64]) -> NDArray[np.float32]:
    """Rotations nearest to linear maps [F, J, 3, 3], as quaternions without jumps of sign over time."""
    turned = Rotation.from_matrix(kabsch_rotations(linear).reshape(-1, 3, 3)).as_quat(scalar_first=True)
    turned = turned.reshape(*linear.shape[:2], 4)
    return continuous(turned).astype(np.float32)


def clip_period(quaternions: NDArray[Any], places: NDArray[Any]) -> float:
    """The period of a clip in frames, whose last pose is its first one or one frame before it; 0 if it has none."""
    frames = len(places)
    motion = np.linalg.norm(places - places[:1], axis=-1).max()
    spin = (1 - np.abs((quaternions * quaternions[:1]).sum(axis=-1))).max()

    def gap(a: int, b: int) -> float:
        apart = np.linalg.norm(places[a] - places[b], axis=-1).max() / max(motion, 1e-6)
        turned = (1 - np.abs((quaternions[a] * quaternions[b]).sum(axis=-1))).max() / max(spin, 1e-6)
        return float(max(apart, turned))

    if frames < SHORTEST:
        return 0.0
    if gap(-1, 0) < 0.04:
        return frames - 1.0
    step = max(gap(-1, -2), gap(1, 0))
    return float(frames) if gap(-1, 0) < min(1.3 * step, 0.4) else 0.0
