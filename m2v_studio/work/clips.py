"""Animations of the opened mesh's own file, read off the main thread."""

from __future__ import annotations

from pathlib import Path

from core.errors import DataError
from core.sequence import MAX_FRAMES, MeshSequence

MOST_POSITIONS = 20_000_000  # frames times vertices, 240 MB


def clip_length(path: Path, name: str, fps: float) -> int:
    """The number of frames of a clip, at most MAX_FRAMES. Raises MeshError or DataError."""
    from core.io.gltf.clip_reader import clip_frames, find_clip
    from core.io.gltf.scene import GltfScene

    scene = GltfScene(path)
    return min(clip_frames(scene.clips[find_clip(scene, name)], fps), MAX_FRAMES)


def clip_motion(path: Path, name: str, fps: float, vertices: int) -> MeshSequence:
    """A clip in the units of its file, cut to MAX_FRAMES, on a mesh with this number of welded vertices.

    Raises DataError or MeshError when the clip is gone or its mesh has changed.
    """
    from core.io.gltf.clip_reader import read_clip

    frames = min(clip_length(path, name, fps), max(MOST_POSITIONS // vertices, 2))
    motion = read_clip(path, name, fps, frames)
    if motion.vertices.shape[1] != vertices:
        raise DataError(f"{path.name} no longer holds the mesh that is open; open it again.")
    return motion
