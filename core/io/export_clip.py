"""Prepares a sequence for export: trimmed, rotated and scaled, on the input file's own vertices."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from core.errors import ExportError
from core.sequence import HandleTracks, Material, MeshPart, MeshSequence, Normalization, SourceMesh


@dataclass(frozen=True)
class ExportOptions:
    """How to write a sequence.

    `start` and `end` are the first and last frame written, both included; the first becomes frame 0 of the
    file. `up_axis` is the axis that points up in the file; `scale` multiplies every position.
    """

    fps: float | None = None  # None: the sequence's own
    start: int = 0
    end: int | None = None  # None: the last frame
    up_axis: str = "y"
    scale: float = 1.0
    blender_script: bool = True

    def validate(self, frames: int) -> None:
        """Check the options for a sequence of `frames` frames. Raises ExportError for the first fault."""
        if self.fps is not None and not (np.isfinite(self.fps) and self.fps > 0):
            raise ExportError(f"{self.fps} frames per second is out of range; give a positive number.")
        if not (np.isfinite(self.scale) and self.scale > 0):
            raise ExportError(f"The scale {self.scale} is out of range; give a positive number.")
        if self.up_axis not in ("x", "y", "z"):
            raise ExportError(f"The up axis is {self.up_axis!r}, but it must be x, y or z.")
        last = frames - 1 if self.end is None else self.end
        if not 0 <= self.start <= last < frames:
            raise ExportError(
                f"Frames {self.start} to {last} cannot be written: the sequence has frames 0 to {frames - 1}."
            )


@dataclass(frozen=True, eq=False)
class Frames:
    """Positions [T, W, 3] float32, computed frame by frame, since a full copy may take gigabytes."""

    vertices: NDArray[np.float32]  # [T, V, 3]
    rows: NDArray[np.integer] | None = None  # [W] of the V; None: all
    place: NDArray[np.float64] | None = None  # [3, 3] applied to positions; with None, they stay bit for bit

    @property
    def shape(self) -> tuple[int, int, int]:
        return len(self.vertices), self.vertices.shape[1] if self.rows is None else len(self.rows), 3

    @property
    def nbytes(self) -> int:
        return 4 * int(np.prod(self.shape, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.vertices)

    def __getitem__(self, frame: int) -> NDArray[np.float32]:
        positions: NDArray[np.float32] = self.vertices[frame] if self.rows is None else self.vertices[frame, self.rows]
        return positions if self.place is None else (positions.astype(np.float64) @ self.place.T).astype(np.float32)

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        return (self[frame] for frame in range(len(self)))

    def of(self, rows: NDArray[np.integer]) -> Frames:
        """The positions of only these vertices, numbered among the W."""
        return replace(self, rows=rows if self.rows is None else self.rows[rows])


@dataclass(frozen=True, eq=False)
class ExportClip:
    """A motion on the W vertices to write: `frames` [T, W, 3] in the file's axes and units, relative to `origin`.

    Each of the `parts` has at least one face. `weld` [W] is the surface point of each vertex; vertices with the same
    one coincide in every frame.
    """

    name: str
    frames: Frames
    parts: tuple[MeshPart, ...]
    weld: NDArray[np.int32]
    fps: float
    uv: NDArray[np.float32] | None = None  # [W, 2], origin at the bottom left; parts may refine it by corner
    up_axis: str = "y"
    handles: HandleTracks | None = None  # their vertices count among the W
    uv1: NDArray[np.float32] | None = None  # [W, 2] the second set
    colors: NDArray[np.float32] | None = None  # [W, 4] from 0 to 1
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)  # positions are relative to it; in double precision
    materials: tuple[Material, ...] = field(init=False)  # each once, in the order of the parts

    def __post_init__(self) -> None:
        # Equal materials are merged, since readers and project files make one object per part.
        found = dict.fromkeys(part.material for part in self.parts if part.material is not None)
        object.__setattr__(self, "materials", tuple(found))

    @property
    def faces(self) -> NDArray[np.int32]:
        """[F, 3] the faces of all parts, in their order."""
        return np.concatenate([part.faces for part in self.parts]).astype(np.int32)

    def corner_uv(self) -> NDArray[np.float32] | None:
        """[F, 3, 2] if some vertex has several texture coordinates (OBJ seams); None if `uv` suffices."""
        uv = self.uv
        if uv is None or all(part.corner_uv is None for part in self.parts):
            return None
        return np.concatenate([uv[part.faces] if part.corner_uv is None else part.corner_uv for part in self.parts])

    def loose_vertices(self) -> NDArray[np.int64]:
        """The vertices that no face uses, in order.

        Blender's glTF and OBJ importers drop them, which renumbers all others; a face without area keeps them.
        """
        return np.flatnonzero(np.bincount(self.faces.ravel(), minlength=len(self.weld)) == 0)

    def material_index(self, part: MeshPart) -> int | None:
        """Index of the part's material in `materials`; None without one."""
        return next((i for i, material in enumerate(self.materials) if material == part.material), None)

    def material_names(self) -> list[str]:
        """Unique material names without spaces."""
        return unique_names(material.name or "material" for material in self.materials)


def prepare(sequence: MeshSequence, source: SourceMesh | None, options: ExportOptions, name: str) -> ExportClip:
    """The clip to write. Raises ExportError for an empty range, or a mesh that the sequence was not made from."""
    options.validate(sequence.frames)
    if not len(sequence.faces):
        raise ExportError("The sequence has no faces, so there is no surface to export.")
    clip = _bare(sequence, name) if source is None else _on_file_vertices(sequence, source, name)
    end = sequence.frames if options.end is None else options.end + 1
    whole = options.start == 0 and end == sequence.frames
    turn = _axes(options.up_axis).T @ _axes(clip.up_axis)
    place = turn * options.scale
    frames = replace(clip.frames, vertices=clip.frames.vertices[options.start : end])
    if not np.array_equal(place, np.eye(3)):  # an identity export keeps every bit
        frames = replace(frames, place=place)
    return replace(
        clip,
        frames=frames,
        fps=sequence.fps if options.fps is None else options.fps,
        up_axis=options.up_axis,
        origin=tuple((place @ clip.origin).tolist()) if any(clip.origin) else (0.0, 0.0, 0.0),
        # Handles are relative to the rest pose, which a cut sequence no longer starts with.
        handles=_moved_handles(clip.handles, place) if clip.handles is not None and whole else None,
    )


def unique_names(names: Iterable[str]) -> list[str]:
    """Different names, in which all but letters, digits, `.`, `-` and `_` is replaced; equal ones get numbers."""
    return numbered(re.sub(r"[^\w.-]+", "_", name).strip("_") or "unnamed" for name in names)


def numbered(names: Iterable[str], mark: str = "_", first: int = 1) -> list[str]:
    """The names; those that are there already get `mark` and a number, from `first` on."""
    result: list[str] = []
    for name in names:
        unique, number = name, first
        while unique in result:
            unique, number = f"{name}{mark}{number}", number + 1
        result.append(unique)
    return result


def _axes(up_axis: str) -> NDArray[np.float64]:
    """[3, 3] rotation from a file with this up axis to Y up."""
    return Normalization(center=np.zeros(3), scale=1.0, up_axis=up_axis).rotation


def _bare(sequence: MeshSequence, name: str) -> ExportClip:
    """A sequence without source mesh: its own vertices, Y up, one part, no material."""
    count = sequence.vertices.shape[1]
    part = MeshPart(name=sequence.name, faces=sequence.faces)
    weld = np.arange(count, dtype=np.int32)
    return ExportClip(
        name,
        Frames(sequence.vertices),
        (part,),
        weld,
        sequence.fps,
        sequence.uv,
        handles=sequence.handles,
        origin=sequence.origin,
    )


def _on_file_vertices(sequence: MeshSequence, source: SourceMesh, name: str) -> ExportClip:
    """The sequence on the input file's own vertices, in their order."""
    weld = np.asarray(source.file_to_vertex, dtype=np.int32)
    first = _first_vertices(source)
    parts = tuple(part for part in source.parts if len(part.faces))
    if not parts:
        parts = (MeshPart(name=source.name, faces=first[source.faces].astype(np.int32)),)
    rows = sequence_rows(sequence, source)
    frames, handles, written = Frames(sequence.vertices), sequence.handles, len(weld)
    if not np.array_equal(rows, np.arange(frames.shape[1])):
        frames = frames.of(rows)
        if handles is not None:
            moved = tuple(replace(handle, vertex=int(first[handle.vertex])) for handle in handles.handles)
            handles = replace(handles, handles=moved)
    uv = source.uv
    if uv is None and sequence.uv is not None and len(sequence.uv) == written:
        uv = sequence.uv
    return ExportClip(
        name, frames, parts, weld, sequence.fps, uv, source.up_axis, handles, source.uv1, source.colors, source.origin
    )


def sequence_rows(sequence: MeshSequence, source: SourceMesh | None) -> NDArray[np.int32]:
    """[W] the sequence vertex of each exported vertex. Raises ExportError if the sequence has another mesh."""
    have = sequence.vertices.shape[1]
    if source is None:
        return np.arange(have, dtype=np.int32)
    weld = np.asarray(source.file_to_vertex, dtype=np.int32)
    welded, written = len(source.vertices), len(weld)
    parts = [part.faces for part in source.parts if len(part.faces)]
    file_faces = np.concatenate(parts) if parts else _first_vertices(source)[source.faces]
    # A sequence that was exported to .npz and read back lies on the file's vertices already.
    if have == written and (have != welded or _equal(sequence.faces, file_faces)):
        return np.arange(have, dtype=np.int32)
    if have == welded:
        return weld
    raise ExportError(
        f"The sequence has {have} vertices, but the mesh {source.name!r} has {welded}; "
        "export it with the mesh that it was made from."
    )


def _first_vertices(source: SourceMesh) -> NDArray[np.int32]:
    """The first file vertex of each surface point [V]."""
    first = np.zeros(len(source.vertices), dtype=np.int32)
    first[source.file_to_vertex[::-1]] = np.arange(len(source.file_to_vertex), dtype=np.int32)[::-1]
    return first


def placement(up_axis: str, source: SourceMesh | None, scale: float) -> tuple[NDArray[np.float64], float]:
    """The transform of exported positions: a rotation [3, 3] from the source's up axis to the file's, and the scale."""
    return _axes(up_axis).T @ _axes("y" if source is None else source.up_axis), scale


def _equal(faces: NDArray[np.int32], others: NDArray[np.int32]) -> bool:
    return faces.shape == others.shape and bool((faces == others).all())


def _moved_handles(tracks: HandleTracks, place: NDArray[np.float64]) -> HandleTracks:
    handles = tuple(
        replace(handle, keys={frame: place @ position for frame, position in handle.keys.items()})
        for handle in tracks.handles
    )
    return replace(tracks, handles=handles)
