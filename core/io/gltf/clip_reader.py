"""Reads the clips of a rigged glTF file as MeshSequences.

Vertices and faces are those of `core.io.gltf.scene.read_gltf_mesh`, in the same order, so that a clip is a motion of
that mesh. Positions are in the file's world space and units, Y up.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError
from core.io.gltf.animation import Clip
from core.io.gltf.scene import GltfScene, source_mesh
from core.io.mesh.source_mesh import first_file_vertices
from core.sequence import MeshSequence

FPS = 24.0


def clip_frames(clip: Clip, fps: float = FPS) -> int:
    """Number of frames of a whole clip at `fps`, both ends included."""
    return int(np.floor(clip.duration * fps + 1e-4)) + 1


def clip_times(clip: Clip, fps: float = FPS, frames: int | None = None, start: int = 0) -> NDArray[np.float64]:
    """Times [T] in seconds of `frames` frames from frame `start`; frames beyond the end hold the last pose."""
    count = clip_frames(clip, fps) - start if frames is None else frames
    return np.minimum(clip.start + (start + np.arange(max(count, 1))) / fps, clip.end)


def find_clip(scene: GltfScene, clip: int | str) -> int:
    """The index of a clip, by name, by a unique ending of it ("walk" for "Armature|Walk"), or by number, also as text.

    Raises DataError, which lists the clips.
    """
    names = scene.clip_names
    if isinstance(clip, str) and clip in names:
        return names.index(clip)
    if isinstance(clip, str) and clip.isascii() and clip.isdigit():
        clip = int(clip)
    if isinstance(clip, int) and 0 <= clip < len(names):
        return clip
    found = [number for number, name in enumerate(names) if plain_name(name).lower() == str(clip).lower()]
    if len(found) == 1:
        return found[0]
    known = ", ".join(plain_name(name) for name in names[:20]) or "none"
    raise DataError(f"{scene.path.name} has no clip {clip!r}; its clips are: {known}.")


def plain_name(name: str) -> str:
    """A clip's name without the armature that Blender writes before it."""
    return name.rsplit("|", 1)[-1]


def read_clip(
    path: str | Path, clip: int | str, fps: float = FPS, frames: int | None = None, start: int = 0
) -> MeshSequence:
    """Read one clip as a MeshSequence with welded vertices [T, V, 3] (world space, file units).

    `frames` frames from frame `start` at `fps`, or the whole clip. Raises MeshError for a damaged file and
    DataError for an unknown clip or an impossible range.
    """
    scene = GltfScene(path)
    number = find_clip(scene, clip)
    if not (np.isfinite(fps) and fps > 0) or start < 0 or (frames is not None and frames < 1):
        raise DataError(
            f"{frames} frames from {start} at {fps} frames per second is out of range; give positive numbers."
        )
    mesh = source_mesh(scene)
    first = first_file_vertices(mesh.file_to_vertex)
    bones_at = clip_times(scene.clips[number], fps, frames, start)
    bones, weights = scene.bones(number, bones_at), scene.morph_weights(number, bones_at)
    vertices = np.empty((len(bones_at), len(first), 3), dtype=np.float32)
    for t in range(len(bones_at)):
        vertices[t] = scene.pose(bones[t], weights[t])[first] - mesh.origin
    name = f"{scene.path.stem}-{scene.clips[number].name}"
    return MeshSequence(vertices, mesh.faces, fps=float(fps), name=name, origin=mesh.origin)
