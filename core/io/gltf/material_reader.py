"""Reads glTF materials: all channels, the placement of their images, and the extensions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from core.errors import MeshError
from core.io.beside import image_mime
from core.io.gltf.extensions import IMAGE_EXTENSIONS, SPECULAR_GLOSSINESS, TRANSFORM, UNLIT
from core.io.gltf.file import DAMAGE, GltfFile, Json
from core.quaternions import Floats
from core.sequence import Material, Texture

WRAPS = {33071: "clamp", 33648: "mirror", 10497: "repeat"}
NEAREST = 9728
UV_SETS = 2  # image placements per material
HIDDEN = "image/ktx2"
_KTX2 = b"\xabKTX 20\xbb"
KTX2_NOTE = "Its KTX2 images are kept for .glb files, but not shown here; convert them to PNG or JPEG to see them."
_MAX_DEPTH, _MAX_EXTENSION = 6, 4096


class Lie(NamedTuple):
    """An image's placement: a set of texture coordinates and their transform (KHR_texture_transform)."""

    channel: int = 0
    offset: tuple[float, float] = (0.0, 0.0)
    rotation: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)

    def apply(self, uv: Floats) -> Floats:
        """Texture coordinates [n, 2] as they are in the file (origin at the top left), transformed."""
        c, s = np.cos(self.rotation), np.sin(self.rotation)
        u, v = (uv * self.scale).T
        return np.stack([c * u + s * v, c * v - s * u], axis=-1) + self.offset


@dataclass(frozen=True)
class Look:
    """A material, and the placements that become its sets 0 and 1 of texture coordinates."""

    material: Material
    lies: tuple[Lie, ...]


def read_look(file: GltfFile, info: Json, notes: list[str]) -> Look:
    """Read one material. An image that cannot be kept is named in a note, and its factor becomes neutral.

    Raises MeshError for values that no material can have.
    """
    return _LookReader(file, info).read(notes)


class _LookReader:
    def __init__(self, file: GltfFile, info: Json) -> None:
        self.file, self.info = file, info
        self.lies: list[Lie] = []
        self.dropped: dict[str, str] = {}  # channel: why
        self.hidden = False  # whether some image cannot be shown here
        self.outside = False  # whether a factor was out of bounds

    def read(self, notes: list[str]) -> Look:
        info, file = self.info, self.file
        extensions = info.get("extensions") or {}
        pbr = info.get("pbrMetallicRoughness") or {}
        glossy = extensions.get(SPECULAR_GLOSSINESS) or {}
        base = pbr.get("baseColorTexture") or (glossy.get("diffuseTexture") if "baseColorFactor" not in pbr else None)
        base_texture = self.texture(base, "base colour")
        surface = self.texture(pbr.get("metallicRoughnessTexture"), "metal and roughness")
        normal_info, occlusion_info = info.get("normalTexture") or {}, info.get("occlusionTexture") or {}
        normal = self.texture(normal_info, "normal")
        occlusion = self.texture(occlusion_info, "occlusion")
        glow = self.texture(info.get("emissiveTexture"), "emissive")
        fallback = glossy if not pbr else {}
        color = self.numbers(pbr.get("baseColorFactor") or fallback.get("diffuseFactor"), (1.0, 1.0, 1.0, 1.0))
        emissive = self.numbers(info.get("emissiveFactor"), (0.0, 0.0, 0.0))
        metallic = self.number(pbr.get("metallicFactor"), 0.0 if fallback else 1.0)
        gloss = self.number(fallback.get("glossinessFactor"), 1.0)
        roughness = self.number(pbr.get("roughnessFactor"), 1.0 - gloss if fallback else 1.0)
        mode: Any = info.get("alphaMode") or "OPAQUE"
        if mode not in ("OPAQUE", "MASK", "BLEND"):
            raise file.damaged(f"alphaMode is {str(mode)[:40]!r}")
        kept, textures = self.extensions(extensions)
        material = Material(
            name=str(info.get("name") or "")[:200],
            base_color=(color[0], color[1], color[2], color[3]),
            # Without the image that they multiply, full factors would make everything metal and glowing white.
            metallic=0.0 if "metal and roughness" in self.dropped else metallic,
            roughness=roughness,
            emissive=(0.0, 0.0, 0.0) if "emissive" in self.dropped else (emissive[0], emissive[1], emissive[2]),
            base_color_texture=base_texture,
            metallic_roughness_texture=surface,
            normal_texture=normal,
            occlusion_texture=occlusion,
            emissive_texture=glow,
            normal_scale=self.number(normal_info.get("scale"), 1.0, most=1e6, least=-1e6),
            occlusion_strength=self.number(occlusion_info.get("strength"), 1.0),
            double_sided=bool(info.get("doubleSided", False)),
            alpha_mode=mode,
            alpha_cutoff=self.number(info.get("alphaCutoff"), 0.5, most=1e6),
            unlit=UNLIT in extensions,
            extensions=kept,
            extension_textures=textures,
        )
        if self.outside:
            notes.append(f"Factors of material {material.name[:40]!r} are outside their bounds and were clamped.")
        if self.hidden and KTX2_NOTE not in notes:
            notes.append(KTX2_NOTE)
        if self.dropped:
            why = "; ".join(f"{channel} ({reason})" for channel, reason in self.dropped.items())
            notes.append(f"Images of material {material.name[:40]!r} are left out: {why[:150]}.")
        return Look(material, tuple(self.lies))

    def texture(self, info: Any, channel: str) -> Texture | None:
        """The image of one channel; None if there is none, or if it cannot be kept, which `dropped` then names."""
        if not info:
            return None
        try:
            texture = self.file.item("textures", info["index"])
            data, mime = self.image_of(texture)
            sampler = self.file.item("samplers", texture["sampler"]) if texture.get("sampler") is not None else {}
            wrap = (WRAPS[sampler.get("wrapS") or 10497], WRAPS[sampler.get("wrapT") or 10497])
            lie = self.lie(info)
            if lie not in self.lies:
                if len(self.lies) == UV_SETS:
                    raise MeshError("a material uses an unknown texture mapping")
                self.lies.append(lie)
            return Texture(data, mime, wrap, sampler.get("magFilter") == NEAREST, self.lies.index(lie))
        except MeshError as error:
            self.dropped[channel] = str(error).rstrip(".")[:120]
        except DAMAGE:
            self.dropped[channel] = "damaged"
        return None

    def image_of(self, texture: Json) -> tuple[bytes, str]:
        """The unchanged bytes and MIME type of the texture's first image of a supported kind. Raises MeshError."""
        extensions = texture.get("extensions") or {}
        sources = [
            texture.get("source"),
            *((extensions.get(n) or {}).get("source") for n in IMAGE_EXTENSIONS.values()),
        ]
        why: MeshError | None = None
        for source in sources:
            if source is None:
                continue
            try:
                content = self.image(source)
            except MeshError as error:
                why = error
                continue
            if mime := image_mime(content):
                return content, mime
            if content.startswith(_KTX2):
                self.hidden = True
                return content, HIDDEN
            if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
                return content, "image/webp"
            why = MeshError("neither PNG, JPEG, WebP nor KTX2")
        raise why or MeshError("no image of a known kind")

    def image(self, index: Any) -> bytes:
        image = self.file.item("images", index)
        if image.get("bufferView") is not None:
            return bytes(self.file.view(image["bufferView"])[0])
        return self.file.uri_bytes(image["uri"])

    def lie(self, info: Json) -> Lie:
        moved = (info.get("extensions") or {}).get(TRANSFORM) or {}
        offset = self.numbers(moved.get("offset"), (0.0, 0.0), 1e6)
        scale = self.numbers(moved.get("scale"), (1.0, 1.0), 1e6)
        channel = int(moved.get("texCoord", info.get("texCoord")) or 0)
        rotation = self.number(moved.get("rotation"), 0.0, most=1e6, least=-1e6)
        return Lie(channel, (offset[0], offset[1]), rotation, (scale[0], scale[1]))

    def extensions(self, found: Json) -> tuple[str, tuple[Texture, ...]]:
        """The material extensions (but unlit) as JSON text with renumbered images, and these images."""
        textures: list[Texture] = []

        def kept(value: Any, name: str, depth: int) -> Any:
            if depth > _MAX_DEPTH:
                raise self.file.damaged("a material extension is nested too deeply")
            if isinstance(value, dict):
                if name.endswith("Texture") and "index" in value:
                    texture = self.texture(value, name)
                    if texture is None:
                        return None
                    textures.append(texture)
                    rest = {k: v for k, v in value.items() if k in ("scale", "strength")}
                    return {"index": len(textures) - 1, **rest}
                pairs = ((str(k), kept(v, str(k), depth + 1)) for k, v in value.items() if k not in ("extras",))
                return {k: v for k, v in pairs if v is not None}
            if isinstance(value, list):
                return [kept(item, name, depth + 1) for item in value]
            return value

        chosen = {name: value for name, value in found.items() if name.startswith("KHR_materials_") and name != UNLIT}
        if not chosen:
            return "", ()
        text = json.dumps(kept(chosen, "", 0), allow_nan=False)
        if len(text) > _MAX_EXTENSION:
            raise self.file.damaged("its material extensions are too long")
        return text, tuple(textures)

    def number(self, value: Any, usual: float, most: float = 1.0, least: float = 0.0) -> float:
        """A factor, clamped to its bounds. Raises MeshError for anything but a number."""
        if value is None:
            return usual
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e30:
            raise self.file.damaged(f"a material has {str(value)[:30]} for a number")
        if not least <= value <= most:
            self.outside = True
        return min(most, max(least, float(value)))

    def numbers(self, value: Any, usual: tuple[float, ...], most: float = 1.0) -> tuple[float, ...]:
        if value is None:
            return usual
        if not isinstance(value, list) or len(value) != len(usual):
            raise self.file.damaged("a material's colour has the wrong length")
        return tuple(self.number(item, 0.0, most, 0.0 if most == 1.0 else -most) for item in value)
