"""Writes glTF materials: all channels with their images and samplers, and the input's extensions."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from core.io.export_clip import ExportClip
from core.io.gltf.extensions import IMAGE_EXTENSIONS, UNLIT
from core.sequence import Material, Texture

_WRAPS = {"repeat": 10497, "clamp": 33071, "mirror": 33648}


class MaterialWriter:
    """Adds materials, textures, samplers and images to `document`; `view` stores bytes and returns their view."""

    def __init__(self, document: dict[str, Any], clip: ExportClip, view: Callable[[bytes], int]) -> None:
        self.document, self.clip, self.view = document, clip, view
        self.images: dict[bytes, int] = {}
        self.samplers: dict[tuple[object, ...], int] = {}
        self.textures: dict[tuple[int, int], int] = {}
        self.used: set[str] = set()
        self.required: set[str] = set()

    def write(self) -> None:
        """All of the clip's materials, in order."""
        names = self.clip.material_names()
        entries = [self._material(name, material) for name, material in zip(names, self.clip.materials, strict=True)]
        if entries:
            self.document["materials"] = entries
        if self.used:
            self.document["extensionsUsed"] = sorted(self.used)
        if self.required:
            self.document["extensionsRequired"] = sorted(self.required)

    def _material(self, name: str, material: Material) -> dict[str, Any]:
        surface: dict[str, Any] = {
            "baseColorFactor": list(material.base_color),
            "metallicFactor": material.metallic,
            "roughnessFactor": material.roughness,
        }
        entry: dict[str, Any] = {"name": name, "pbrMetallicRoughness": surface, "doubleSided": material.double_sided}
        self._channel(surface, "baseColorTexture", material.base_color_texture)
        self._channel(surface, "metallicRoughnessTexture", material.metallic_roughness_texture)
        self._channel(entry, "normalTexture", material.normal_texture, scale=material.normal_scale)
        self._channel(entry, "occlusionTexture", material.occlusion_texture, strength=material.occlusion_strength)
        self._channel(entry, "emissiveTexture", material.emissive_texture)
        if any(material.emissive):
            entry["emissiveFactor"] = list(material.emissive)
        if material.alpha_mode != "OPAQUE":
            entry["alphaMode"] = material.alpha_mode
        if material.alpha_mode == "MASK" and material.alpha_cutoff != 0.5:
            entry["alphaCutoff"] = material.alpha_cutoff
        extensions = self._extensions(material)
        if material.unlit:
            extensions[UNLIT] = {}
        if extensions:
            entry["extensions"] = extensions
            self.used |= set(extensions)
        return entry

    def _channel(self, entry: dict[str, Any], name: str, texture: Texture | None, **factors: float) -> None:
        """Put a texture and its factors other than 1 into `entry`, if the clip has coordinates for it."""
        info = None if texture is None else self._info(texture)
        if info is not None:
            entry[name] = info | {key: value for key, value in factors.items() if value != 1.0}

    def _info(self, texture: Texture) -> dict[str, int] | None:
        if (self.clip.uv, self.clip.uv1)[texture.uv_set] is None:
            return None
        image = self._image(texture)
        key = (_WRAPS[texture.wrap[0]], _WRAPS[texture.wrap[1]], texture.nearest)
        if key not in self.samplers:
            self.samplers[key] = len(self.samplers)
            filters = (
                {"magFilter": 9728, "minFilter": 9728} if texture.nearest else {"magFilter": 9729, "minFilter": 9987}
            )
            self.document.setdefault("samplers", []).append({"wrapS": key[0], "wrapT": key[1], **filters})
        pair = (image, self.samplers[key])
        if pair not in self.textures:
            self.textures[pair] = len(self.textures)
            entry: dict[str, Any] = {"sampler": pair[1]}
            if (extension := IMAGE_EXTENSIONS.get(texture.mime)) is None:
                entry["source"] = image
            else:
                entry["extensions"] = {extension: {"source": image}}
                self.used.add(extension)
                self.required.add(extension)
            self.document.setdefault("textures", []).append(entry)
        info = {"index": self.textures[pair]}
        return info | {"texCoord": texture.uv_set} if texture.uv_set else info

    def _image(self, texture: Texture) -> int:
        if texture.data not in self.images:
            self.images[texture.data] = len(self.images)
            image = {"bufferView": self.view(texture.data), "mimeType": texture.mime}
            self.document.setdefault("images", []).append(image)
        return self.images[texture.data]

    def _extensions(self, material: Material) -> dict[str, Any]:
        """`Material.extensions` with the image numbers of this file."""

        def placed(value: Any, name: str) -> Any:
            if isinstance(value, dict) and name.endswith("Texture") and "index" in value:
                info = self._info(material.extension_textures[value["index"]])
                return None if info is None else {**value, **info}
            if isinstance(value, dict):
                pairs = ((key, placed(item, key)) for key, item in value.items())
                return {key: item for key, item in pairs if item is not None}
            return value

        return placed(json.loads(material.extensions), "") if material.extensions else {}
