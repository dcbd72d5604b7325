"""One glTF primitive as arrays: triangles, skin weights, morph targets, UVs and its material."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import MeshError
from core.io.gltf.animation import Floats
from core.io.gltf.file import DAMAGE, GltfFile, Json
from core.sequence import Material

_TRIANGLES, _STRIP, _FAN = 4, 5, 6
MAX_MORPHS = 4096


@dataclass(eq=False)
class PrimitiveData:
    """`positions` [n, 3] in the mesh's own space, `triangles` [f, 3], `joints` and `weights` [n, K], `uv` [n, 2]."""

    name: str
    positions: Floats
    triangles: NDArray[np.int64]
    joints: NDArray[np.int64] | None
    weights: Floats
    uv: Floats | None
    morphs: tuple[Floats, ...]
    material: Material | None


def read_primitive(file: GltfFile, info: Json, name: str, notes: list[str]) -> PrimitiveData | None:
    """Read one primitive; None (with a note) for points and lines. Raises MeshError when damaged."""
    mode = info.get("mode", _TRIANGLES)
    if mode not in (_TRIANGLES, _STRIP, _FAN):
        notes.append(f"{name} consists of points or lines and was left out.")
        return None
    attributes = info["attributes"]
    if attributes.get("POSITION") is None:
        notes.append(f"{name} has no positions and was left out.")
        return None
    positions = _columns(file, attributes["POSITION"], 3).astype(np.float64)
    count = len(positions)
    if not np.isfinite(positions).all():
        raise MeshError(f"{file.path.name} has vertices that are not finite numbers; repair it in a modelling tool.")
    listed = info.get("indices")
    corners = np.arange(count) if listed is None else file.accessor(listed)[:, 0].astype(np.int64)
    if len(corners) and (corners.min() < 0 or corners.max() >= count):
        raise file.damaged(f"{name} has faces that name vertices beyond its {count}")
    triangles = _triangles(corners, mode)
    if not len(triangles):
        return None
    joints, weights = _skin_weights(file, attributes, count)
    targets = info.get("targets") or []
    if len(targets) > MAX_MORPHS:
        raise file.damaged(f"{name} has {len(targets)} morph targets")
    none = np.zeros((count, 3))
    morphs = [_columns(file, t["POSITION"], 3, count) if t.get("POSITION") is not None else none for t in targets]
    look = file.item("materials", info["material"]) if info.get("material") is not None else None
    channel = _base_texture(look).get("texCoord", 0) if look else 0
    key = f"TEXCOORD_{channel}" if attributes.get(f"TEXCOORD_{channel}") is not None else "TEXCOORD_0"
    uv = None
    if attributes.get(key) is not None:
        uv = _columns(file, attributes[key], 2, count) * [1.0, -1.0] + [0.0, 1.0]  # glTF's origin is at the top left
    material = read_material(file, look, notes) if look else None
    return PrimitiveData(name, positions, triangles, joints, weights, uv, tuple(morphs), material)


def weld_positions(points: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Merge vertices [W, 3] at one position (within 1e-6 of the size).

    Returns `first` [V], the first file vertex of each welded vertex in file order, and `file_to_vertex` [W].
    """
    low, size = points.min(0).astype(np.float64), float(np.ptp(points, axis=0).max())
    # Half a cell of offset keeps coordinates that lie on the box from falling on a cell border.
    cells = np.floor((points - low) / (size * 1e-6 or 1.0) + 0.5).astype(np.int64)
    key = (cells[:, 0] << 42) | (cells[:, 1] << 21) | cells[:, 2]  # at most 1e6 cells a side: 20 bits each
    _, first, group = np.unique(key, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")  # keep the file's order
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order], rank[group.reshape(-1)].astype(np.int32)


def read_material(file: GltfFile, info: Json, notes: list[str]) -> Material:
    """glTF metallic-roughness material; a texture that cannot be read is left out with a note."""
    look = info.get("pbrMetallicRoughness") or {}
    emissive = [float(v) for v in info.get("emissiveFactor") or (0.0, 0.0, 0.0)]
    color = [float(v) for v in look.get("baseColorFactor") or (1.0, 1.0, 1.0, 1.0)]
    if len(color) != 4 or len(emissive) != 3:
        raise file.damaged("a material's colour has the wrong length")
    picture, mime = None, "image/png"
    texture = _base_texture(info)
    if texture:
        try:
            picture, mime = _image(file, texture["index"])
        except (MeshError, *DAMAGE):
            notes.append(f"The texture of material {info.get('name', '')!r} could not be read and was left out.")
    return Material(
        name=str(info.get("name") or ""),
        base_color=(color[0], color[1], color[2], color[3]),
        metallic=float(look.get("metallicFactor", 1.0)),
        roughness=float(look.get("roughnessFactor", 1.0)),
        emissive=(emissive[0], emissive[1], emissive[2]),
        base_color_texture=picture,
        texture_mime=mime,
        double_sided=bool(info.get("doubleSided", False)),
        alpha_mode=str(info.get("alphaMode") or "OPAQUE"),
    )


def _base_texture(info: Json) -> Json:
    return (info.get("pbrMetallicRoughness") or {}).get("baseColorTexture") or {}


def _image(file: GltfFile, texture: Any) -> tuple[bytes, str]:
    image = file.item("images", file.item("textures", texture)["source"])
    if image.get("bufferView") is not None:
        content = bytes(file.view(image["bufferView"])[0])
    else:
        content = file.uri_bytes(image["uri"])
    jpeg = content[:3] == b"\xff\xd8\xff"
    if not jpeg and content[:4] != b"\x89PNG":
        raise file.damaged("an image is neither PNG nor JPEG")
    return content, "image/jpeg" if jpeg else "image/png"


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


def _skin_weights(file: GltfFile, attributes: Json, count: int) -> tuple[NDArray[np.int64] | None, Floats]:
    """Joints [n, K] (None without a skin) and weights [n, K] that sum to 1, whatever the file says."""
    sets = 0
    while attributes.get(f"JOINTS_{sets}") is not None and attributes.get(f"WEIGHTS_{sets}") is not None:
        sets += 1
    if not sets:
        return None, np.ones((count, 1))
    joints = np.concatenate([_columns(file, attributes[f"JOINTS_{s}"], 4, count) for s in range(sets)], 1)
    weights = np.concatenate([_columns(file, attributes[f"WEIGHTS_{s}"], 4, count) for s in range(sets)], 1)
    weights = np.where(np.isfinite(weights), weights, 0.0).clip(0.0, None).astype(np.float64)
    total = weights.sum(1, keepdims=True)
    weights = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    weights[total[:, 0] <= 0, 0] = 1.0  # a vertex that nothing holds follows its first joint
    return joints.astype(np.int64), weights


def _columns(file: GltfFile, index: Any, width: int, count: int | None = None) -> NDArray:
    values = file.accessor(index)
    if values.shape[1] != width or (count is not None and len(values) != count):
        raise file.damaged(f"accessors[{index}] has shape {values.shape}, which does not fit its use")
    return values
