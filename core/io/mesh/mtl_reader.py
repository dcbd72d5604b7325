"""Reads the MTL files of an OBJ as metallic-roughness materials with their images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from core.io.beside import FilesBeside, OutsideError, image_mime, is_number, read_beside, utf8
from core.sequence import Material, Texture

MAX_MTL_BYTES = 16 << 20
MAX_MATERIALS = 10_000
_OPTIONS = {  # options of a texture line, and how many words may follow each
    "-blendu": 1, "-blendv": 1, "-bm": 1, "-boost": 1, "-cc": 1, "-clamp": 1, "-imfchan": 1, "-mm": 2, "-o": 3,
    "-s": 3, "-t": 3, "-texres": 1, "-type": 1,
}  # fmt: skip
# Keywords without a metallic-roughness equivalent; a note per file names those found.
_DROPPED = {
    "map_bump": "bump", "bump": "bump", "disp": "displacement", "decal": "decal", "map_ks": "specular",
    "map_ns": "shininess", "map_d": "opacity", "map_tr": "opacity", "map_ka": "ambient", "map_pr": "roughness",
    "map_pm": "metal", "map_ps": "sheen", "refl": "reflection",
}  # fmt: skip


def read_libraries(path: Path, libraries: list[str], notes: list[str]) -> dict[str, Material]:
    """{name: material} from all MTL files of the OBJ at `path`; notes name what is missing or dropped."""
    materials: dict[str, Material] = {}
    beside = FilesBeside(path.parent)
    for library in libraries[:MAX_MATERIALS]:
        # This is one name with spaces, or several names.
        names = [library] if (path.parent / library.replace("\0", "")).is_file() else library.split()
        for name in names:
            try:
                data = read_beside(path.parent, name.replace("\\", "/"), MAX_MTL_BYTES)
            except OutsideError as error:
                notes.append(f"The material file {name[:80]} {error}, so its materials are plain.")
                continue
            text = utf8(data).decode("utf-8", errors="replace")
            materials.update(parse_mtl(text, beside, notes))
    return materials


def parse_mtl(text: str, beside: FilesBeside, notes: list[str]) -> dict[str, Material]:
    """{name: material}; images are read from the OBJ's folder. Damaged lines are skipped, with a note."""
    materials: dict[str, Material] = {}
    current: Material | None = None
    dropped: dict[str, None] = {}
    damaged = ""
    for line in text.splitlines():
        words = line.split()
        if not words:
            continue
        keyword = words[0].lower()
        if keyword == "newmtl":
            if len(materials) >= MAX_MATERIALS:
                break
            current = Material(name=" ".join(words[1:]))
        elif keyword in _DROPPED:
            dropped[_DROPPED[keyword]] = None
        elif current is not None:
            try:
                current = _with_line(current, keyword, words, line, beside, notes)
            except (IndexError, ValueError):
                damaged = damaged or line.strip()[:60]
        if current is not None:
            materials[current.name] = current
    if dropped:
        notes.append(f"Images of {', '.join(dropped)} in the material file are left out.")
    if damaged:
        notes.append(f"Damaged lines of the material file, such as {damaged!r}, were skipped.")
    return materials


def _with_line(
    material: Material, keyword: str, words: list[str], line: str, beside: FilesBeside, notes: list[str]
) -> Material:
    red, green, blue, alpha = material.base_color
    match keyword:
        case "kd" if material.base_color_texture is None:
            red, green, blue = (_unit(word) for word in words[1:4])
            return replace(material, base_color=(red, green, blue, alpha))
        case "d" | "tr":
            alpha = _unit(words[-1]) if keyword == "d" else 1.0 - _unit(words[-1])
            return replace(
                material, base_color=(red, green, blue, alpha), alpha_mode="BLEND" if alpha < 1.0 else "OPAQUE"
            )
        case "ke" if material.emissive_texture is None:
            red, green, blue = (_unit(word) for word in words[1:4])
            return replace(material, emissive=(red, green, blue))
        case "pm":
            return replace(material, metallic=_unit(words[1]))
        case "pr":
            return replace(material, roughness=_unit(words[1]))
        case "ns":  # Blinn-Phong exponent to GGX roughness
            return replace(material, roughness=float(np.sqrt(2.0 / (2.0 + max(0.0, float(words[1]))))))
        case "map_kd" | "map_ke" | "norm":
            texture = _texture(line.split(None, 1)[1].strip(), beside, notes, material.name)
            if texture is None:
                return material
            # In glTF, a Kd below 1 would darken the image.
            if keyword == "map_kd":
                return replace(material, base_color=(1.0, 1.0, 1.0, alpha), base_color_texture=texture)
            if keyword == "map_ke":
                return replace(material, emissive=(1.0, 1.0, 1.0), emissive_texture=texture)
            return replace(material, normal_texture=texture)
    return material


def _texture(rest: str, beside: FilesBeside, notes: list[str], material: str) -> Texture | None:
    """The image that a texture line names after its options; None, with a note, if it cannot be used."""
    words = rest.split()
    at, clamp = 0, False
    while at < len(words) - 1 and words[at].lower() in _OPTIONS:
        option, most = words[at].lower(), _OPTIONS[words[at].lower()]
        at += 1
        clamp |= option == "-clamp" and words[at].lower() == "on"
        taken = 0
        while at < len(words) - 1 and taken < most and (most == 1 or is_number(words[at])):
            at, taken = at + 1, taken + 1
    why = "was not found"
    for name in dict.fromkeys((rest, " ".join(words[at:]), words[-1])):
        try:
            data = beside.read(name.replace("\\", "/"))
        except OutsideError as error:
            why = why if str(error) == "was not found" else str(error)
            continue
        if mime := image_mime(data):
            return Texture(data, mime, ("clamp", "clamp") if clamp else ("repeat", "repeat"))
        notes.append(f"The image {name[:80]} is neither PNG nor JPEG, so it is left out.")
        return None
    notes.append(f"The image {rest[:80]} {why}, so the material {material[:40]} is plain.")
    return None


def _unit(word: str) -> float:
    value = float(word)
    if not np.isfinite(value):
        raise ValueError("not a finite number")
    return min(1.0, max(0.0, value))
