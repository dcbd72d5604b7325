"""OBJ and PLY: one file per frame, with the same vertices in the same order in each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.io.export_clip import ExportClip, unique_names
from core.io.materials import write_mtl

# What a folder of frames may hold to be recognised as an earlier export.
FRAME_FILES = r"frame_\d{4,}\.(obj|ply)|materials\.mtl|materials_texture\d+\.\w+"


def write_obj_sequence(clip: ExportClip, folder: Path) -> None:
    """`frame_0000.obj` ... with one shared `materials.mtl` and its textures."""
    folder.mkdir()
    mtl = write_mtl(clip, folder, "materials")
    tail = _obj_tail(clip)
    for t, points in enumerate(clip.frames):
        _write_obj_frame(folder / f"frame_{t:04d}.obj", clip.name, mtl, points, tail)


def write_obj(clip: ExportClip, folder: Path, prefix: str) -> str:
    """Frame 0 alone as `PREFIX.obj` with its MTL and textures; returns the file's name."""
    mtl = write_mtl(clip, folder, prefix)
    _write_obj_frame(folder / f"{prefix}.obj", clip.name, mtl, clip.frames[0], _obj_tail(clip))
    return f"{prefix}.obj"


def write_ply_sequence(clip: ExportClip, folder: Path) -> None:
    """`frame_0000.ply` ..., binary little-endian; `s` and `t` hold the UVs. PLY knows no materials.

    A vertex has one UV there, so at OBJ seams it is that of one of its corners.
    """
    folder.mkdir()
    faces = np.empty(len(clip.faces), dtype=[("count", "u1"), ("corners", "<i4", 3)])
    faces["count"], faces["corners"] = 3, clip.faces
    face_bytes = faces.tobytes()
    columns = ["x", "y", "z"] + (["s", "t"] if clip.uv is not None else [])
    header = "\n".join(
        [
            "ply",
            "format binary_little_endian 1.0",
            f"element vertex {len(clip.weld)}",
            *(f"property float {column}" for column in columns),
            f"element face {len(faces)}",
            "property list uchar int vertex_indices",
            "end_header\n",
        ]
    ).encode()
    for t, points in enumerate(clip.frames):
        rows = points if clip.uv is None else np.column_stack([points, clip.uv])
        (folder / f"frame_{t:04d}.ply").write_bytes(header + rows.astype("<f4").tobytes() + face_bytes)


def _write_obj_frame(path: Path, name: str, mtl: str | None, points: NDArray[np.float32], tail: str) -> None:
    # Nine digits give every float32 back exactly.
    head = f"mtllib {mtl}\no {name}\n" if mtl else f"o {name}\n"
    lines = ("v %.9g %.9g %.9g\n" * len(points)) % tuple(points.ravel().tolist())
    path.write_text(head + lines + tail, encoding="utf-8", newline="\n")


def _obj_tail(clip: ExportClip) -> str:
    """Everything after the positions: UVs and the faces by part; the same in every frame."""
    chunks: list[str] = []
    coordinates, by_corner = _texture_coordinates(clip)
    if coordinates is not None:
        chunks.append(("vt %.9g %.9g\n" * len(coordinates)) % tuple(coordinates.ravel().tolist()))
    chunks.append("s 1\n")
    names = clip.material_names()
    plain = f"usemtl {_free_name(names)}\n" if names else ""  # not in the MTL file: the reader's own default
    first = 0
    for group, part in zip(unique_names(part.name for part in clip.parts), clip.parts, strict=True):
        index = clip.material_index(part)
        chunks.append(f"g {group}\n")
        chunks.append(plain if index is None else f"usemtl {names[index]}\n")
        corners = part.faces.astype(np.int64) + 1
        if coordinates is None:
            chunks.append(("f %d %d %d\n" * len(corners)) % tuple(corners.ravel().tolist()))
        else:
            pairs = np.stack([corners, by_corner[first : first + len(corners)] + 1], -1)
            chunks.append(("f %d/%d %d/%d %d/%d\n" * len(corners)) % tuple(pairs.ravel().tolist()))
        first += len(corners)
    chunks += [f"f {number} {number} {number}\n" for number in clip.loose_vertices() + 1]
    return "".join(chunks)


def _texture_coordinates(clip: ExportClip) -> tuple[NDArray[np.float32] | None, NDArray[np.int64]]:
    """The `vt` rows, and for each corner [F, 3] the row that it uses."""
    by_corner = clip.corner_uv()
    if clip.uv is None or by_corner is None:
        return clip.uv, clip.faces.astype(np.int64)
    rows, places = np.unique(by_corner.reshape(-1, 2), axis=0, return_inverse=True)
    return rows, places.reshape(-1, 3)


def _free_name(names: list[str]) -> str:
    name = "default"
    while name in names:
        name += "_"
    return name
