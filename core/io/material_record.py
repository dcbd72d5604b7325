"""Converts materials to and from plain values with separate images, for files of JSON and arrays."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from core.sequence import Material, Texture

_TEXTURES = tuple(field.name for field in dataclasses.fields(Material) if field.name.endswith("_texture"))


def material_record(material: Material, images: list[bytes]) -> dict[str, Any]:
    """A material as plain values. Its images are appended to `images`, once each, and referred to by index."""

    def place(texture: Texture | None) -> dict[str, Any] | None:
        if texture is None:
            return None
        if texture.data not in images:
            images.append(texture.data)
        about = {"mime": texture.mime, "wrap": list(texture.wrap), "nearest": texture.nearest, "uv_set": texture.uv_set}
        return {"picture": images.index(texture.data), **about}

    record = {field.name: getattr(material, field.name) for field in dataclasses.fields(Material)}
    record |= {name: place(record[name]) for name in _TEXTURES}
    return record | {"extension_textures": [place(texture) for texture in material.extension_textures]}


def material_from_record(record: Mapping[str, Any], images: Sequence[bytes]) -> Material:
    """Inverse of `material_record`; ignores fields of other versions. Raises ValueError when damaged."""
    try:
        values: dict[str, Any] = {}
        for field in dataclasses.fields(Material):
            if field.name not in record:
                continue
            value = record[field.name]
            if field.name in _TEXTURES:
                value = None if value is None else _texture(value, images)
            elif field.name == "extension_textures":
                value = tuple(_texture(item, images) for item in value)
            elif isinstance(field.default, tuple):
                value = tuple(float(number) for number in value)
                if len(value) != len(field.default) or not all(0 <= number <= 1 for number in value):
                    raise ValueError(f"{field.name} must be {len(field.default)} numbers from 0 to 1")
            elif isinstance(field.default, float):
                value = float(value)
                if not abs(value) <= 1e6:
                    raise ValueError(f"{field.name} is not a finite number")
            elif not isinstance(value, type(field.default)):
                raise ValueError(f"{field.name} has the wrong type")
            values[field.name] = value
        material = Material(**values)
        if material.alpha_mode not in ("OPAQUE", "MASK", "BLEND"):
            raise ValueError(f"alpha_mode is {material.alpha_mode[:20]!r}")
        if material.extensions:
            json.loads(material.extensions)
    except (TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"a material is damaged ({type(error).__name__})") from error
    return material


def _texture(record: Mapping[str, Any], images: Sequence[bytes]) -> Texture:
    s, t = record["wrap"]
    uv_set, place = int(record["uv_set"]), int(record["picture"])
    if {s, t} - {"repeat", "clamp", "mirror"} or uv_set not in (0, 1) or place < 0:
        raise ValueError("a texture lies on the surface with an unknown mapping")
    return Texture(images[place], str(record["mime"]), (s, t), bool(record["nearest"]), uv_set)
