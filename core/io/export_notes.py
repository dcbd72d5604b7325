"""Names what a format cannot store of a mesh, so that nothing is dropped silently."""

from __future__ import annotations

from collections.abc import Callable, Collection

from core.io.export_formats import FORMATS
from core.io.gltf.extensions import SPECULAR_GLOSSINESS
from core.io.materials import MTL_CHANNELS, PLAIN_IMAGES
from core.io.usd.usd_material import CHANNELS as USD_CHANNELS
from core.sequence import Material, SourceMesh, Texture

_WORDS = {
    "base_color_texture": "colour images",
    "metallic_roughness_texture": "metal and roughness images",
    "normal_texture": "normal maps",
    "occlusion_texture": "occlusion images",
    "emissive_texture": "emissive images",
}


def export_notes(source: SourceMesh | None, suffix: str) -> tuple[str, ...]:
    """A sentence that names what a file with this suffix drops from the mesh; empty if nothing."""
    if source is None or suffix == ".glb":
        return ()
    materials = list(dict.fromkeys(part.material for part in source.parts if part.material is not None))
    lost = list(dict.fromkeys(_lost(source, materials, suffix)))
    if not lost:
        return ()
    subject = FORMATS[suffix].subject
    return (f"{subject} cannot hold {', '.join(lost)}, which the export leaves out; a .glb keeps everything.",)


def _lost(source: SourceMesh, materials: list[Material], suffix: str) -> list[str]:
    some: Callable[[Callable[[Material], bool]], bool] = lambda test: any(map(test, materials))  # noqa: E731
    if not suffix.startswith((".usd", ".obj", ".ply", ".pc2", ".mdd")):  # positions, faces and texture coordinates only
        return [*(["materials"] if materials else []), *(["vertex colours"] if source.colors is not None else [])]
    channels: Collection[str] = MTL_CHANNELS if suffix in (".obj", ".pc2", ".mdd") else USD_CHANNELS
    if suffix == ".ply":
        channels = ("base_color_texture",)
    held = {name: [texture for m in materials if (texture := getattr(m, name)) is not None] for name in _WORDS}
    lost = [word for name, word in _WORDS.items() if held[name] and name not in channels]
    textures = [texture for name in channels for texture in held[name]]
    if any(texture.mime not in PLAIN_IMAGES for texture in textures):
        lost.append("WebP and KTX2 images")
    if some(lambda m: m.unlit):
        lost.append("unlit materials")
    if some(lambda m: SPECULAR_GLOSSINESS in m.extensions):
        lost.append("specular-glossiness")
    elif some(lambda m: bool(m.extensions)):
        lost.append("glTF material extensions")
    if suffix.startswith(".usd"):
        return lost
    if any(not _mtl_wrap(texture, suffix) for texture in textures):
        lost.append("clamped or mirrored images")
    if some(lambda m: m.alpha_mode == "MASK"):
        lost.append("alpha cutoffs")
    if source.uv1 is not None:
        lost.append("the second set of texture coordinates")
    if suffix == ".ply" and (len(materials) > 1 or some(lambda m: m.base_color_texture is None)):
        lost.append("materials other than one image")
    if suffix in (".pc2", ".mdd") and any(source.origin):
        lost.append("its position far from 0 (the Blender script restores it)")
    return lost


def _mtl_wrap(texture: Texture, suffix: str) -> bool:
    return texture.wrap == ("repeat", "repeat") or (suffix != ".ply" and texture.wrap == ("clamp", "clamp"))
