"""Reads one glTF primitive: triangles, skin weights, morph targets, texture coordinates, colours and material."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import MeshError
from core.io.gltf.extensions import DRACO, draco_primitive
from core.io.gltf.file import GltfFile, Json
from core.io.gltf.material_reader import Lie, Look
from core.quaternions import Floats
from core.sequence import Material

_TRIANGLES, _STRIP, _FAN = 4, 5, 6
MAX_MORPHS = 4096
LINES_NOTE = "Points and lines are left out; only surfaces are read."


@dataclass(eq=False)
class PrimitiveData:
    """One primitive: `positions` [n, 3] in the mesh's own space, `triangles` [f, 3], `joints` and `weights` [n, K],
    `uv` and `uv1` [n, 2] with their origin at the bottom left, `colors` [n, 4] from 0 to 1.
    """

    name: str
    positions: Floats
    triangles: NDArray[np.int64]
    joints: NDArray[np.int64] | None
    weights: Floats
    uv: Floats | None
    uv1: Floats | None
    colors: Floats | None
    morphs: tuple[Floats, ...]
    material: Material | None
    left_out: frozenset[str] = frozenset()  # names of attributes that are not kept


def read_primitive(file: GltfFile, info: Json, name: str, look: Look | None, notes: list[str]) -> PrimitiveData | None:
    """Read one primitive; points and lines are None, with a note. Raises MeshError where it is damaged."""
    mode = info.get("mode", _TRIANGLES)
    if mode not in (_TRIANGLES, _STRIP, _FAN):
        if LINES_NOTE not in notes:
            notes.append(LINES_NOTE)
        return None
    data = _Attributes(file, info)
    if not data.has("POSITION"):
        notes.append(f"{name[:80]} has no positions, so it is left out.")
        return None
    positions = data.columns("POSITION", 3).astype(np.float64)
    count = data.count = len(positions)
    if not np.isfinite(positions).all():
        raise MeshError(f"{file.path.name} has vertices that are not finite numbers; repair it in a modelling tool.")
    corners = data.corners()
    if len(corners) and (corners.min() < 0 or corners.max() >= count):
        raise file.damaged(f"{name[:80]} has faces that refer to vertices beyond its {count}")
    triangles = _triangles(corners, mode)
    if not len(triangles):
        return None
    joints, weights = _skin_weights(data)
    targets = info.get("targets") or []
    if len(targets) > MAX_MORPHS:
        raise file.damaged(f"{name[:80]} has {len(targets)} morph targets")
    none = np.zeros((count, 3))
    morphs = [_columns(file, t["POSITION"], 3, count) if t.get("POSITION") is not None else none for t in targets]
    lies = look.lies if look is not None and look.lies else (Lie(),)
    uv, uv1 = (_texture_coordinates(data, lie) for lie in (*lies, None, None)[:2])
    material = None if look is None else look.material
    left = data.left_out({f"TEXCOORD_{lie.channel}" for lie in lies[:2]})
    return PrimitiveData(
        name, positions, triangles, joints, weights, uv, uv1, _colors(data), tuple(morphs), material, left
    )


def attributes_note(primitives: list[PrimitiveData]) -> list[str]:
    """A note naming the vertex attributes that are not kept."""
    left = sorted(frozenset[str]().union(*(primitive.left_out for primitive in primitives)))
    more = f" and {len(left) - 5} more" if len(left) > 5 else ""
    return [f"Vertex attributes that are not used here are left out: {', '.join(left[:5])}{more}."] if left else []


class _Attributes:
    """The vertex attributes of a primitive, compressed or not."""

    def __init__(self, file: GltfFile, info: Json) -> None:
        self.file, self.info = file, info
        self.count: int | None = None
        self._listed: Json = info["attributes"]
        self._decoded: dict[str, NDArray] = {}
        self._corners: NDArray[np.int64] | None = None
        packed = (info.get("extensions") or {}).get(DRACO)
        if packed:
            content = bytes(file.view(packed["bufferView"])[0])
            self._corners, self._decoded = draco_primitive(content, packed["attributes"], file.path.name)

    def has(self, name: str) -> bool:
        return name in self._decoded or self._listed.get(name) is not None

    def left_out(self, used: set[str]) -> frozenset[str]:
        """Names of attributes that are not kept; normals and tangents are computed anyway."""
        used = used | {"POSITION", "NORMAL", "TANGENT", "COLOR_0"}
        listed = {str(name)[:40] for name in self._listed if name not in used}
        return frozenset(name for name in listed if not name.startswith(("JOINTS_", "WEIGHTS_")))

    def columns(self, name: str, *widths: int) -> NDArray:
        """Values [n, width] of an attribute, with one of the `widths`. Raises MeshError if they do not fit."""
        if name in self._decoded:
            values = self._decoded[name]
            about = self.file.item("accessors", self._listed[name]) if self._listed.get(name) is not None else {}
            if values.dtype.kind in "iu" and about.get("normalized"):
                values = np.maximum(values / float(np.iinfo(values.dtype).max), -1.0)
        else:
            values = self.file.accessor(self._listed[name])
        if values.shape[1] not in widths or (self.count is not None and len(values) != self.count):
            raise self.file.damaged(f"{name} has shape {values.shape}, which does not fit its use")
        return values

    def corners(self) -> NDArray[np.int64]:
        if self._corners is not None:
            return self._corners
        listed = self.info.get("indices")
        if listed is None:
            return np.arange(self.count or 0)
        return self.file.accessor(listed)[:, 0].astype(np.int64)


def _texture_coordinates(data: _Attributes, lie: Lie | None) -> Floats | None:
    """Texture coordinates [n, 2] with the placement applied and origin at the bottom left; None without any."""
    if lie is None or not data.has(f"TEXCOORD_{lie.channel}"):
        return None
    uv = np.asarray(data.columns(f"TEXCOORD_{lie.channel}", 2), dtype=np.float64)
    if not np.isfinite(uv).all():
        raise data.file.damaged("a texture coordinate is not a finite number")
    if lie != Lie(lie.channel):
        uv = lie.apply(uv)
    return uv * [1.0, -1.0] + [0.0, 1.0]  # glTF's origin is at the top left


def _colors(data: _Attributes) -> Floats | None:
    if not data.has("COLOR_0"):
        return None
    values = np.asarray(data.columns("COLOR_0", 3, 4), dtype=np.float64)
    return values if values.shape[1] == 4 else np.column_stack([values, np.ones(len(values))])


def _triangles(corners: NDArray[np.int64], mode: int) -> NDArray[np.int64]:
    if mode == _TRIANGLES:
        return corners[: len(corners) // 3 * 3].reshape(-1, 3)
    if len(corners) < 3:
        return np.zeros((0, 3), dtype=np.int64)
    a, b, c = corners[:-2], corners[1:-1], corners[2:]
    if mode == _FAN:
        return np.stack([np.full_like(b, corners[0])[: len(b)], b, c], -1)
    odd = np.arange(len(a)) % 2 == 1  # every second triangle of a strip is wound the other way
    return np.stack([a, np.where(odd, c, b), np.where(odd, b, c)], -1)


def _skin_weights(data: _Attributes) -> tuple[NDArray[np.int64] | None, Floats]:
    """Joints [n, K] (None without a skin) and weights [n, K], scaled to sum to 1."""
    sets = 0
    while data.has(f"JOINTS_{sets}") and data.has(f"WEIGHTS_{sets}"):
        sets += 1
    if not sets:
        return None, np.ones((data.count or 0, 1))
    joints = np.concatenate([data.columns(f"JOINTS_{s}", 4) for s in range(sets)], 1)
    weights = np.concatenate([data.columns(f"WEIGHTS_{s}", 4) for s in range(sets)], 1)
    weights = np.where(np.isfinite(weights), weights, 0.0).clip(0.0, None).astype(np.float64)
    total = weights.sum(1, keepdims=True)
    weights = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    weights[total[:, 0] <= 0, 0] = 1.0  # a vertex without weights follows its first joint
    return joints.astype(np.int64), weights


def _columns(file: GltfFile, index: Any, width: int, count: int | None = None) -> NDArray:
    values = file.accessor(index)
    if values.shape[1] != width or (count is not None and len(values) != count):
        raise file.damaged(f"accessors[{index}] has shape {values.shape}, which does not fit its use")
    return values
