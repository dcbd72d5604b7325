"""Reads any animated file as a shape of the bank: rigs by their bones, everything else by its moving surface."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from core.bank.credits import Credit, credit_of
from core.bank.read_rig import file_hash, read_rig
from core.bank.read_sequence import MeshMotion, shape_of_motions
from core.bank.shape import BankShape
from core.errors import DataError
from core.io.gltf.clip_reader import clip_frames, read_clip
from core.io.gltf.scene import GltfScene, read_gltf_mesh
from core.io.mesh.mesh_formats import blender_sentence
from core.io.mesh.mesh_reader import read_mesh
from core.io.point_cache import read_mdd, read_pc2
from core.io.sequence_file import read_sequence
from core.io.usd.usd_reader import read_point_cache

RIGS = (".glb", ".gltf")
SEQUENCES = (".npz", ".usd", ".usda", ".usdc", ".pc2", ".mdd")
SUFFIXES = RIGS + SEQUENCES


def read_motion(path: str | Path, credit: Credit | None = None) -> BankShape:
    """The shape of a file, without descriptors; its category is the name of its folder.

    Raises DataError or MeshError for a damaged file and for one in which nothing moves.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if sentence := blender_sentence(path):
        raise DataError(sentence)
    if suffix not in SUFFIXES:
        raise DataError(f"{path.name} is not an animation that can be read; give one of {', '.join(SUFFIXES)}.")
    if not path.is_file():
        raise DataError(f"There is no file {path}; check the path.")
    credit = credit or credit_of(path.stem)
    if suffix in RIGS:
        return _read_morphs(path, credit) if _morphs_only(path) else read_rig(path, credit)
    if suffix == ".npz":
        sequence = read_sequence(path)
        faces, motion = sequence.faces, MeshMotion(path.stem, sequence.vertices, sequence.fps)
    elif suffix in (".pc2", ".mdd"):
        faces, motion = _read_cache(path)
    else:
        cache = read_point_cache(path)
        # A quarter turn about X brings +Z up.
        points = cache.positions if cache.up_axis == "y" else cache.positions[..., [0, 2, 1]] * np.array([1, 1, -1.0])
        faces, motion = cache.triangles, MeshMotion(path.stem, points.astype(np.float32), cache.fps)
    if not np.isfinite(motion.fps) or motion.fps <= 0:
        raise DataError(f"{path.name} does not say how fast it plays; export it again.")
    shape = shape_of_motions(path.stem, motion.vertices[0], faces, [motion], credit, path.parent.name)
    return replace(shape, source=file_hash(path))


def _morphs_only(path: Path) -> bool:
    """True when a glTF file animates only morph targets."""
    scene = GltfScene(path)
    tracks = {track.path for clip in scene.clips for track in clip.tracks}
    return bool(scene.morphs) and tracks == {"weights"}


def _read_morphs(path: Path, credit: Credit) -> BankShape:
    scene, mesh = GltfScene(path), read_gltf_mesh(path)
    motions = []
    for number, clip in enumerate(scene.clips):
        if clip_frames(clip) > 1:
            motion = read_clip(path, number)
            motions.append(MeshMotion(clip.name, motion.vertices, motion.fps))
    shape = shape_of_motions(path.stem, mesh.vertices, mesh.faces, motions, credit, path.parent.name)
    return replace(shape, source=file_hash(path))


def _read_cache(path: Path) -> tuple[np.ndarray, MeshMotion]:
    """A point cache with the faces of the OBJ beside it: `NAME_pc2_base.obj`, as we export it, or `NAME.obj`."""
    bases = [path.with_name(f"{path.stem}_{path.suffix[1:].lower()}_base.obj"), path.with_suffix(".obj")]
    base = next((base for base in bases if base.is_file()), None)
    if base is None:
        raise DataError(f"{path.name} needs the mesh that it moves beside it, {bases[0].name} or {bases[1].name}.")
    mesh = read_mesh(base)
    positions, fps = read_pc2(path) if path.suffix.lower() == ".pc2" else read_mdd(path)
    if positions.shape[1] != len(mesh.file_to_vertex):
        raise DataError(
            f"{path.name} moves {positions.shape[1]} points, but {base.name} has {len(mesh.file_to_vertex)} vertices; "
            "export both together."
        )
    first = np.zeros(len(mesh.vertices), np.int64)
    first[mesh.file_to_vertex] = np.arange(len(mesh.file_to_vertex))
    return mesh.faces, MeshMotion(path.stem, positions[:, first], fps)
