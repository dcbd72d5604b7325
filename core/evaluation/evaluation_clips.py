"""Held-out mesh sequences to evaluate on: procedural creatures and clips of rigged glTF files.

Every clip is in normalised space: frame 0's box has centre 0 and longest side 1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.data.rig_files import UNSEEN_IDENTITIES, clip_split, rig_files
from core.errors import DataError
from core.evaluation.self_intersections import crossing_faces
from core.io.gltf.clip_reader import clip_frames, read_clip
from core.io.gltf.scene import GltfScene
from core.sequence import MeshPart, Normalization, SourceMesh, frozen_array

if TYPE_CHECKING:
    from core.data.procedural import ProceduralSource

T = TypeVar("T")
SMALLEST_MOTION = 0.01  # of the size: windows that move less on average are left out
_ROUGH = 32  # grid cells of the first mesh, from which the resolution for a number of vertices is derived
_CANDIDATES = 40  # seeds tried for one procedural clip of a kind


@dataclass(frozen=True)
class ClipName:
    """Names a clip without reading it; `load` makes the clip. `key` is its name in reports and caches."""

    key: str
    source: str  # "procedural" or "rigs"
    split: str
    category: str  # kind of creature, or folder of the rig
    path: str = ""
    clip: int = 0
    identity_seed: int = 0
    motion_seed: int = 0


@dataclass(frozen=True, eq=False)
class EvaluationClip:
    """One true motion: vertices [T, V, 3] float64 in normalised space and faces [F, 3]."""

    name: ClipName
    vertices: NDArray[np.float64]
    faces: NDArray[np.int32]
    fps: float

    @cached_property
    def fingerprint(self) -> str:
        """A hash of vertices (to a millionth of the size) and faces."""
        digest = hashlib.sha256(np.round(self.vertices * 1e6).astype(np.int64).tobytes())
        digest.update(np.ascontiguousarray(self.faces, dtype=np.int64).tobytes())
        return digest.hexdigest()[:12]

    @cached_property
    def crossing_faces(self) -> int:
        """How many faces of frame 0 intersect others: clothes and eyes of a rig often do."""
        return crossing_faces(self.vertices[0], self.faces)

    @cached_property
    def mesh(self) -> SourceMesh:
        """Frame 0 as a source mesh with exactly these vertices, not welded, so that tracks keep their numbering."""
        rest = frozen_array(self.vertices[0], np.float32, (None, 3), "vertices")
        faces = frozen_array(self.faces, np.int32, (None, 3), "faces")
        return SourceMesh(
            self.name.key, rest, faces, np.arange(len(rest), dtype=np.int32), (MeshPart(self.name.key, faces),)
        )


def procedural_clips(count: int, split: str = "unseen_identity", kinds: Sequence[str] | None = None) -> list[ClipName]:
    """`count` clips whose motion (`unseen_motion`) or identity and motion (`unseen_identity`) was not trained on.

    Kinds are as frequent as in training: each clip is of the kind farthest below its share so far. A longer list begins
    with the shorter one. Raises DataError for an unknown kind.
    """
    from core.data.procedural import HELD_OUT, KINDS

    names = tuple(kinds or KINDS)
    unknown = [kind for kind in names if kind not in KINDS]
    if unknown:
        raise DataError(f"The kinds {unknown} do not exist; choose from {', '.join(KINDS)}.")
    base = HELD_OUT if split == "unseen_identity" else 0
    shares = np.array([KINDS[kind][1] for kind in names])
    taken = np.zeros(len(names))
    result = []
    for number in range(count):
        row = int(np.argmax(shares / shares.sum() * (number + 1) - taken))
        taken[row] += 1
        kind, seed = names[row], number
        key = f"procedural/{split}/{kind}-{seed}"
        result.append(
            ClipName(
                key, "procedural", split, kind, identity_seed=base + seed, motion_seed=HELD_OUT + seed * _CANDIDATES
            )
        )
    return result


def evenly(values: Sequence[T], count: int) -> list[T]:
    """`count` of the values, evenly spaced; some twice where there are fewer, none of none."""
    return [values[int((i + 0.5) * len(values) / count)] for i in range(count)] if values else []


def rig_clips(
    directory: str | Path, split: str, per_rig: int = 1, limit: int | None = None, frames: int = 17
) -> list[ClipName]:
    """Up to `per_rig` clips of each file that belong to a split, evenly spaced over the file.

    Clips have at least `frames` frames at 24 per second. `limit` keeps so many in all, evenly spaced over the files.
    """
    result = []
    for path in rig_files(directory):
        if (path.stem in UNSEEN_IDENTITIES) != (split == "unseen_identity"):
            continue
        clips = GltfScene(path).clips
        usable = [
            number
            for number, clip in enumerate(clips)
            if clip_split(path.stem, number, len(clips)) == split and clip_frames(clip) >= frames
        ]
        picks = evenly(usable, per_rig)
        result += [
            ClipName(f"rigs/{split}/{path.stem}-{n}", "rigs", split, path.parent.name, str(path), n)
            for n in dict.fromkeys(picks)
        ]
    if limit is not None and len(result) > limit:
        result = evenly(result, limit)
    return result


def moving_rig_clips(directory: str | Path, split: str, limit: int, frames: int = 17) -> list[ClipName]:
    """Up to `limit` clips of a split, evenly spaced over the rigs; of each rig the middle one of those that move."""
    chosen: dict[str, ClipName] = {}
    # The list with one clip for each file has the middle one.
    for name in [*rig_clips(directory, split, 1, frames=frames), *rig_clips(directory, split, 3, frames=frames)]:
        if name.path not in chosen and load(name, frames) is not None:
            chosen[name.path] = name
    names = [chosen[path] for path in sorted(chosen)]
    return names if len(names) <= limit else evenly(names, limit)


def load(name: ClipName, frames: int = 17, vertices: int = 1500) -> EvaluationClip | None:
    """The clip's true motion, or None where it hardly moves. A procedural mesh gets about `vertices` vertices."""
    if name.source == "rigs":
        return _rig_clip(name, frames)
    return _procedural_clip(name, frames, vertices)


def load_all(names: Sequence[ClipName], frames: int = 17, vertices: int = 1500) -> Iterator[EvaluationClip]:
    """The clips one after the other, without those that hardly move."""
    for name in names:
        clip = load(name, frames, vertices)
        if clip is not None:
            yield clip


def procedural_mesh_resolution(
    source: ProceduralSource, identity_seed: int, motion_seed: int, kind: str, vertices: int
) -> int:
    """Grid cells along the longest side that give a mesh of about `vertices` vertices.

    The number of vertices grows with the square of the cells. Thin parts vanish from a rough grid, so a second estimate
    starts from the first one's mesh.
    """
    resolution = _ROUGH
    for _ in range(2):
        mesh = source.mesh_sequence(identity_seed, motion_seed, frames=2, resolution=resolution, kind=kind)
        grown = resolution * np.sqrt(vertices / max(mesh.vertices.shape[1], 1))
        resolution = int(np.clip(round(grown), 24, 400))
    return resolution


def normalised(vertices: NDArray) -> NDArray[np.float64]:
    """Tracks [T, V, 3] with the first frame's box centred at 0 and of longest side 1."""
    return Normalization.of(vertices[0]).apply(vertices)


def _procedural_clip(name: ClipName, frames: int, vertices: int) -> EvaluationClip | None:
    from core.data.procedural import ProceduralSource

    source = ProceduralSource()
    resolution = procedural_mesh_resolution(source, name.identity_seed, name.motion_seed, name.category, vertices)
    for motion_seed in range(name.motion_seed, name.motion_seed + _CANDIDATES):
        sequence = source.mesh_sequence(name.identity_seed, motion_seed, frames, resolution, name.category)
        tracks = normalised(sequence.vertices)
        if _mean_motion(tracks) >= SMALLEST_MOTION:
            return EvaluationClip(name, tracks, sequence.faces, sequence.fps)
    return None


def _rig_clip(name: ClipName, frames: int) -> EvaluationClip | None:
    """The window of the clip that moves most, normalised by its own first frame."""
    sequence = read_clip(name.path, name.clip)
    if sequence.frames < frames:
        return None
    whole = normalised(sequence.vertices)
    some = whole[:, :: max(1, whole.shape[1] // 400)]
    starts = range(0, sequence.frames - frames + 1, 2)
    liveliest = max(starts, key=lambda start: _mean_motion(some[start : start + frames]))
    tracks = normalised(whole[liveliest : liveliest + frames])
    if _mean_motion(tracks) < SMALLEST_MOTION:
        return None
    return EvaluationClip(name, tracks, sequence.faces, sequence.fps)


def _mean_motion(tracks: NDArray) -> float:
    return float(np.linalg.norm(tracks[1:] - tracks[:1], axis=-1).mean())
