"""Reads and writes UsdPreviewSurface materials: factors and images as a shader network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from core.io.beside import OutsideError, image_mime
from core.sequence import Material, Texture

# Field of Material -> input of the surface, output of the image, its type. Roughness and metal share one image.
CHANNELS = {
    "base_color_texture": (("diffuseColor", "rgb"),),
    "emissive_texture": (("emissiveColor", "rgb"),),
    "normal_texture": (("normal", "rgb"),),
    "occlusion_texture": (("occlusion", "r"),),
    "metallic_roughness_texture": (("roughness", "g"), ("metallic", "b")),
}
COLORED = ("base_color_texture", "emissive_texture")
_WRAPS = {"repeat": "repeat", "clamp": "clamp", "mirror": "mirror"}


def write_usd_material(stage: Any, path: Any, material: Material, files: dict[str, str]) -> Any:
    """Make a UsdShade.Material at `path`; `files` maps channels to their image files beside the stage.

    A factor whose image is not written becomes neutral: no metal, no emission.
    """
    from pxr import Gf, Sdf, UsdShade

    kinds = Sdf.ValueTypeNames
    result = UsdShade.Material.Define(stage, path)
    surface = UsdShade.Shader.Define(stage, path.AppendChild("surface"))
    surface.CreateIdAttr("UsdPreviewSurface")
    glows = material.emissive_texture is None or "emissive_texture" in files
    metal = material.metallic_roughness_texture is None or "metallic_roughness_texture" in files
    surface.CreateInput("metallic", kinds.Float).Set(material.metallic if metal else 0.0)
    surface.CreateInput("roughness", kinds.Float).Set(material.roughness)
    surface.CreateInput("emissiveColor", kinds.Color3f).Set(Gf.Vec3f(*(material.emissive if glows else (0, 0, 0))))
    surface.CreateInput("diffuseColor", kinds.Color3f).Set(Gf.Vec3f(*material.base_color[:3]))
    opacity = surface.CreateInput("opacity", kinds.Float)
    opacity.Set(1.0 if material.alpha_mode == "OPAQUE" else material.base_color[3])
    if material.alpha_mode == "MASK":
        surface.CreateInput("opacityThreshold", kinds.Float).Set(material.alpha_cutoff)
    result.CreateSurfaceOutput().ConnectToSource(surface.ConnectableAPI(), "surface")
    readers: dict[int, Any] = {}
    for channel, file in files.items():
        texture: Texture = getattr(material, channel)
        if texture.uv_set not in readers:
            readers[texture.uv_set] = _reader(stage, path, texture.uv_set)
        image = _image(stage, path, channel, material, file)
        image.CreateInput("st", kinds.Float2).ConnectToSource(readers[texture.uv_set].ConnectableAPI(), "result")
        for name, output in CHANNELS[channel]:
            kind = {"normal": kinds.Normal3f, "rgb": kinds.Color3f}.get(
                name, kinds.Color3f if output == "rgb" else kinds.Float
            )
            image.CreateOutput(output, kinds.Float3 if output == "rgb" else kinds.Float)
            surface.CreateInput(name, kind).ConnectToSource(image.ConnectableAPI(), output)
        if channel == "base_color_texture" and material.alpha_mode != "OPAQUE":
            image.CreateOutput("a", kinds.Float)
            opacity.ConnectToSource(image.ConnectableAPI(), "a")
    return result


def _reader(stage: Any, path: Any, uv_set: int) -> Any:
    from pxr import Sdf, UsdShade

    reader = UsdShade.Shader.Define(stage, path.AppendChild("uv" if not uv_set else f"uv{uv_set}"))
    reader.CreateIdAttr("UsdPrimvarReader_float2")
    reader.CreateInput("varname", Sdf.ValueTypeNames.String).Set("st" if not uv_set else f"st{uv_set}")
    reader.CreateOutput("result", Sdf.ValueTypeNames.Float2)
    return reader


def _image(stage: Any, path: Any, channel: str, material: Material, file: str) -> Any:
    """Make a UsdUVTexture with the channel's factors as its scale; that of the base colour is named `texture`."""
    from pxr import Gf, Sdf, UsdShade

    kinds = Sdf.ValueTypeNames
    texture: Texture = getattr(material, channel)
    name = "texture" if channel == "base_color_texture" else channel
    image = UsdShade.Shader.Define(stage, path.AppendChild(name))
    image.CreateIdAttr("UsdUVTexture")
    image.CreateInput("file", kinds.Asset).Set(Sdf.AssetPath(f"./{file}"))
    image.CreateInput("sourceColorSpace", kinds.Token).Set("sRGB" if channel in COLORED else "raw")
    image.CreateInput("wrapS", kinds.Token).Set(_WRAPS[texture.wrap[0]])
    image.CreateInput("wrapT", kinds.Token).Set(_WRAPS[texture.wrap[1]])
    flat = material.normal_scale
    scale, bias = {
        "base_color_texture": (material.base_color, None),
        "emissive_texture": ((*material.emissive, 1.0), None),
        "metallic_roughness_texture": ((1.0, material.roughness, material.metallic, 1.0), None),
        "normal_texture": ((2.0 * flat, 2.0 * flat, 2.0, 1.0), (-flat, -flat, -1.0, 0.0)),
        "occlusion_texture": (
            (material.occlusion_strength,) * 3 + (1.0,),
            (1.0 - material.occlusion_strength,) * 3 + (0.0,),
        ),
    }[channel]
    image.CreateInput("scale", kinds.Float4).Set(Gf.Vec4f(*scale))
    if bias is not None:
        image.CreateInput("bias", kinds.Float4).Set(Gf.Vec4f(*bias))
    return image


def read_usd_material(bound: Any, read_image: Callable[[Any], bytes], notes: list[str]) -> Material:
    """Read the preview surface of a bound UsdShade.Material; `read_image` reads an asset. Notes name what is lost."""
    name = bound.GetPrim().GetName()
    shader = bound.ComputeSurfaceSource("")[0]
    if not shader or shader.GetShaderId() != "UsdPreviewSurface":
        notes.append(f"The material {name[:60]} is not a preview surface, so it becomes plain.")
        return Material(name)
    textures: dict[str, Texture] = {}
    scales: dict[str, tuple[float, ...]] = {}
    dropped: list[str] = []
    for channel, inputs in CHANNELS.items():
        source = _connected(shader, inputs[0][0])
        if source is None:
            continue
        try:
            textures[channel], scales[channel] = _texture(source, read_image)
        except OutsideError as error:
            dropped.append(f"{inputs[0][0]} ({error})")
    if dropped:
        notes.append(f"Images of the material {name[:60]} are left out: {'; '.join(dropped)[:150]}.")
    color = _numbers(shader, "diffuseColor", (0.18, 0.18, 0.18))
    glow = _numbers(shader, "emissiveColor", (0.0, 0.0, 0.0))
    opacity, threshold = _number(shader, "opacity", 1.0), _number(shader, "opacityThreshold", 0.0)
    if "base_color_texture" in textures:
        color = scales["base_color_texture"][:3]
    if "emissive_texture" in textures:
        glow = scales["emissive_texture"][:3]
    packed = scales.get("metallic_roughness_texture")
    transparent = opacity < 1 or _connected(shader, "opacity") is not None
    return Material(
        name=name,
        base_color=(color[0], color[1], color[2], opacity),
        metallic=packed[2] if packed else _number(shader, "metallic", 0.0),
        roughness=packed[1] if packed else _number(shader, "roughness", 0.5),
        emissive=(glow[0], glow[1], glow[2]),
        alpha_mode="MASK" if threshold > 0 else "BLEND" if transparent else "OPAQUE",
        alpha_cutoff=threshold or 0.5,
        **textures,  # type: ignore[arg-type]
    )


def _connected(shader: Any, name: str) -> Any | None:
    """The UsdUVTexture connected to an input of the surface, or None."""
    from pxr import UsdShade

    wanted = shader.GetInput(name)
    if not wanted or not wanted.HasConnectedSource():
        return None
    source = UsdShade.Shader(wanted.GetConnectedSources()[0][0].source.GetPrim())
    return source if source and source.GetShaderId() == "UsdUVTexture" else None


def _texture(image: Any, read_image: Callable[[Any], bytes]) -> tuple[Texture, tuple[float, ...]]:
    """The image and its scale [4], from 0 to 1. Raises OutsideError if it cannot be kept."""
    asset = image.GetInput("file").Get() if image.GetInput("file") else None
    if asset is None or not asset.path:
        raise OutsideError("names no file")
    data = read_image(asset)
    mime = image_mime(data)
    if mime is None:
        raise OutsideError("neither PNG nor JPEG")
    wraps = [str(image.GetInput(name).Get() or "") if image.GetInput(name) else "" for name in ("wrapS", "wrapT")]
    s, t = (next((kind for kind, word in _WRAPS.items() if word == wrap), "repeat") for wrap in wraps)
    scale = image.GetInput("scale").Get() if image.GetInput("scale") else None
    return Texture(data, mime, (s, t)), tuple(min(1.0, max(0.0, float(v))) for v in (scale or (1.0, 1.0, 1.0, 1.0)))


def _number(shader: Any, name: str, usual: float) -> float:
    value = shader.GetInput(name).Get() if shader.GetInput(name) else None
    return min(1.0, max(0.0, float(value))) if value is not None and float(value) == float(value) else usual


def _numbers(shader: Any, name: str, usual: tuple[float, float, float]) -> tuple[float, ...]:
    value = shader.GetInput(name).Get() if shader.GetInput(name) else None
    return usual if value is None else tuple(min(1.0, max(0.0, float(v))) for v in value)
