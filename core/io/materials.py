"""Textures beside an export, and the MTL file of the OBJ formats."""

from __future__ import annotations

from pathlib import Path

from core.io.export_clip import ExportClip
from core.sequence import Material

EXTENSIONS = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}


def texture_mime(material: Material) -> str:
    """What the texture's bytes say they are; the reader's word for other kinds."""
    data = material.base_color_texture or b""
    if data.startswith(b"\x89PNG"):
        return "image/png"
    if data.startswith(b"\xff\xd8"):
        return "image/jpeg"
    return material.texture_mime


def write_textures(clip: ExportClip, folder: Path, prefix: str) -> list[str | None]:
    """Write each different texture once; returns the file's name for each material, None without a texture."""
    written: dict[bytes, str] = {}
    names: list[str | None] = []
    for material in clip.materials:
        data = material.base_color_texture
        if data is None:
            names.append(None)
            continue
        if data not in written:
            written[data] = f"{prefix}_texture{len(written)}.{EXTENSIONS.get(texture_mime(material), 'png')}"
            (folder / written[data]).write_bytes(data)
        names.append(written[data])
    return names


def write_mtl(clip: ExportClip, folder: Path, prefix: str) -> str | None:
    """Write `PREFIX.mtl` with its textures and return its name; None when nothing has a material."""
    if not clip.materials:
        return None
    textures = write_textures(clip, folder, prefix)
    lines: list[str] = []
    for name, material, texture in zip(clip.material_names(), clip.materials, textures, strict=True):
        red, green, blue, alpha = material.base_color
        lines += [
            f"newmtl {name}",
            f"Kd {red:.6g} {green:.6g} {blue:.6g}",
            "Ke {:.6g} {:.6g} {:.6g}".format(*material.emissive),
            f"d {alpha:.6g}",
            f"Pr {material.roughness:.6g}",
            f"Pm {material.metallic:.6g}",
        ]
        if texture is not None:
            lines.append(f"map_Kd {texture}")
        lines.append("")
    name = f"{prefix}.mtl"
    (folder / name).write_text("\n".join(lines), encoding="utf-8", newline="\n")
    return name
