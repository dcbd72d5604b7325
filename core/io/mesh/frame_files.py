"""Writes OBJ and PLY sequences: one file per frame, all with the same vertices in the same order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.io.export_clip import ExportClip, unique_names
from core.io.materials import PLAIN_IMAGES, write_mtl, write_textures

# Names of the files of an earlier export.
FRAME_FILES = r"frame_\d{4,}\.(obj|ply)|materials\.mtl|materials_texture\d+\.\w+"


def write_obj_sequence(clip: ExportClip, folder: Path) -> None:
    """Write `frame_0000.obj` ... with one shared `materials.mtl` and its textures."""
    folder.mkdir()
    mtl = write_mtl(clip, folder, "materials")
    tail = _obj_tail(clip)
    for t, points in enumerate(clip.frames):
        _write_obj_frame(folder / f"frame_{t:04d}.obj", clip, mtl, points, tail)


def write_obj(clip: ExportClip, folder: Path, prefix: str) -> str:
    """Write frame 0 as `PREFIX.obj`, the base of a point cache, with its MTL and textures; returns the file's name.

    Positions are relative to the clip's origin, as in the cache, which is in single precision.
    """
    mtl = write_mtl(clip, folder, prefix)
    near = replace(clip, origin=(0.0, 0.0, 0.0))
    _write_obj_frame(folder / f"{prefix}.obj", near, mtl, clip.frames[0], _obj_tail(clip))
    return f"{prefix}.obj"


def write_ply_sequence(clip: ExportClip, folder: Path) -> None:
    """Write `frame_0000.ply` ..., binary little-endian, with UVs (`s`, `t`), colours and the first colour image.

    A vertex has one UV; if OBJ seams need more, faces hold them (`texcoord`, as in MeshLab). Positions far from 0 are
    doubles.
    """
    folder.mkdir()
    images = write_textures(clip, folder, "materials", ("base_color_texture",), PLAIN_IMAGES)
    image = next((files["base_color_texture"] for files in images if files), None)
    by_corner = clip.corner_uv()
    kinds: list[tuple] = [("count", "u1"), ("corners", "<i4", 3)]
    if by_corner is not None:
        kinds += [("numbers", "u1"), ("uv", "<f4", 6)]
    faces = np.zeros(len(clip.faces), dtype=kinds)
    faces["count"], faces["corners"] = 3, clip.faces
    if by_corner is not None:
        faces["numbers"], faces["uv"] = 6, by_corner.reshape(-1, 6)
    face_bytes = faces.tobytes()
    real = ("double", "<f8") if any(clip.origin) else ("float", "<f4")
    columns = [(axis, *real) for axis in "xyz"]
    if clip.uv is not None:
        columns += [("s", "float", "<f4"), ("t", "float", "<f4")]
    if clip.colors is not None:
        columns += [(name, "uchar", "u1") for name in ("red", "green", "blue", "alpha")]
    rows = np.zeros(len(clip.weld), dtype=[(name, kind) for name, _, kind in columns])
    if clip.uv is not None:
        rows["s"], rows["t"] = clip.uv.T
    if clip.colors is not None:
        for name, values in zip(("red", "green", "blue", "alpha"), clip.colors.T, strict=True):
            rows[name] = np.round(values * 255)
    header = "\n".join(
        [
            "ply",
            "format binary_little_endian 1.0",
            *([f"comment TextureFile {image}"] if image else []),
            f"element vertex {len(clip.weld)}",
            *(f"property {word} {name}" for name, word, _ in columns),
            f"element face {len(faces)}",
            "property list uchar int vertex_indices",
            *(["property list uchar float texcoord"] if by_corner is not None else []),
            "end_header\n",
        ]
    ).encode()
    for t, points in enumerate(clip.frames):
        for axis, values in zip("xyz", (points + np.array(clip.origin, real[1])).T, strict=True):
            rows[axis] = values
        (folder / f"frame_{t:04d}.ply").write_bytes(header + rows.tobytes() + face_bytes)


def _write_obj_frame(path: Path, clip: ExportClip, mtl: str | None, points: NDArray[np.float32], tail: str) -> None:
    head = f"mtllib {mtl}\no {clip.name}\n" if mtl else f"o {clip.name}\n"
    # Nine digits restore every float32 exactly; origins far from 0 need more.
    number = "%.12g" if any(clip.origin) else "%.9g"
    rows: NDArray = points + np.array(clip.origin) if any(clip.origin) else points
    form = f"v {number} {number} {number}"
    if clip.colors is not None:
        rows, form = np.column_stack([rows, clip.colors[:, :3]]), f"{form} %.6g %.6g %.6g"
    lines = (f"{form}\n" * len(rows)) % tuple(rows.ravel().tolist())
    path.write_text(head + lines + tail, encoding="utf-8", newline="\n")


def _obj_tail(clip: ExportClip) -> str:
    """The text after the positions, UVs and faces by part; the same in every frame."""
    chunks: list[str] = []
    coordinates, by_corner = _texture_coordinates(clip)
    if coordinates is not None:
        chunks.append(("vt %.9g %.9g\n" * len(coordinates)) % tuple(coordinates.ravel().tolist()))
    chunks.append("s 1\n")
    names = clip.material_names()
    plain = f"usemtl {_free_name(names)}\n" if names else ""  # a name that the MTL lacks gives the reader's default
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
