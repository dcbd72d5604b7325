"""Reads a USD file as a mesh to animate, with usd-core: all visible meshes at their first time, with materials.

Files inside a `.usdz` are read from the package, other files only from the stage's own folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import MeshError
from core.geometry.polygons import triangulate
from core.io.beside import MAX_BESIDE_BYTES, FilesBeside, OutsideError
from core.io.mesh.source_mesh import MAX_FILE_VERTICES, build_source_mesh
from core.io.usd.usd_material import read_usd_material
from core.sequence import Material, MeshPart, SourceMesh

MAX_MESHES = 10_000
_UV = ("st", "UVMap", "st0", "map1", "uv")  # the first one present is read
_OTHER = ("displayColor", "displayOpacity", "normals", "tangents")  # primvars without a note; the last two are computed


def read_usd_mesh(path: Path) -> SourceMesh:
    """All visible meshes in world space at their first time, with the stage's up axis. Raises MeshError.

    Texture coordinates, colours and preview materials are kept. Skeletons are not posed, and curves, points and point
    instancers are left out, with notes.
    """
    try:
        from pxr import Tf
    except ImportError:
        raise MeshError("Reading USD needs the package usd-core; install it with: pip install usd-core") from None
    try:
        return _StageReader(path).mesh()
    except MeshError:
        raise
    except (Tf.ErrorException, RuntimeError):
        raise MeshError(f"{path.name} is damaged or not a USD file; export it again.") from None
    except (TypeError, ValueError, OverflowError, IndexError, AttributeError) as error:
        raise MeshError(f"{path.name} contains impossible values ({type(error).__name__}); export it again.") from error


class _StageReader:
    def __init__(self, path: Path) -> None:
        from pxr import Usd, UsdGeom

        self.path = path
        self.stage = Usd.Stage.Open(str(path))
        self.beside = FilesBeside(path.parent)
        self.notes: list[str] = []
        self.materials: dict[str, Material] = {}
        self.time = Usd.TimeCode.EarliestTime()
        self.transforms = UsdGeom.XformCache(self.time)
        self._check_layers()

    def mesh(self) -> SourceMesh:
        from pxr import UsdGeom

        points: list[NDArray[np.float64]] = []
        uvs: list[NDArray | None] = []
        colors: list[NDArray | None] = []
        parts: list[MeshPart] = []
        start = 0
        for prim in self._meshes():
            mesh = UsdGeom.Mesh(prim)
            placed = self._points(mesh)
            uv, color = self._surface(mesh, len(placed), start, placed, parts)
            points.append(placed)
            uvs.append(uv)
            colors.append(color)
            start += len(placed)
            if start > MAX_FILE_VERTICES or len(points) > MAX_MESHES:
                raise MeshError(f"{self.path.name} has too many vertices or meshes; reduce (decimate) it first.")
        if not points:
            raise MeshError(f"{self.path.name} contains no visible mesh; export the surface as a USD mesh.")
        if samples := self._moments():
            self.notes.append(f"It moves over {samples:,} time samples; the mesh is the first of them.")
        up = "z" if UsdGeom.GetStageUpAxis(self.stage) == UsdGeom.Tokens.z else "y"
        return build_source_mesh(
            np.concatenate(points), parts=parts, uv=_joined(uvs, points, [0.0, 0.0]), name=self.path.stem,
            path=self.path, up_axis=up, notes=self.notes, colors=_joined(colors, points, [1.0, 1.0, 1.0, 1.0]),
        )  # fmt: skip

    def _check_layers(self) -> None:
        place = self.path.parent.resolve()
        for layer in self.stage.GetUsedLayers():
            real = layer.realPath.split("[")[0]
            if real and not Path(real).resolve().is_relative_to(place):
                raise MeshError(
                    f"{self.path.name} refers to {Path(real).name[:60]} outside its folder; copy that beside it."
                )

    def _meshes(self) -> Iterator[Any]:
        from pxr import Usd, UsdGeom

        left: dict[str, None] = {}  # could be meshes
        other: dict[str, None] = {}
        for prim in self.stage.Traverse(Usd.TraverseInstanceProxies()):
            kind = str(prim.GetTypeName())
            if kind == "PointInstancer" or (prim.IsA(UsdGeom.Gprim) and not prim.IsA(UsdGeom.Mesh)):
                left[kind] = None
            if kind == "SkelRoot":
                left["the pose of a skeleton"] = None
            if kind == "Camera" or kind.endswith("Light"):
                other["cameras and lights"] = None
            if not prim.IsA(UsdGeom.Mesh):
                continue
            image = UsdGeom.Imageable(prim)
            hidden = image.ComputeVisibility() == UsdGeom.Tokens.invisible
            if not hidden and image.ComputePurpose() in (UsdGeom.Tokens.default_, UsdGeom.Tokens.render):
                other |= dict.fromkeys(self._unread_primvars(prim))
                yield prim
        if left:
            self.notes.append(f"Left out: {', '.join(left)}; bake or convert them to meshes to keep them.")
        if other:
            more = f" and {len(other) - 5} more" if len(other) > 5 else ""
            self.notes.append(f"Only surfaces are read; left out are {', '.join([*other][:5])}{more}.")

    def _unread_primvars(self, prim: Any) -> list[str]:
        from pxr import UsdGeom

        names = [str(primvar.GetPrimvarName()) for primvar in UsdGeom.PrimvarsAPI(prim).GetPrimvarsWithValues()]
        read = next((name for name in _UV if name in names), "")
        left = [name for name in names if name not in (read, *_OTHER) and not name.startswith("skel:")]
        return [f"the primvar {name[:40]}" for name in left]

    def _moments(self) -> int:
        """The number of time samples of the points or a transform; 0 if nothing moves."""
        from pxr import Usd, UsdGeom

        found = 0
        for prim in self.stage.Traverse(Usd.TraverseInstanceProxies()):
            if prim.IsA(UsdGeom.Mesh):
                found = max(found, UsdGeom.Mesh(prim).GetPointsAttr().GetNumTimeSamples())
            if prim.IsA(UsdGeom.Xformable):
                found = max(found, len(UsdGeom.Xformable(prim).GetTimeSamples()))
        return found if found > 1 else 0

    def _points(self, mesh: Any) -> NDArray[np.float64]:
        values = mesh.GetPointsAttr().Get(self.time)
        local = np.asarray(values if values is not None else [], dtype=np.float64).reshape(-1, 3)
        return local @ self._matrix(mesh)[:3, :3] + self._matrix(mesh)[3, :3]

    def _matrix(self, mesh: Any) -> NDArray[np.float64]:
        return np.asarray(self.transforms.GetLocalToWorldTransform(mesh.GetPrim()), dtype=np.float64)  # on row vectors

    def _surface(
        self, mesh: Any, count: int, start: int, points: NDArray[np.float64], parts: list[MeshPart]
    ) -> tuple[NDArray | None, NDArray | None]:
        """Add the mesh's parts, one per bound subset; returns uv [n, 2] and colours [n, 4], or None."""
        from pxr import UsdGeom

        counts = np.asarray(mesh.GetFaceVertexCountsAttr().Get(self.time) or [], dtype=np.int64).reshape(-1)
        ring = np.asarray(mesh.GetFaceVertexIndicesAttr().Get(self.time) or [], dtype=np.int64).reshape(-1)
        name = mesh.GetPrim().GetName()
        if counts.size and (counts.min() < 0 or counts.sum() != len(ring)):
            raise MeshError(
                f"{self.path.name}: the face counts of {name[:60]} do not fit its indices; export it again."
            )
        if ring.size and (ring.min() < 0 or ring.max() >= count):
            raise MeshError(f"{self.path.name}: a face of {name[:60]} refers to a point that does not exist.")
        cut = triangulate(points, ring, counts)
        owner = np.repeat(np.arange(len(counts)), counts)[cut[:, 0]] if len(cut) else np.zeros(0, np.int64)
        left_handed = mesh.GetOrientationAttr().Get() == UsdGeom.Tokens.leftHanded
        if left_handed != (np.linalg.det(self._matrix(mesh)[:3, :3]) < 0):  # mirroring flips the faces as well
            cut = cut[:, ::-1]
        uv, corner_uv = self._coordinates(mesh, ring, count)
        for rows, material in self._bound(mesh, owner, len(counts)):
            seams = corner_uv[cut[rows]] if corner_uv is not None else None
            parts.append(MeshPart(name, (ring[cut[rows]] + start).astype(np.int32), material, seams))
        return uv, self._colors(mesh, ring, count)

    def _bound(self, mesh: Any, owner: NDArray, faces: int) -> Iterator[tuple[NDArray, Material | None]]:
        """(rows of triangles, material) of each subset, then of the rest."""
        from pxr import UsdShade

        free: NDArray[np.bool_] = np.ones(faces, bool)
        for subset in UsdShade.MaterialBindingAPI(mesh.GetPrim()).GetMaterialBindSubsets():
            members = np.asarray(subset.GetIndicesAttr().Get(self.time) or [], dtype=np.int64).reshape(-1)
            chosen: NDArray[np.bool_] = np.zeros(faces, bool)
            chosen[members[(members >= 0) & (members < faces)]] = True
            chosen &= free
            free &= ~chosen
            if len(rows := np.flatnonzero(chosen[owner])):
                yield rows, self._material(subset.GetPrim())
        if len(rows := np.flatnonzero(free[owner])):
            yield rows, self._material(mesh.GetPrim())

    def _material(self, prim: Any) -> Material | None:
        from pxr import UsdShade

        bound = UsdShade.MaterialBindingAPI(prim).ComputeBoundMaterial()[0]
        if not bound:
            return None
        key = str(bound.GetPath())
        if key not in self.materials:
            self.materials[key] = read_usd_material(bound, self._read_image, self.notes)
        return self.materials[key]

    def _read_image(self, asset: Any) -> bytes:
        """The bytes of an asset in the package or in the stage's folder. Raises OutsideError."""
        from pxr import Ar

        resolved = str(asset.resolvedPath or "")
        if "[" in resolved:
            found = Ar.GetResolver().OpenAsset(Ar.ResolvedPath(resolved))
            if found is None or found.GetSize() > MAX_BESIDE_BYTES:
                raise OutsideError("was not found in the package")
            return bytes(found.GetBuffer())
        place = self.path.parent.resolve()
        real = Path(resolved).resolve() if resolved else place / asset.path
        if not real.is_relative_to(place):
            raise OutsideError("lies outside the mesh's folder; copy it beside the mesh")
        return self.beside.read(str(real.relative_to(place)))

    def _coordinates(self, mesh: Any, ring: NDArray, count: int) -> tuple[NDArray | None, NDArray | None]:
        """Texture coordinates [n, 2] of points, and [C, 2] of corners if the primvar is per corner; else None."""
        found = self._primvar(mesh, _UV, 2)
        if found is None:
            return None, None
        values, by_corner = found
        if not by_corner:
            return (values, None) if len(values) == count else (None, None)
        if len(values) != len(ring):
            return None, None
        uv = np.zeros((count, 2))
        uv[ring[::-1]] = values[::-1]
        corners = values.astype(np.float32)
        return uv, None if (uv.astype(np.float32)[ring] == corners).all() else corners

    def _colors(self, mesh: Any, ring: NDArray, count: int) -> NDArray | None:
        """displayColor [n, 4] by vertex, also if it is per corner; None for one colour, which the material gets."""
        found = self._primvar(mesh, ("displayColor",), 3)
        if found is None or len(found[0]) < 2:
            return None
        values, by_corner = found
        if len(values) != (len(ring) if by_corner else count):
            return None
        colors = np.ones((count, 4))
        colors[ring[::-1] if by_corner else slice(None), :3] = values[::-1] if by_corner else values
        opacity = self._primvar(mesh, ("displayOpacity",), 1)
        if opacity is not None and not opacity[1] and len(opacity[0]) == count:
            colors[:, 3] = opacity[0][:, 0]
        return colors

    def _primvar(self, mesh: Any, names: tuple[str, ...], width: int) -> tuple[NDArray[np.float64], bool] | None:
        """Values [n, width] of the first of `names` present, and whether they are per corner."""
        from pxr import UsdGeom

        for name in names:
            primvar = UsdGeom.PrimvarsAPI(mesh).GetPrimvar(name)
            values = primvar.ComputeFlattened(self.time) if primvar and primvar.HasValue() else None
            if values is not None:
                array = np.asarray(values, dtype=np.float64)
                array = array.reshape(len(array), -1) if array.size else np.zeros((0, width))
                if array.shape[1] == width and np.isfinite(array).all():
                    return array, primvar.GetInterpolation() == UsdGeom.Tokens.faceVarying
        return None


def _joined(columns: list[NDArray | None], points: list[NDArray], usual: list[float]) -> NDArray | None:
    if all(values is None for values in columns):
        return None
    return np.concatenate(
        [
            np.tile(usual, (len(own), 1)) if values is None else values
            for values, own in zip(columns, points, strict=True)
        ]
    )
