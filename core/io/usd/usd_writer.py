"""Writes USD with usd-core: a mesh with time samples of points, normals and extent, or with bones.

Materials are UsdPreviewSurface. Time code 0 is the first frame; a time code is a frame.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import ExportError
from core.geometry.skeleton import Rig
from core.io.export_clip import ExportClip
from core.io.materials import PLAIN_IMAGES, write_textures
from core.io.shading import clip_normals
from core.io.usd.usd_material import CHANNELS, write_usd_material
from core.io.usd.usd_names import prim_names
from core.io.usd.usd_skeleton import bind_skeleton

PART = 256 << 20  # bytes of frames buffered in memory
LONG_TEXT = 4 << 20  # bytes of positions beyond which writing text takes seconds


def write_usd(clip: ExportClip, path: Path, prefix: str, rig: Rig | None = None) -> None:
    """Write `.usdc`, `.usda` or `.usdz` (with its textures inside). Raises ExportError for X up, which USD lacks.

    With a rig of the same vertices, the first frame is the rest pose, and bones move it.
    """
    if clip.up_axis == "x":
        raise ExportError("A USD file has Y or Z up, not x; choose y or z.")
    try:
        from pxr import Sdf, Tf, UsdUtils
    except ImportError as error:
        raise ExportError("USD export needs the package usd-core; install it with: pip install usd-core") from error
    try:
        if path.suffix == ".usda" and clip.frames.nbytes > LONG_TEXT:
            binary = path.with_suffix(".usdc")
            _write_stage(clip, binary, prefix, rig)
            _as_text(binary, path)
            return
        if path.suffix != ".usdz":
            _write_stage(clip, path, prefix, rig)
            return
        inner = path.parent / "package"
        inner.mkdir()
        layer = inner / f"{clip.name}.usdc"
        _write_stage(clip, layer, clip.name, rig)
        if not UsdUtils.CreateNewUsdzPackage(Sdf.AssetPath(str(layer)), str(path)):
            raise ExportError(f"{path.name} cannot be packed; write .usdc instead.")
        shutil.rmtree(inner)
    except Tf.ErrorException as error:  # USD's own message names its source files
        full = shutil.disk_usage(path.parent).free < 1 << 20
        raise OSError(os.strerror(errno.ENOSPC) if full else "the disk refuses") from error


def _as_text(binary: Path, path: Path) -> None:
    """Convert a binary file to text in a separate process, since USD ignores Ctrl-C while it writes."""
    script = "import sys; from pxr import Sdf; sys.exit(not Sdf.Layer.FindOrOpen(sys.argv[1]).Export(sys.argv[2]))"
    done = subprocess.run([sys.executable, "-c", script, str(binary), str(path)], capture_output=True, check=False)
    if done.returncode != 0 or not path.is_file():
        full = shutil.disk_usage(path.parent).free < 1 << 20
        raise OSError(os.strerror(errno.ENOSPC) if full else "the disk refuses")
    binary.unlink()


def _write_stage(clip: ExportClip, path: Path, prefix: str, rig: Rig | None) -> None:
    from pxr import Gf, Usd, UsdGeom, UsdSkel, Vt

    textures = write_textures(clip, path.parent, prefix, tuple(CHANNELS), PLAIN_IMAGES)
    stage = Usd.Stage.CreateNew(str(path))
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y if clip.up_axis == "y" else UsdGeom.Tokens.z)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    stage.SetTimeCodesPerSecond(clip.fps)
    stage.SetFramesPerSecond(clip.fps)
    stage.SetStartTimeCode(0)
    stage.SetEndTimeCode(len(clip.frames) - 1)
    kind = UsdGeom.Xform if rig is None else UsdSkel.Root
    root = kind.Define(stage, f"/{prim_names([clip.name])[0]}")
    stage.SetDefaultPrim(root.GetPrim())
    if any(clip.origin):
        root.AddTranslateOp(UsdGeom.XformOp.PrecisionDouble).Set(Gf.Vec3d(*clip.origin))

    mesh = UsdGeom.Mesh.Define(stage, root.GetPath().AppendChild("mesh"))
    faces = clip.faces
    mesh.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    mesh.CreateFaceVertexCountsAttr(Vt.IntArray.FromNumpy(np.full(len(faces), 3, dtype=np.int32)))
    mesh.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(np.ascontiguousarray(faces.ravel())))
    mesh.CreateDoubleSidedAttr(any(material.double_sided for material in clip.materials))
    points, extent, normals = (mesh.CreatePointsAttr(), mesh.CreateExtentAttr(), mesh.CreateNormalsAttr())
    mesh.SetNormalsInterpolation(UsdGeom.Tokens.vertex)
    unsaved = 0
    for number, (frame, directions) in enumerate(zip(clip.frames, clip_normals(clip), strict=True)):
        t = number if rig is None else Usd.TimeCode.Default()
        points.Set(Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(frame)), t)
        normals.Set(Vt.Vec3fArray.FromNumpy(directions), t)
        extent.Set(Vt.Vec3fArray.FromNumpy(np.stack([frame.min(0), frame.max(0)])), t)
        unsaved += 2 * frame.nbytes
        if unsaved > PART and path.suffix == ".usdc":  # a text file would be written whole each time
            stage.GetRootLayer().Save()
            unsaved = 0
    _add_uv(clip, mesh)
    _add_colors(clip, mesh)
    _bind_materials(clip, stage, mesh, textures)
    if rig is not None:
        bind_skeleton(stage, mesh, rig)
    stage.GetRootLayer().Save()


def _add_uv(clip: ExportClip, mesh: Any) -> None:
    """Add the primvar `st`: by corner if the file has seams, otherwise by vertex."""
    from pxr import Sdf, UsdGeom, Vt

    if clip.uv is None:
        return
    by_corner = clip.corner_uv()
    values = clip.uv if by_corner is None else by_corner.reshape(-1, 2)
    kind = UsdGeom.Tokens.vertex if by_corner is None else UsdGeom.Tokens.faceVarying
    primvar = UsdGeom.PrimvarsAPI(mesh).CreatePrimvar("st", Sdf.ValueTypeNames.TexCoord2fArray, kind)
    primvar.Set(Vt.Vec2fArray.FromNumpy(np.ascontiguousarray(values, dtype=np.float32)))
    if clip.uv1 is not None:
        second = UsdGeom.PrimvarsAPI(mesh).CreatePrimvar(
            "st1", Sdf.ValueTypeNames.TexCoord2fArray, UsdGeom.Tokens.vertex
        )
        second.Set(Vt.Vec2fArray.FromNumpy(np.ascontiguousarray(clip.uv1, dtype=np.float32)))


def _add_colors(clip: ExportClip, mesh: Any) -> None:
    """Add vertex colours as displayColor, and as displayOpacity if something is transparent."""
    from pxr import UsdGeom, Vt

    if clip.colors is None:
        return
    colors = np.ascontiguousarray(clip.colors[:, :3], dtype=np.float32)
    mesh.CreateDisplayColorPrimvar(UsdGeom.Tokens.vertex).Set(Vt.Vec3fArray.FromNumpy(colors))
    if (clip.colors[:, 3] < 1).any():
        opacity = np.ascontiguousarray(clip.colors[:, 3], dtype=np.float32)
        mesh.CreateDisplayOpacityPrimvar(UsdGeom.Tokens.vertex).Set(Vt.FloatArray.FromNumpy(opacity))


def _bind_materials(clip: ExportClip, stage: Any, mesh: Any, textures: list[dict[str, str]]) -> None:
    """Define the materials and bind them, to the mesh if it is one part, otherwise to a face subset per part."""
    from pxr import UsdGeom, UsdShade, Vt

    scope = mesh.GetPath().GetParentPath().AppendChild("materials")
    names = prim_names(clip.material_names())
    if names:
        UsdGeom.Scope.Define(stage, scope)
    materials = [
        write_usd_material(stage, scope.AppendChild(name), material, files)
        for name, material, files in zip(names, clip.materials, textures, strict=True)
    ]
    prims = [mesh.GetPrim()]
    if len(clip.parts) > 1:
        prims = []
        part_names = prim_names(f"part_{part.name}" for part in clip.parts)
        first = 0
        for name, part in zip(part_names, clip.parts, strict=True):
            members = Vt.IntArray.FromNumpy(np.arange(first, first + len(part.faces), dtype=np.int32))
            first += len(part.faces)
            tokens = (UsdGeom.Tokens.face, members, UsdShade.Tokens.materialBind, UsdGeom.Tokens.partition)
            prims.append(UsdGeom.Subset.CreateGeomSubset(mesh, name, *tokens).GetPrim())
    for part, prim in zip(clip.parts, prims, strict=True):
        index = clip.material_index(part)
        if index is not None:
            UsdShade.MaterialBindingAPI.Apply(prim).Bind(materials[index])
