"""A small GLB writer for tests, independent of the library: packs arrays and hand-written glTF JSON."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

_CODES = {"i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125, "f4": 5126}
_KINDS = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}


class GlbWriter:
    """Collects accessors; `json` holds the other top-level lists as plain dictionaries."""

    def __init__(self) -> None:
        self.binary = bytearray()
        self.json: dict[str, Any] = {
            "asset": {"version": "2.0"},
            "accessors": [],
            "bufferViews": [],
            "scene": 0,
            "scenes": [{"nodes": [0]}],
        }

    def view(self, data: bytes) -> int:
        self.binary += b"\0" * (-len(self.binary) % 4)
        self.json["bufferViews"].append({"buffer": 0, "byteOffset": len(self.binary), "byteLength": len(data)})
        self.binary += data
        return len(self.json["bufferViews"]) - 1

    def accessor(self, values: Any, dtype: str = "f4", normalized: bool = False) -> int:
        array = np.asarray(values, dtype="<" + dtype)
        array = array.reshape(len(array), -1)
        info = {
            "bufferView": self.view(array.tobytes()),
            "componentType": _CODES[dtype],
            "count": len(array),
            "type": _KINDS[array.shape[1]],
        }
        if normalized:
            info["normalized"] = True
        self.json["accessors"].append(info)
        return len(self.json["accessors"]) - 1

    def textured(self, attributes: dict[str, Any], faces: Any, picture: bytes, material: dict[str, Any]) -> None:
        """One mesh in one node; `attributes` are arrays by name, texture 0 is the PNG `picture`."""
        primitive = {"attributes": {name: self.accessor(values) for name, values in attributes.items()}}
        self.json |= {
            "meshes": [{"primitives": [primitive | {"indices": self.accessor(np.ravel(faces), "u2"), "material": 0}]}],
            "nodes": [{"mesh": 0}],
            "images": [{"bufferView": self.view(picture), "mimeType": "image/png"}],
            "textures": [{"source": 0}],
            "materials": [material],
        }

    def document(self, uri: str | None = None) -> dict[str, Any]:
        buffer: dict[str, Any] = {"byteLength": len(self.binary)}
        if uri is not None:
            buffer["uri"] = uri
        return {**self.json, "buffers": [buffer, *self.json.get("buffers", ())]}

    def bytes(self) -> bytes:
        text = json.dumps(self.document()).encode()
        text += b" " * (-len(text) % 4)
        binary = bytes(self.binary) + b"\0" * (-len(self.binary) % 4)
        chunks = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(binary), 0x004E4942) + binary
        return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks

    def save(self, path: Path) -> Path:
        path.write_bytes(self.bytes())
        return path


def box(low: tuple[float, float, float], high: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """A box with 24 vertices, split at its edges as exporters do, and 12 outward triangles."""
    vertices, faces = [], []
    for axis in range(3):
        for side in (0, 1):
            u, v = (axis + 1) % 3, (axis + 2) % 3
            start = len(vertices)
            for a, b in ((0, 0), (1, 0), (1, 1), (0, 1)):
                corner = [0.0, 0.0, 0.0]
                corner[axis], corner[u], corner[v] = (low, high)[side][axis], (low, high)[a][u], (low, high)[b][v]
                vertices.append(corner)
            quad = [(0, 1, 2), (0, 2, 3)] if side else [(0, 2, 1), (0, 3, 2)]
            faces += [tuple(start + i for i in f) for f in quad]
    return np.array(vertices, dtype=np.float32), np.array(faces, dtype=np.uint16)


def arm(clips: int = 1, duration: float = 2.0) -> GlbWriter:
    """A box from y = 0 to 2 on two joints (at y = 0 and y = 1); clip i turns the upper one by 90 + 10 i degrees about Z
    and back, linearly in angle. The skinned node has a transform of its own, which glTF says to ignore."""
    writer = GlbWriter()
    low, low_faces = box((-0.2, 0, -0.2), (0.2, 1, 0.2))
    high, high_faces = box((-0.2, 1, -0.2), (0.2, 2, 0.2))
    positions = np.concatenate([low, high])
    upper = (positions[:, 1] > 1.5)[:, None]  # the middle ring belongs to the lower joint
    joints = np.where(upper, [1, 0, 0, 0], [0, 0, 0, 0])
    inverse = np.stack([np.eye(4), np.eye(4)])
    inverse[1, 1, 3] = -1.0
    primitive = {
        "attributes": {
            "POSITION": writer.accessor(positions),
            "JOINTS_0": writer.accessor(joints, "u1"),
            "WEIGHTS_0": writer.accessor(np.tile([0.5, 0, 0, 0], (len(positions), 1))),  # sums to 0.5: not normalised
            "TEXCOORD_0": writer.accessor(np.tile([0.25, 0.0], (len(positions), 1))),
        },
        "indices": writer.accessor(np.concatenate([low_faces, high_faces + len(low)]).reshape(-1), "u2"),
        "material": 0,
    }
    writer.json["materials"] = [{"name": "red", "pbrMetallicRoughness": {"baseColorFactor": [1, 0, 0, 1]}}]
    writer.json["meshes"] = [{"primitives": [primitive]}]
    writer.json["skins"] = [
        {"joints": [1, 2], "inverseBindMatrices": writer.accessor(inverse.transpose(0, 2, 1).reshape(2, 16))}
    ]
    writer.json["nodes"] = [
        {"name": "arm", "mesh": 0, "skin": 0, "translation": [100, 0, 0]},
        {"name": "root", "children": [2]},
        {"name": "elbow", "translation": [0, 1, 0]},
    ]
    writer.json["scenes"] = [{"nodes": [0, 1]}]
    writer.json["animations"] = []
    times = writer.accessor([0.0, duration / 2, duration])
    for number in range(clips):
        half = np.radians(90 + 10 * number) / 2
        bent = [0, 0, np.sin(half), np.cos(half)]
        sampler = {"input": times, "output": writer.accessor([[0, 0, 0, 1], bent, [0, 0, 0, 1]])}
        channel = {"sampler": 0, "target": {"node": 2, "path": "rotation"}}
        writer.json["animations"].append({"name": f"bend{number}", "samplers": [sampler], "channels": [channel]})
    return writer


def breathing_box() -> GlbWriter:
    """A unit box under a moved node; its one morph target lifts the top by 1, its clip blows the weight from 0 to 1."""
    writer = GlbWriter()
    positions, faces = box((0, 0, 0), (1, 1, 1))
    lift = np.where(positions[:, 1:2] > 0.5, [0.0, 1.0, 0.0], 0.0)
    primitive = {
        "attributes": {"POSITION": writer.accessor(positions)},
        "indices": writer.accessor(faces.reshape(-1), "u2"),
        "targets": [{"POSITION": writer.accessor(lift)}],
    }
    writer.json["meshes"] = [{"primitives": [primitive], "weights": [0.0]}]
    writer.json["nodes"] = [{"mesh": 0, "translation": [0, 3, 0]}]
    sampler = {"input": writer.accessor([0.0, 1.0]), "output": writer.accessor([0.0, 1.0])}
    channel = {"sampler": 0, "target": {"node": 0, "path": "weights"}}
    writer.json["animations"] = [{"name": "breathe", "samplers": [sampler], "channels": [channel]}]
    return writer
