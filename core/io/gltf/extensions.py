"""glTF extensions: which are supported, notes on the others, Draco and meshopt decompression, instances."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import MeshError
from core.io.gltf.animation import compose
from core.quaternions import Floats, unit_quaternions

DRACO = "KHR_draco_mesh_compression"
MESHOPT = ("EXT_meshopt_compression", "KHR_meshopt_compression")  # the same, before and after ratification
INSTANCING, TRANSFORM, UNLIT = "EXT_mesh_gpu_instancing", "KHR_texture_transform", "KHR_materials_unlit"
LIGHTS, VARIANTS = "KHR_lights_punctual", "KHR_materials_variants"
SPECULAR_GLOSSINESS = "KHR_materials_pbrSpecularGlossiness"
# Images of other kinds than PNG and JPEG, kept as they are: the extension by the image's kind.
IMAGE_EXTENSIONS = {"image/webp": "EXT_texture_webp", "image/ktx2": "KHR_texture_basisu"}
MAX_INSTANCES = 100_000
MAX_UNPACKED = 1 << 28  # bytes of all compressed buffers of a file, unpacked
_READ = {DRACO, *MESHOPT, INSTANCING, TRANSFORM, "KHR_mesh_quantization", *IMAGE_EXTENSIONS.values()}
# They do not concern the surface or its materials.
_NEUTRAL = {LIGHTS, "KHR_xmp", "KHR_xmp_json_ld", "EXT_structural_metadata", "EXT_mesh_features"}


def check_required(names: object, file: str) -> None:
    """Raise MeshError that names an extension which the file requires and which is not supported."""
    for name in names if isinstance(names, list) else ():
        if (name in MESHOPT and _meshopt() is None) or (name == DRACO and _draco() is None):
            raise MeshError(_compressed(file, str(name)))
        if name not in _READ and not str(name).startswith("KHR_materials_") and name not in _NEUTRAL:
            raise MeshError(
                f"{file} needs the glTF extension {str(name)[:60]}, which cannot be read; export it without that."
            )


def left_out(document: dict[str, Any]) -> list[str]:
    """Notes on optional extensions that are ignored, and on what the file holds besides surfaces."""
    names = document.get("extensionsUsed")
    used = [str(name)[:60] for name in names] if isinstance(names, list) else []
    known = _READ | _NEUTRAL
    left = [name for name in dict.fromkeys(used) if name not in known and not name.startswith("KHR_materials_")]
    notes = [f"The glTF extensions {', '.join(left[:6])} are not understood and left out."] if left else []
    present = {
        "cameras": bool(document.get("cameras")),
        "lights": LIGHTS in used,
        "variants of materials": VARIANTS in used,
    }
    if other := [name for name, there in present.items() if there]:
        notes.append(f"Only surfaces are read; its {', '.join(other)} are left out.")
    return notes


def draco_primitive(data: bytes, ids: dict[str, Any], file: str) -> tuple[NDArray[np.int64], dict[str, NDArray]]:
    """Corners [C] and {glTF name: attribute [n, k]} of a compressed primitive. Raises MeshError."""
    draco = _draco()
    if draco is None:
        raise MeshError(_compressed(file, DRACO))
    try:
        mesh = draco.decode(data)
        corners = np.asarray(mesh.faces, dtype=np.int64).reshape(-1)
        found = {name: np.asarray(mesh.get_attribute_by_unique_id(int(number))["data"]) for name, number in ids.items()}
    except Exception as error:  # the library raises whatever its decoder meets
        raise MeshError(f"{file}: its Draco data are damaged ({type(error).__name__}); export it again.") from error
    return corners, {name: values.reshape(len(values), -1) for name, values in found.items()}


def packed_view(info: dict[str, Any]) -> dict[str, Any] | None:
    """A buffer view's compression, if it has one that can be read; else None, and its plain bytes are used."""
    extensions = info.get("extensions") or {}
    found = next((extensions[name] for name in MESHOPT if name in extensions), None)
    return found if found is None or _meshopt() is not None else None


def unpacked_view(data: bytes, packed: dict[str, Any], file: str) -> bytes:
    """The bytes of a buffer view compressed by meshoptimizer. Raises MeshError where it is damaged."""
    meshopt = _meshopt()
    assert meshopt is not None
    count, stride, mode = int(packed["count"]), int(packed["byteStride"]), str(packed["mode"])
    if count < 0 or not 0 < stride <= 256 or count * stride > MAX_UNPACKED:
        raise MeshError(f"{file} has {count:,} x {stride:,} bytes in one compressed buffer; export it in parts.")
    if not count:
        return b""
    try:
        rows = meshopt.decode_gltf_buffer(data, count, stride, mode, str(packed.get("filter") or "NONE"))
    except Exception as error:  # the library raises whatever its decoder meets
        raise MeshError(f"{file}: its meshopt data are damaged ({type(error).__name__}); export it again.") from error
    return bytes(np.ascontiguousarray(rows).view(np.uint8).reshape(-1)[: count * stride])


def instance_transforms(attributes: dict[str, Floats]) -> Floats:
    """Matrices [I, 4, 4] of a node's instances, from the extension's accessors. Raises ValueError if these disagree."""
    counts = {len(values) for values in attributes.values()}
    if len(counts) != 1 or counts == {0}:
        raise ValueError("its instances have attributes of different lengths")
    count = counts.pop()
    if count > MAX_INSTANCES:
        raise ValueError(f"it has {count:,} instances, more than the {MAX_INSTANCES:,} supported")
    neutral = {"TRANSLATION": np.zeros(3), "ROTATION": np.array([0.0, 0, 0, 1]), "SCALE": np.ones(3)}
    move, turn, scale = (
        np.asarray(attributes.get(name, np.tile(usual, (count, 1))), dtype=np.float64)
        for name, usual in neutral.items()
    )
    return compose(move.reshape(count, 3), unit_quaternions(turn.reshape(count, 4)), scale.reshape(count, 3))


def _draco() -> Any | None:
    """The optional library that decodes Draco (the extra `compressed`), or None."""
    try:
        import DracoPy
    except ImportError:
        return None
    return DracoPy


def _meshopt() -> Any | None:
    """The optional library that decodes meshoptimizer's buffers (the extra `compressed`), or None."""
    try:
        import meshopt
    except ImportError:
        return None
    return meshopt


def _compressed(file: str, name: str) -> str:
    library = "DracoPy" if name == DRACO else "meshopt"
    return (
        f"{file} is compressed with {name}; install {library} (pip install 'm2v-studio[compressed]') or export it "
        "without mesh compression."
    )
