"""Rigged glTF files as motion data: every clip of a .glb into a MeshSequence, and the agreed evaluation split.

Vertices and faces are those of `core.geometry.gltf_scene.read_gltf_mesh`, in the same order, so that a clip read
here is the true motion of the mesh read there. Positions are in the file's world space and units, Y up.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError
from core.geometry.gltf_animation import Clip
from core.geometry.gltf_scene import GltfScene, source_mesh
from core.geometry.gltf_surface import weld_positions
from core.sequence import MeshSequence

# Never in training, so that results compare over time.
UNSEEN_IDENTITIES = frozenset(
    [
        "Stag",
        "ShibaInu",
        "farm_Zebra",
        "farm_Pug",
        "simple_Cat",
        "Trex",
        "Shark",
        "Frog",
        "Smooth_Female_Dress",
        "Mage",
        "modular_man_Worker",
        "Chest",
        "body_03",
        "body_13",
    ]
)
CATEGORIES = ("animals", "humans", "bodies", "objects")
FPS = 24.0


def clip_split(stem: str, clip: int, clips: int) -> str:
    """The split of clip number `clip` (file order) of the file `stem` that holds `clips` clips."""
    if stem in UNSEEN_IDENTITIES:
        return "unseen_identity"
    return "unseen_motion" if clips >= 4 and clip % 4 == 3 else "train"


def rig_files(directory: str | Path) -> list[Path]:
    """All .glb and .gltf files under a folder, sorted; raises DataError when there are none."""
    folder = Path(directory)
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; give the folder that holds the rigged .glb files.")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".glb", ".gltf"))
    if not found:
        raise DataError(f"{folder} holds no .glb or .gltf files; give the folder that holds the rigs.")
    return found


def clip_frames(clip: Clip, fps: float = FPS) -> int:
    """Number of frames of a whole clip at `fps`, both ends included."""
    return int(np.floor(clip.duration * fps + 1e-4)) + 1


def clip_times(clip: Clip, fps: float = FPS, frames: int | None = None, start: int = 0) -> NDArray[np.float64]:
    """Times [T] in seconds of `frames` frames from frame `start`; frames beyond the end hold the last pose."""
    count = clip_frames(clip, fps) - start if frames is None else frames
    return np.minimum(clip.start + (start + np.arange(max(count, 1))) / fps, clip.end)


def find_clip(scene: GltfScene, clip: int | str) -> int:
    """The number of a clip given by number or name; raises DataError and names the clips there are."""
    names = scene.clip_names
    if isinstance(clip, str) and clip in names:
        return names.index(clip)
    if isinstance(clip, int) and 0 <= clip < len(names):
        return clip
    known = ", ".join(f"{i} {name}" for i, name in enumerate(names[:20])) or "none"
    raise DataError(f"{scene.path.name} has no clip {clip!r}; it has: {known}.")


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
        raise DataError(f"{frames} frames from {start} at {fps} frames per second is not possible; give positive ones.")
    mesh = source_mesh(scene)
    first, _ = weld_positions(scene.positions()[0].astype(np.float32))
    bones_at = clip_times(scene.clips[number], fps, frames, start)
    bones, weights = scene.bones(number, bones_at), scene.morph_weights(number, bones_at)
    vertices = np.empty((len(bones_at), len(first), 3), dtype=np.float32)
    for t in range(len(bones_at)):
        vertices[t] = scene.pose(bones[t], weights[t])[first]
    name = f"{scene.path.stem}-{scene.clips[number].name}"
    return MeshSequence(vertices, mesh.faces, fps=float(fps), name=name)
