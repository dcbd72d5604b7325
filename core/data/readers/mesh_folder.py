"""Plain mesh sequences: folders of OBJ, PLY or OFF files, one file per frame, ordered by the numbers in their names.

`SRC` may be one clip, or hold clips at any depth: `<identity>/<motion>/frame_0001.obj`. A clip directly below `SRC` is
an identity of its own. All frames need the same vertices in the same order, and the same faces.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from core.data.readers.common import (
    ClipEntry,
    Listing,
    TrackedClip,
    in_clip_order,
    make_clip,
    relative_name,
    source_folder,
)
from core.errors import DataError
from core.io.mesh.mesh_reader import read_mesh
from core.sequence import MIN_FRAMES, SourceMesh

FPS = 24.0
SUFFIXES = (".obj", ".ply", ".off")  # STL files repeat each vertex per facet, which no frame order survives


def list_clips(source: Path) -> Listing:
    """One clip per folder that directly holds two or more mesh files of one kind."""
    root = source_folder(source, "the folders of OBJ or PLY files")
    entries = []
    for folder in [root, *sorted(path for path in root.rglob("*") if path.is_dir())]:
        if len(_frames(folder)) < MIN_FRAMES:
            continue
        below = folder.relative_to(root).parts
        identity = "/".join(below[:-1]) if len(below) > 1 else folder.name
        category = below[0] if len(below) > 2 else root.name
        motion = folder.name if len(below) > 1 else "motion"
        entries.append(ClipEntry("meshes", str(folder), "", relative_name(folder, root), identity, motion, category))
    if not entries:
        raise DataError(
            f"{source} holds no folder with two or more OBJ, PLY or OFF files; give the folder of the clips."
        )
    return Listing(tuple(entries))


def read_clip(entry: ClipEntry, points: int) -> TrackedClip:
    """All vertices of all frames. Raises DataError or MeshError for a damaged frame or one with other faces."""
    frames = _frames(Path(entry.path))
    first = read_mesh(frames[0])
    corners = _file_faces(first)
    tracks = np.empty((len(frames), len(first.file_to_vertex), 3), np.float32)
    for number, path in enumerate(frames):
        mesh = read_mesh(path) if number else first
        if len(mesh.file_to_vertex) != tracks.shape[1] or not np.array_equal(_file_faces(mesh), corners):
            raise DataError(
                f"{path} has different vertices or faces from {frames[0].name}; export all frames of one mesh."
            )
        tracks[number] = mesh.vertices[mesh.file_to_vertex]
    return make_clip(tracks, corners, FPS, entry.path)


def _frames(folder: Path) -> list[Path]:
    """The mesh files of the most frequent kind in a folder, in order."""
    files = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file()]
    kinds = [path.suffix.lower() for path in files]
    kind = max(SUFFIXES, key=kinds.count)
    return in_clip_order(path for path in files if path.suffix.lower() == kind)


def _file_faces(mesh: SourceMesh) -> np.ndarray:
    """Faces of the file's own vertices: welding may group them differently in every frame."""
    return np.concatenate([part.faces for part in mesh.parts])
