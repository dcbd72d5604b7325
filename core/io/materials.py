"""Writes the textures beside an export, and the MTL file of OBJ formats."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from core.io.export_clip import ExportClip
from core.sequence import Texture

EXTENSIONS = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "image/ktx2": "ktx2"}
PLAIN_IMAGES = ("image/png", "image/jpeg")
# The channels that a format supports, with its names for them.
MTL_CHANNELS = {"base_color_texture": "map_Kd", "emissive_texture": "map_Ke", "normal_texture": "norm"}


def write_textures(
    clip: ExportClip, folder: Path, prefix: str, channels: Sequence[str], kinds: Sequence[str] = tuple(EXTENSIONS)
) -> list[dict[str, str]]:
    """Write each image once; returns {channel: file name} for each material.

    `channels` are fields of Material such as `base_color_texture`; images of other kinds than `kinds` are left out.
    """
    written: dict[bytes, str] = {}
    names: list[dict[str, str]] = []
    for material in clip.materials:
        names.append({})
        for channel in channels:
            texture: Texture | None = getattr(material, channel)
            if texture is None or texture.mime not in kinds or (clip.uv, clip.uv1)[texture.uv_set] is None:
                continue
            if texture.data not in written:
                written[texture.data] = f"{prefix}_texture{len(written)}.{EXTENSIONS[texture.mime]}"
                (folder / written[texture.data]).write_bytes(texture.data)
            names[-1][channel] = written[texture.data]
    return names


def write_mtl(clip: ExportClip, folder: Path, prefix: str) -> str | None:
    """Write `PREFIX.mtl` with its textures and return its name; None if no part has a material.

    A factor whose image MTL cannot hold becomes neutral: no metal, no emission.
    """
    if not clip.materials:
        return None
    textures = write_textures(clip, folder, prefix, tuple(MTL_CHANNELS), PLAIN_IMAGES)
    lines: list[str] = []
    for name, material, files in zip(clip.material_names(), clip.materials, textures, strict=True):
        red, green, blue, alpha = material.base_color
        glows = material.emissive_texture is None or "emissive_texture" in files
        metallic = material.metallic if material.metallic_roughness_texture is None else 0.0
        lines += [
            f"newmtl {name}",
            f"Kd {red:.6g} {green:.6g} {blue:.6g}",
            "Ke {:.6g} {:.6g} {:.6g}".format(*(material.emissive if glows else (0.0, 0.0, 0.0))),
            f"d {alpha if material.alpha_mode == 'BLEND' else 1.0:.6g}",
            f"Pr {material.roughness:.6g}",
            f"Pm {metallic:.6g}",
        ]
        for channel, file in files.items():
            clamp = "-clamp on " if getattr(material, channel).wrap == ("clamp", "clamp") else ""
            lines.append(f"{MTL_CHANNELS[channel]} {clamp}{file}")
        lines.append("")
    name = f"{prefix}.mtl"
    (folder / name).write_text("\n".join(lines), encoding="utf-8", newline="\n")
    return name
