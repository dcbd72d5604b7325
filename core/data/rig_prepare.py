"""Packs rigged glTF files into one compact safetensors file, the rig bank, for training on a bare machine.

A surface point is a fixed barycentric mix of three skinned vertices, so its position is exactly linear in the bone
matrices: `p(t) = sum_j M_j(t) q_j`, where `q_j` [4] is its weighted position in bone j and the weight. The bank stores
these sparse `q_j`, so that points stay on the true mesh. A morph target on bone j counts as one more bone, with the
matrix `weight(t) M_j(t)` and `q = (displacement, 0)`. Bones are relative to the default pose and lengths to the size of
its box, so every number is of order 1 and 16 bits are enough (an error of about 1e-5).
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.assets import cache_folder
from core.data.rig_files import CATEGORIES, UNSEEN_AUTHORS, UNSEEN_IDENTITIES, clip_split, rig_files
from core.data.rig_format import VERSION, pack, write_bank
from core.data.rig_occupancy import NEAR_QUERIES, UNIFORM_QUERIES, label_queries, sample_surface
from core.errors import DataError
from core.io.gltf.clip_reader import FPS, clip_times
from core.io.gltf.scene import GltfScene, source_mesh
from core.io.mesh.source_mesh import first_file_vertices

POOL = 4096  # surface points per rig
MAX_BONES_PER_POINT = 8
STATIC = 2e-3  # of the size; clips whose points move less count as shapes without motion
CLOSED = 0.03  # of the motion; a clip whose last pose is this near its first is a closed loop
SNAP = 0.4  # a last step of more than this fraction of the motion is a jump, not motion
OnRig = Callable[[int, int, str], None]  # rigs done, rigs in all, file name


@dataclass
class PreparedRig:
    """One file of the bank; the module's docstring explains the arrays."""

    meta: dict[str, Any]
    counts: NDArray[np.uint8]  # [P] bones per point
    bone: NDArray[np.int16]  # [nnz]
    hang: NDArray[np.float64]  # [nnz, 4] q of each point and bone
    normals: NDArray[np.float64]  # [P, 3] in the default pose
    clips: list[dict[str, Any]] = field(default_factory=list)
    transforms: list[NDArray[np.float64]] = field(default_factory=list)  # per clip [T, J, 3, 4]
    references: list[dict[str, Any]] = field(default_factory=list)
    queries: list[tuple[NDArray[np.uint16], NDArray[np.bool_]]] = field(default_factory=list)


def prepare_rigs(
    directory: str | Path, out_file: str | Path, on_rig: OnRig | None = None, references: int = 8, pool: int = POOL
) -> Path:
    """Read every rig under `directory` and write `out_file` (safetensors), whole or not at all.

    `references` is the number of poses with occupancy queries per rig and split. A rig's category is the name of its
    folder (animals, humans, bodies), else `objects`. Raises DataError or MeshError.
    """
    files = rig_files(directory)
    out = Path(out_file)
    if not out.parent.is_dir():
        raise DataError(f"{out.parent} is not a folder; create it or write the rig bank elsewhere.")
    rigs = []
    for done, path in enumerate(files):
        rigs.append(read_rig(path, references, pool))
        if on_rig is not None:
            on_rig(done + 1, len(files), path.name)
    _write(rigs, out, pool)
    return out


def prepared_bank(rigs: Path) -> Path:
    """The path of a bank for `rigs`: the bank file itself, or for a folder one in the user's cache, made if missing."""
    if not rigs.is_dir():
        return rigs
    state = [(str(p.resolve()), p.stat().st_size, p.stat().st_mtime_ns) for p in rig_files(rigs)]
    rules = (VERSION, sorted(UNSEEN_IDENTITIES), UNSEEN_AUTHORS)  # the bank holds each clip's split
    key = hashlib.sha256(repr((rules, state)).encode()).hexdigest()[:16]
    cache = cache_folder()
    bank = cache / f"rigs-{key}.safetensors"
    if not bank.is_file():
        try:
            cache.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{cache} cannot be made ({error.strerror}); prepare the rigs into a file.") from None
        prepare_rigs(rigs, bank)
    return bank


def read_rig(path: Path, references: int, pool: int) -> PreparedRig:
    """Everything that the bank stores of one file; always the same for the same file."""
    random = np.random.default_rng(zlib.crc32(path.stem.encode()))
    scene = GltfScene(path)
    surface = _RigSurface.of(scene)
    faces = np.concatenate([part.faces for part in scene.parts])
    points = sample_surface(surface.posed[faces], pool, random)
    base = scene.bones()[0]
    rest_of_bone = _invertible(base)
    bones_used, counts, bone, hang = _hang_points(scene, faces, points, rest_of_bone, surface)
    triangles = surface.posed[faces[points[0]]]
    normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    normals *= surface.orientation / np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-30)
    category = path.parent.name if path.parent.name in CATEGORIES else "objects"
    meta = {"file": path.stem, "category": category, "bones": len(bones_used), "clips": len(scene.clips)}
    rig = PreparedRig(meta, counts, bone, hang, normals)
    row = np.repeat(np.arange(pool), counts)
    for number, clip in enumerate(scene.clips):
        times = clip_times(clip)
        transforms = _transforms(scene, number, times, bones_used, rest_of_bone, surface)
        moved = _positions(transforms[:: max(1, len(times) // 16)], row, bone, hang, pool)
        motion = float(np.linalg.norm(moved - moved[:1], axis=-1).max())
        whole = np.array([clip.start, clip.end, clip.end - 1 / FPS])  # frames may stop short of the end
        ends = _positions(_transforms(scene, number, whole, bones_used, rest_of_bone, surface), row, bone, hang, pool)
        gap, step = (float(np.linalg.norm(ends[1] - ends[i], axis=-1).max()) for i in (0, 2))
        closed = gap < CLOSED * motion
        snaps = len(times) > 8 and step > SNAP * motion  # an exporter's last key jumps back to the start: cut it off
        times, transforms = (times[:-1], transforms[:-1]) if snaps else (times, transforms)
        cyclic = len(times) > 4 and motion > STATIC and not snaps and (closed or gap < min(1.25 * step, SNAP * motion))
        split = clip_split(path.stem, number, len(scene.clips))
        rig.clips.append(
            {
                "name": clip.name,
                "index": number,
                "frames": len(times),
                "split": split if motion > STATIC else "static",
                "cyclic": cyclic,
                # An open loop lacks its last pose, which equals the first.
                "period": clip.duration * FPS + (0.0 if closed else 1.0),
                "motion": round(motion, 4),
            }
        )
        rig.transforms.append(transforms)
    if all(clip["split"] == "static" for clip in rig.clips):  # shapes without motion still teach the autoencoder
        split = clip_split(path.stem, 0, 0)
        rig.clips.append(
            {"name": "rest", "index": -1, "frames": 1, "split": f"rest:{split}", "cyclic": False}
            | {"period": 0.0, "motion": 0.0}
        )
        rig.transforms.append(_transforms(scene, None, np.zeros(1), bones_used, rest_of_bone, surface))
    _add_references(rig, scene, surface, references, random)
    return rig


@dataclass
class _RigSurface:
    """The default pose `posed` [W, 3], its welded topology, and the map to unit size."""

    posed: NDArray[np.float64]
    first: NDArray[np.int64]
    faces: NDArray[np.int32]
    center: NDArray[np.float64]
    size: float
    orientation: float

    @classmethod
    def of(cls, scene: GltfScene) -> _RigSurface:
        mesh = source_mesh(scene)
        posed = scene.positions()[0]
        first = first_file_vertices(mesh.file_to_vertex)
        low, high = posed.min(0), posed.max(0)
        a, b, c = np.moveaxis(mesh.vertices[mesh.faces] + np.array(mesh.origin) - (low + high) / 2, 1, 0)
        volume = float((a * np.cross(b, c)).sum())
        return cls(posed, first, mesh.faces, (low + high) / 2, mesh.size, 1.0 if volume >= 0 else -1.0)

    def normalise(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        return (points - self.center) / self.size


def _invertible(base: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bones of the default pose [J, 4, 4], with the identity in place of bones collapsed to a point."""
    solid = np.abs(np.linalg.det(base[:, :3, :3])) > 1e-12 * np.abs(base[:, :3, :3]).max((1, 2)) ** 3
    return np.where(solid[:, None, None], base, np.eye(4))


def _hang_points(
    scene: GltfScene,
    faces: NDArray[np.int32],
    points: tuple[NDArray[np.int64], NDArray[np.float64]],
    rest_of_bone: NDArray[np.float64],
    surface: _RigSurface,
) -> tuple[list[tuple[int, int]], NDArray[np.uint8], NDArray[np.int16], NDArray[np.float64]]:
    """Used bones as (bone, morph target or -1), and the points' sparse q: counts [P], bone [nnz], q [nnz, 4]."""
    face, barycentric = points
    pool = len(face)
    entries: dict[tuple[int, int], NDArray[np.float64]] = {}
    layers: list[tuple[int, NDArray[np.float64]]] = [(-1, np.pad(scene.rest, ((0, 0), (0, 1)), constant_values=1.0))]
    for morph in scene.morphs:
        deltas = np.zeros((len(scene.rest), 4))
        deltas[morph.start : morph.start + len(morph.deltas), :3] = morph.deltas
        layers.append((morph.slot, deltas))
    for slot, homogeneous in layers:
        for corner in range(3):
            vertex = faces[face, corner]
            for k in range(scene.bone_index.shape[1]):
                weight = barycentric[:, corner] * scene.bone_weight[vertex, k]
                j = scene.bone_index[vertex, k]
                value = np.einsum("pij,pj->pi", rest_of_bone[j], homogeneous[vertex])
                value[:, :3] = (value[:, :3] - surface.center * value[:, 3:]) / surface.size
                value *= weight[:, None]
                for number in np.unique(j[weight > 0]):
                    mine = (j == number) & (weight > 0)
                    entries.setdefault((int(number), slot), np.zeros((pool, 4)))[mine] += value[mine]
    keys = [key for key, q in entries.items() if np.abs(q).max() > 1e-7]
    dense = np.stack([entries[key] for key in keys], 1)  # [P, J, 4]
    strength = np.abs(dense).max(-1)
    rank = np.argsort(-strength, axis=1)[:, :MAX_BONES_PER_POINT]
    kept = np.zeros_like(strength, dtype=bool)
    np.put_along_axis(kept, rank, True, axis=1)
    kept &= strength > 1e-5
    total = (dense[..., 3] * kept).sum(1)
    dense = dense / np.where(total > 0.5, total, 1.0)[:, None, None]  # so that kept weights sum to one
    row, bone = np.nonzero(kept)
    return keys, kept.sum(1).astype(np.uint8), bone.astype(np.int16), dense[row, bone]


def _transforms(
    scene: GltfScene,
    clip: int | None,
    times: NDArray[np.float64],
    used: list[tuple[int, int]],
    rest_of_bone: NDArray[np.float64],
    surface: _RigSurface,
) -> NDArray[np.float64]:
    """Matrices [T, J, 3, 4] from the normalised default pose to the normalised pose at `times`."""
    numbers = np.array([bone for bone, _ in used])
    moved = scene.bones(clip, times)[:, numbers] @ np.linalg.inv(rest_of_bone)[numbers]
    result = moved[:, :, :3].copy()
    shift = result[..., :3] @ surface.center + result[..., 3] - surface.center
    result[..., 3] = shift / surface.size
    weights = scene.morph_weights(clip, times)
    for j, (_, slot) in enumerate(used):
        if slot >= 0:
            result[:, j] *= weights[:, slot, None, None]
    return result


def _positions(
    transforms: NDArray[np.float64], row: NDArray, bone: NDArray, hang: NDArray, pool: int
) -> NDArray[np.float64]:
    dense = np.zeros((pool, transforms.shape[1], 4))
    dense[row, bone] = hang
    return np.einsum("tjik,pjk->tpi", transforms, dense, optimize=True)


def _add_references(
    rig: PreparedRig, scene: GltfScene, surface: _RigSurface, references: int, random: np.random.Generator
) -> None:
    """Add labelled occupancy queries around poses spread evenly over the clips of each split."""
    for split in sorted({clip["split"] for clip in rig.clips} - {"static"}):
        numbers = [n for n, clip in enumerate(rig.clips) if clip["split"] == split]
        count = references if split in ("train", "unseen_identity") else max(1, references // 3)
        count = 1 if split.startswith("rest") else count
        order = random.permutation(numbers)
        for turn in range(count):
            number = int(order[turn % len(order)])
            clip = rig.clips[number]
            last = clip["frames"] - 1 if clip["cyclic"] else max(1, (clip["frames"] + 1) // 2)
            frame = 0 if turn < len(order) and turn % 2 == 0 else int(random.integers(last))
            index = None if clip["index"] < 0 else clip["index"]
            times = np.zeros(1) if index is None else clip_times(scene.clips[index], FPS, 1, frame)
            vertices = surface.normalise(scene.positions(index, times)[0])[surface.first]
            low, high = vertices.min(0), vertices.max(0)
            queries, inside = label_queries(vertices, surface.faces, low, high, random)
            rig.references.append(
                {"clip": number, "frame": frame, "low": low.round(6).tolist(), "high": high.round(6).tolist()}
            )
            rig.queries.append((queries, inside))


def _write(rigs: list[PreparedRig], out: Path, pool: int) -> None:
    packed = [pack(t.reshape(len(t), -1, 12)) for rig in rigs for t in rig.transforms]
    hang = np.concatenate([rig.hang for rig in rigs])
    hang_range = float(np.abs(hang).max())
    tensors = {
        "transforms": np.concatenate([values.reshape(-1, 12) for values, _, _ in packed]),
        "transform_low": np.concatenate([low for _, low, _ in packed]),
        "transform_step": np.concatenate([step for _, _, step in packed]),
        "counts": np.concatenate([rig.counts for rig in rigs]),
        "bone": np.concatenate([rig.bone for rig in rigs]).astype("<i2"),
        "hang": (hang / hang_range * 32767).round().astype("<i2"),
        "normals": (np.concatenate([rig.normals for rig in rigs]) * 32767).round().astype("<i2"),
        "queries": np.concatenate([q for rig in rigs for q, _ in rig.queries]),
        "inside": np.packbits(np.concatenate([inside for rig in rigs for _, inside in rig.queries])),
    }
    meta = {
        "fps": FPS,
        "pool": pool,
        "hang_range": hang_range,
        "queries": [UNIFORM_QUERIES, NEAR_QUERIES],
        "rigs": [{**rig.meta, "clip_list": rig.clips, "references": rig.references} for rig in rigs],
    }
    write_bank(out, tensors, meta)
