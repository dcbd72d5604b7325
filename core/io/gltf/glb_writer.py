"""Writes a GLB: frame 0 is the mesh, every later frame a morph target, and one target is fully on in each frame.

glTF has Y up, metres, seconds, and UVs with their origin at the top left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import ExportError
from core.io.export_clip import ExportClip
from core.io.gltf.buffer import MAX_BYTES, TOO_LONG, Buffer, write_container
from core.io.gltf.material_writer import MaterialWriter
from core.io.mesh.seams import split_by_uv
from core.io.shading import clip_normals
from core.io.tangents import TangentSpace

# Importers append vertices primitive by primitive. Where that changes the file's order, this attribute holds each
# vertex's place in it, as a float, since custom attributes must not be 32-bit integers.
ORDER_ATTRIBUTE = "_VERTEX"
ASSET = {"version": "2.0", "generator": "m2v studio"}


@dataclass(frozen=True)
class Primitive:
    """The faces [F, 3] of one part on the vertices `start` to `stop`, numbered from `start`."""

    faces: NDArray[np.int64]
    start: int
    stop: int
    part: int


@dataclass(frozen=True)
class Layout:
    """The primitives, and `origin` [W'], the file vertex of each glTF vertex.

    `in_order` is true if appending primitive by primitive restores the file's vertex order.
    """

    clip: ExportClip
    primitives: tuple[Primitive, ...]
    origin: NDArray[np.int64]
    in_order: bool


def arrange(clip: ExportClip) -> Layout:
    """Assign vertices to primitives.

    If each part's vertices are consecutive, every part gets its own accessors; if parts share or interleave vertices,
    all use the same accessors over the whole file. A vertex with several UVs gets copies, after the file's own
    vertices. A vertex without a face gets a face without area (see `loose_vertices`).
    """
    clip, origin = _one_uv_per_vertex(clip)
    count = len(origin)
    used = [np.unique(part.faces) for part in clip.parts]
    order = sorted(range(len(used)), key=lambda index: int(used[index][0]))
    ends = [int(used[index][-1]) for index in order]
    starts = [0, *(int(used[index][0]) for index in order[1:])]
    in_runs = all(end < start for end, start in zip(ends, starts[1:], strict=False))
    loose = clip.loose_vertices()
    primitives = []
    for place, index in enumerate(order):
        start, stop = (starts[place], [*starts[1:], count][place]) if in_runs else (0, count)
        here = loose[(loose >= start) & (loose < stop)] if in_runs or place == 0 else loose[:0]
        faces = np.concatenate([clip.parts[index].faces.astype(np.int64), np.repeat(here[:, None], 3, axis=1)])
        primitives.append(Primitive(faces - start, start, stop, index))
    return Layout(clip, tuple(primitives), origin, in_runs and np.array_equal(origin, np.arange(count)))


def _one_uv_per_vertex(clip: ExportClip) -> tuple[ExportClip, NDArray[np.int64]]:
    """The clip with copies, at the end, of vertices with several UVs; and the file vertex of every vertex."""
    if clip.uv is None:
        return clip, np.arange(len(clip.weld))
    uv, parts, origin = split_by_uv(clip.uv, clip.parts)
    if len(origin) == len(clip.weld):
        return replace(clip, parts=parts), origin
    chosen = lambda values: None if values is None else values[origin]  # noqa: E731
    split = replace(
        clip, frames=clip.frames.of(origin), parts=parts, weld=clip.weld[origin], uv=uv, uv1=chosen(clip.uv1),
        colors=chosen(clip.colors),
    )  # fmt: skip
    return split, origin


def write_glb(clip: ExportClip, path: Path) -> None:
    """Write the clip. Raises ExportError for another up axis than glTF's and for files above 4 GB."""
    if clip.up_axis != "y":
        raise ExportError(f"A GLB file always has Y up, not {clip.up_axis}; choose y or another format.")
    if 2 * clip.frames.nbytes > MAX_BYTES:
        raise ExportError(TOO_LONG)
    layout = arrange(clip)
    buffer = Buffer(path.parent)
    document: dict[str, Any] = {
        "asset": ASSET,
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [_node(clip)],
        "meshes": [{"name": clip.name, "primitives": primitives(layout, buffer)}],
    }
    later = len(clip.frames) - 1
    if later:
        document["meshes"][0]["weights"] = [0.0] * later
        document["meshes"][0]["extras"] = {"targetNames": [f"frame_{t:04d}" for t in range(1, later + 1)]}
        document["animations"] = [_animation(clip, buffer)]
    MaterialWriter(document, clip, buffer.view).write()
    write_container(path, document, buffer)


def _node(clip: ExportClip) -> dict[str, Any]:
    """The mesh's node; an origin far from 0 becomes its translation, which JSON stores in double precision."""
    node: dict[str, Any] = {"name": clip.name, "mesh": 0}
    return node | {"translation": list(clip.origin)} if any(clip.origin) else node


def primitives(
    layout: Layout, buffer: Buffer, more: Callable[[NDArray[np.int64]], dict[str, int]] | None = None
) -> list[dict[str, Any]]:
    """The mesh's primitives with their vertex attributes and morph targets; those on equal vertices share accessors.

    `more` returns further attributes of file vertices [n].
    """
    clip = layout.clip
    shared: dict[tuple[int, int], tuple[dict[str, int], list[dict[str, int]]]] = {}
    entries = []
    moving = zip(clip.frames, clip_normals(clip), strict=True)
    rest, shading = next(moving)
    space = TangentSpace(clip)
    tangents = space.at(rest, shading) if space.used else None
    for primitive in layout.primitives:
        run = (primitive.start, primitive.stop)
        if run not in shared:
            rows = slice(*run)
            attributes = {
                "POSITION": buffer.vertices(rest[rows], limits=True),
                "NORMAL": buffer.vertices(shading[rows]),
            }
            if tangents is not None:
                attributes["TANGENT"] = buffer.vertices(tangents[rows])
            if clip.uv is not None:
                attributes["TEXCOORD_0"] = buffer.vertices(np.column_stack([clip.uv[rows, 0], 1 - clip.uv[rows, 1]]))
            if clip.uv1 is not None:
                attributes["TEXCOORD_1"] = buffer.vertices(np.column_stack([clip.uv1[rows, 0], 1 - clip.uv1[rows, 1]]))
            if clip.colors is not None:
                attributes["COLOR_0"] = buffer.vertices(clip.colors[rows])
            if not layout.in_order:
                attributes[ORDER_ATTRIBUTE] = buffer.vertices(layout.origin[rows])
            if more is not None:
                attributes |= more(layout.origin[rows])
            shared[run] = (attributes, [])
    for positions, normals in moving:
        offset = (positions.astype(np.float64) - rest).astype(np.float32)
        swung = None if tangents is None else (space.at(positions, normals) - tangents)[:, :3]
        for (start, stop), (_, targets) in shared.items():
            moved, turned = offset[start:stop], normals[start:stop] - shading[start:stop]
            target = {"POSITION": buffer.vertices(moved, limits=True), "NORMAL": buffer.vertices(turned)}
            targets.append(target if swung is None else target | {"TANGENT": buffer.vertices(swung[start:stop])})
    for primitive in layout.primitives:
        attributes, targets = shared[primitive.start, primitive.stop]
        part = clip.parts[primitive.part]
        entry: dict[str, Any] = {"attributes": attributes, "indices": buffer.indices(primitive.faces)}
        if (material := clip.material_index(part)) is not None:
            entry["material"] = material
        if targets:
            entry["targets"] = targets
        entries.append(entry | {"extras": {"name": part.name}})
    return entries


def _animation(clip: ExportClip, buffer: Buffer) -> dict[str, Any]:
    """Weights over time: each frame has one target fully on; in between, neighbouring frames blend."""
    count = len(clip.frames)
    sampler = {
        "input": buffer.numbers((np.arange(count) / clip.fps).astype(np.float32), limits=True),
        "output": buffer.numbers(np.eye(count, count - 1, k=-1, dtype=np.float32).ravel()),
        "interpolation": "LINEAR",
    }
    channel = {"sampler": 0, "target": {"node": 0, "path": "weights"}}
    return {"name": clip.name, "samplers": [sampler], "channels": [channel]}
