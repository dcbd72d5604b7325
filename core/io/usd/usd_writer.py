"""USD: one mesh with points, normals and extent per time sample, materials as UsdPreviewSurface.

Written with usd-core. Time code 0 is the first frame; one time code is one frame.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import ExportError
from core.io.export_clip import ExportClip, unique_names
from core.io.materials import write_textures
from core.io.shading import clip_normals
from core.sequence import Material


def write_usd(clip: ExportClip, path: Path, prefix: str) -> None:
    """Write `.usdc`, `.usda` or `.usdz` (which holds its textures); raises ExportError for X up, which USD lacks."""
    if clip.up_axis == "x":
        raise ExportError("A USD file has Y or Z up, but x was asked for; choose y or z.")
    try:
        from pxr import Sdf, Tf, UsdUtils
    except ImportError as error:
        raise ExportError("USD export needs the package usd-core; install it with: pip install usd-core") from error
    try:
        if path.suffix != ".usdz":
            _write_stage(clip, path, prefix)
            return
        inner = path.parent / "package"
        inner.mkdir()
        layer = inner / f"{clip.name}.usdc"
        _write_stage(clip, layer, clip.name)
        if not UsdUtils.CreateNewUsdzPackage(Sdf.AssetPath(str(layer)), str(path)):
            raise ExportError(f"{path.name} cannot be packed; write .usdc instead.")
        shutil.rmtree(inner)
    except Tf.ErrorException as error:  # a full disk, for one
        raise OSError(str(error).strip().splitlines()[-1]) from error


def _write_stage(clip: ExportClip, path: Path, prefix: str) -> None:
    from pxr import Tf, Usd, UsdGeom, Vt

    textures = write_textures(clip, path.parent, prefix)
    stage = Usd.Stage.CreateNew(str(path))
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y if clip.up_axis == "y" else UsdGeom.Tokens.z)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    stage.SetTimeCodesPerSecond(clip.fps)
    stage.SetFramesPerSecond(clip.fps)
    stage.SetStartTimeCode(0)
    stage.SetEndTimeCode(len(clip.frames) - 1)
    root = UsdGeom.Xform.Define(stage, f"/{Tf.MakeValidIdentifier(clip.name)}")
    stage.SetDefaultPrim(root.GetPrim())

    mesh = UsdGeom.Mesh.Define(stage, root.GetPath().AppendChild("mesh"))
    faces = clip.faces
    mesh.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    mesh.CreateFaceVertexCountsAttr(Vt.IntArray.FromNumpy(np.full(len(faces), 3, dtype=np.int32)))
    mesh.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(np.ascontiguousarray(faces.ravel())))
    mesh.CreateDoubleSidedAttr(any(material.double_sided for material in clip.materials))
    points, extent, normals = (
        mesh.CreatePointsAttr(),
        mesh.CreateExtentAttr(),
        mesh.CreateNormalsAttr(),
    )
    mesh.SetNormalsInterpolation(UsdGeom.Tokens.vertex)
    for t, (frame, directions) in enumerate(zip(clip.frames, clip_normals(clip), strict=True)):
        points.Set(Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(frame)), t)
        normals.Set(Vt.Vec3fArray.FromNumpy(directions), t)
        extent.Set(Vt.Vec3fArray.FromNumpy(np.stack([frame.min(0), frame.max(0)])), t)
    _add_uv(clip, mesh)
    _bind_materials(clip, stage, mesh, textures)
    stage.GetRootLayer().Save()


def _add_uv(clip: ExportClip, mesh: Any) -> None:
    """The primvar `st`: by corner where the file has seams, otherwise by vertex."""
    from pxr import Sdf, UsdGeom, Vt

    if clip.uv is None:
        return
    by_corner = clip.corner_uv()
    values = clip.uv if by_corner is None else by_corner.reshape(-1, 2)
    kind = UsdGeom.Tokens.vertex if by_corner is None else UsdGeom.Tokens.faceVarying
    primvar = UsdGeom.PrimvarsAPI(mesh).CreatePrimvar("st", Sdf.ValueTypeNames.TexCoord2fArray, kind)
    primvar.Set(Vt.Vec2fArray.FromNumpy(np.ascontiguousarray(values, dtype=np.float32)))


def _bind_materials(clip: ExportClip, stage: Any, mesh: Any, textures: list[str | None]) -> None:
    """Define the materials and bind them: to the mesh when it is one part, otherwise to a face subset per part."""
    from pxr import Tf, UsdGeom, UsdShade, Vt

    scope = mesh.GetPath().GetParentPath().AppendChild("materials")
    names = unique_names(Tf.MakeValidIdentifier(name) for name in clip.material_names())
    if names:
        UsdGeom.Scope.Define(stage, scope)
    materials = [
        _preview_material(stage, scope.AppendChild(name), material, texture)
        for name, material, texture in zip(names, clip.materials, textures, strict=True)
    ]
    prims = [mesh.GetPrim()]
    if len(clip.parts) > 1:
        prims = []
        part_names = unique_names(Tf.MakeValidIdentifier(f"part_{part.name}") for part in clip.parts)
        first = 0
        for name, part in zip(part_names, clip.parts, strict=True):
            members = Vt.IntArray.FromNumpy(np.arange(first, first + len(part.faces), dtype=np.int32))
            first += len(part.faces)
            tokens = (
                UsdGeom.Tokens.face,
                members,
                UsdShade.Tokens.materialBind,
                UsdGeom.Tokens.partition,
            )
            prims.append(UsdGeom.Subset.CreateGeomSubset(mesh, name, *tokens).GetPrim())
    for part, prim in zip(clip.parts, prims, strict=True):
        index = clip.material_index(part)
        if index is not None:
            UsdShade.MaterialBindingAPI.Apply(prim).Bind(materials[index])


def _preview_material(stage: Any, path: Any, material: Material, texture: str | None) -> Any:
    """A UsdPreviewSurface with the material's colour, or its texture times the colour."""
    from pxr import Gf, Sdf, UsdShade

    kinds = Sdf.ValueTypeNames
    result = UsdShade.Material.Define(stage, path)
    surface = UsdShade.Shader.Define(stage, path.AppendChild("surface"))
    surface.CreateIdAttr("UsdPreviewSurface")
    surface.CreateInput("metallic", kinds.Float).Set(material.metallic)
    surface.CreateInput("roughness", kinds.Float).Set(material.roughness)
    surface.CreateInput("emissiveColor", kinds.Color3f).Set(Gf.Vec3f(*material.emissive))
    color = surface.CreateInput("diffuseColor", kinds.Color3f)
    opacity = surface.CreateInput("opacity", kinds.Float)
    if material.alpha_mode == "MASK":
        surface.CreateInput("opacityThreshold", kinds.Float).Set(0.5)
    result.CreateSurfaceOutput().ConnectToSource(surface.ConnectableAPI(), "surface")
    opacity.Set(1.0 if material.alpha_mode == "OPAQUE" else material.base_color[3])
    if texture is None:
        color.Set(Gf.Vec3f(*material.base_color[:3]))
        return result

    reader = UsdShade.Shader.Define(stage, path.AppendChild("uv"))
    reader.CreateIdAttr("UsdPrimvarReader_float2")
    reader.CreateInput("varname", kinds.String).Set("st")
    reader.CreateOutput("result", kinds.Float2)
    image = UsdShade.Shader.Define(stage, path.AppendChild("texture"))
    image.CreateIdAttr("UsdUVTexture")
    image.CreateInput("file", kinds.Asset).Set(Sdf.AssetPath(f"./{texture}"))
    image.CreateInput("sourceColorSpace", kinds.Token).Set("sRGB")
    image.CreateInput("wrapS", kinds.Token).Set("repeat")
    image.CreateInput("wrapT", kinds.Token).Set("repeat")
    image.CreateInput("scale", kinds.Float4).Set(Gf.Vec4f(*material.base_color))
    image.CreateInput("st", kinds.Float2).ConnectToSource(reader.ConnectableAPI(), "result")
    image.CreateOutput("rgb", kinds.Float3)
    color.ConnectToSource(image.ConnectableAPI(), "rgb")
    if material.alpha_mode != "OPAQUE":
        image.CreateOutput("a", kinds.Float)
        opacity.ConnectToSource(image.ConnectableAPI(), "a")
    return result
