"""Independent writers of the field's layouts, byte for byte as their documentation has them, for small test sets.

Nothing here uses the library. The shape is a closed ellipsoid that grows, bends and drifts, so that what is inside is
known exactly: see `Moving`.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RADII = np.array([0.3, 0.5, 0.2])


class Moving:
    """An ellipsoid of `rings` x `sectors`: vertices [T, V, 3], faces [F, 3]; grows along y and drifts along x."""

    def __init__(self, frames: int = 6, rings: int = 8, sectors: int = 12, seed: int = 0) -> None:
        self.frames = frames
        self.growth = 1.0 + 0.08 * np.arange(frames)
        self.drift = (0.05 + 0.01 * seed) * np.arange(frames)
        theta = np.pi * np.arange(1, rings) / rings
        phi = 2 * np.pi * np.arange(sectors) / sectors
        around = np.stack(
            [
                np.outer(np.sin(theta), np.cos(phi)),
                np.repeat(np.cos(theta)[:, None], sectors, 1),
                np.outer(np.sin(theta), np.sin(phi)),
            ],
            -1,
        ).reshape(-1, 3)
        unit = np.concatenate([around, [[0.0, 1.0, 0.0], [0.0, -1.0, 0.0]]])
        top, bottom = len(unit) - 2, len(unit) - 1
        faces = []
        for j in range(sectors):
            k = (j + 1) % sectors
            faces.append((top, k, j))
            for i in range(rings - 2):
                a, b, c, d = i * sectors + j, i * sectors + k, (i + 1) * sectors + j, (i + 1) * sectors + k
                faces += [(a, b, c), (b, d, c)]
            last = (rings - 2) * sectors
            faces.append((bottom, last + j, last + k))
        self.faces = np.array(faces, np.int32)
        self.vertices = self.at(unit)

    def at(self, unit: NDArray) -> NDArray[np.float32]:
        """Points of the unit ball [N, 3] in every frame [T, N, 3]."""
        scale = np.stack([np.ones(self.frames), self.growth, np.ones(self.frames)], 1) * RADII
        shift = np.stack([self.drift, np.zeros(self.frames), np.zeros(self.frames)], 1)
        return (unit[None] * scale[:, None] + shift[:, None]).astype(np.float32)

    def surface(self, count: int, random: np.random.Generator) -> NDArray[np.float32]:
        """Tracked points [T, N, 3] of the smooth surface."""
        unit = random.normal(size=(count, 3))
        return self.at(unit / np.linalg.norm(unit, axis=1, keepdims=True))

    def inside(self, points: NDArray, frame: int) -> NDArray[np.bool_]:
        scale = RADII * np.array([1.0, self.growth[frame], 1.0])
        return np.linalg.norm((points - [self.drift[frame], 0, 0]) / scale, axis=-1) < 1

    def volume(self) -> float:
        return float(4 / 3 * np.pi * np.prod(RADII))


def anime_bytes(moving: Moving) -> bytes:
    vertices = moving.vertices
    data = struct.pack("<3i", len(vertices), vertices.shape[1], len(moving.faces))
    for x, y, z in vertices[0]:
        data += struct.pack("<3f", x, y, z)
    for corners in moving.faces:
        data += struct.pack("<3i", *(int(corner) for corner in corners))
    for frame in vertices[1:]:
        for now, then in zip(frame, vertices[0], strict=True):
            data += struct.pack("<3f", *(now - then))
    return data


def write_anime(root: Path, name: str, moving: Moving, group: str = "animals") -> Path:
    folder = root / group / name
    folder.mkdir(parents=True)
    (folder / f"{name}.anime").write_bytes(anime_bytes(moving))
    return folder / f"{name}.anime"


def write_dfaust(path: Path, clips: dict[str, Moving]) -> Path:
    import h5py

    with h5py.File(path, "w") as file:
        file.create_dataset("faces", data=next(iter(clips.values())).faces.astype(np.uint32))
        for name, moving in clips.items():
            file.create_dataset(name, data=moving.vertices.transpose(1, 2, 0))
    return path


def write_oflow(
    folder: Path, moving: Moving, chunks: int = 0, count: int = 600, queries: int = 4000, seed: int = 0
) -> NDArray[np.float32]:
    """Returns the tracked points [T, N, 3] in world units. `chunks` cuts every frame, as CaDeX distributes it."""
    random = np.random.default_rng(seed)
    tracks = moving.surface(count, random)
    for name in ("pcl_seq", "points_seq"):
        (folder / name).mkdir(parents=True)
    for t, cloud in enumerate(tracks):
        low, high = moving.vertices[t].min(0), moving.vertices[t].max(0)
        loc, scale = ((low + high) / 2).astype(np.float32), np.float32((high - low).max())
        for k in range(max(chunks, 1)):
            stem = f"{t:08d}_{k}.npz" if chunks else f"{t:08d}.npz"
            part = cloud[k :: max(chunks, 1)]
            np.savez(folder / "pcl_seq" / stem, points=(part - loc) / scale, loc=loc, scale=scale)
            unit = (random.random((queries, 3)) - 0.5).astype(np.float16)
            padded = np.float32(scale / 0.9)
            labels = moving.inside(loc + padded * unit.astype(np.float64), t)
            bits = np.packbits(labels)
            np.savez(folder / "points_seq" / stem, points=unit, occupancies=bits, loc=loc, scale=padded)
    ordered = [tracks[:, k :: max(chunks, 1)] for k in range(max(chunks, 1))]
    return np.concatenate(ordered, axis=1)


def write_cadex(folder: Path, moving: Moving, chunks: int = 2, count: int = 300, queries: int = 1200) -> NDArray:
    random = np.random.default_rng(1)
    tracks = [moving.surface(count, random) for _ in range(chunks)]
    for name in ("corr", "c_occ"):
        (folder / name).mkdir(parents=True)
    for t in range(moving.frames):
        for k, part in enumerate(tracks):
            np.savez(folder / "corr" / f"{t}_{k}.npz", part[t])  # savez without a name: arr_0
            uniform = ((random.random((queries, 3)) - 0.5) * 1.5).astype(np.float32)
            near = (part[t][random.integers(count, size=queries)] + random.normal(0, 0.02, (queries, 3))).astype("f4")
            np.savez(
                folder / "c_occ" / f"{t}_{k}.npz",
                uni_xyz=uniform,
                nss_xyz=near,
                uni_occ=np.packbits(moving.inside(uniform, t)),
                nss_occ=np.packbits(moving.inside(near, t)),
            )
    return np.concatenate(tracks, axis=1)


def write_shape2motion(folder: Path, moving: Moving, count: int = 400, queries: int = 2000) -> NDArray:
    """Signed values, negative inside, as the layout's `occ < 0`; frames are numbered without padding."""
    random = np.random.default_rng(2)
    tracks = moving.surface(count, random)
    for name in ("pc", "corr", "implicit", "obs"):
        (folder / name).mkdir(parents=True)
    (folder / "meta.json").write_text(json.dumps({"frames": moving.frames}))
    for t in range(moving.frames):
        np.savez(folder / "corr" / f"{t}.npz", tracks[t])
        np.savez(folder / "pc" / f"{t}.npz", moving.surface(50, random)[t])
        values = {}
        for kind in ("uni", "nss"):
            places = ((random.random((queries, 3)) - 0.5) * 1.5).astype(np.float32)
            if kind == "nss":
                places = (tracks[t][np.arange(queries) % count] + 0.04 * places).astype(np.float32)
            values[f"{kind}_xyz"] = places
            values[f"{kind}_occ"] = np.where(moving.inside(places, t), -0.1, 0.1).astype(np.float32)
        np.savez(folder / "implicit" / f"{t}.npz", **values)
    return tracks


def obj_text(vertices: NDArray, faces: NDArray) -> str:
    lines = [f"v {x:.9g} {y:.9g} {z:.9g}" for x, y, z in vertices]
    return "\n".join([*lines, *(f"f {a + 1} {b + 1} {c + 1}" for a, b, c in faces)]) + "\n"


def ply_bytes(vertices: NDArray, faces: NDArray) -> bytes:
    head = (
        "ply\nformat binary_little_endian 1.0\n"
        f"element vertex {len(vertices)}\nproperty float x\nproperty float y\nproperty float z\n"
        f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    body = b"".join(struct.pack("<3f", *vertex) for vertex in vertices)
    return head.encode() + body + b"".join(struct.pack("<B3i", 3, *(int(c) for c in face)) for face in faces)


def write_meshes(folder: Path, moving: Moving, kind: str = "obj", first: int = 8) -> Path:
    """Frame numbers without padding that pass from one digit to two, so that plain sorting would be wrong."""
    folder.mkdir(parents=True)
    for t, vertices in enumerate(moving.vertices):
        path = folder / f"frame_{first + t}.{kind}"
        if kind == "obj":
            path.write_text(obj_text(vertices, moving.faces))
        else:
            path.write_bytes(ply_bytes(vertices, moving.faces))
    return folder


def usda_text(moving: Moving, fps: float = 30.0, step: float = 1.0, up: str = "Z", extra: str = "") -> str:
    """Time-sampled points under a parent that is moved by (1, 2, 3); polygons: the first two triangles are one quad."""

    def tuples(values: NDArray) -> str:
        return ", ".join("(" + ", ".join(f"{number:.9g}" for number in row) + ")" for row in values)

    samples = ",\n".join(f"{t * step:g}: [{tuples(frame)}]" for t, frame in enumerate(moving.vertices))
    counts = ", ".join(["3"] * len(moving.faces))
    indices = ", ".join(str(int(corner)) for corner in moving.faces.reshape(-1))
    return f"""#usda 1.0
(
    timeCodesPerSecond = {fps:g}
    upAxis = "{up}"
)
def Xform "root"
{{
    double3 xformOp:translate = (1, 2, 3)
    uniform token[] xformOpOrder = ["xformOp:translate"]
    def Mesh "mesh"
    {{
        int[] faceVertexCounts = [{counts}]
        int[] faceVertexIndices = [{indices}]
        point3f[] points.timeSamples = {{
{samples}
        }}
        {extra}
    }}
}}
"""
