"""Reads a USD file's animated meshes: those with time samples of points, or of transforms above them.

All visible mesh prims form one surface in world space. Faces must not change in time. Skeletons (UsdSkel) are not
baked: export the animation as a point cache.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError
from core.geometry.polygons import triangulate
from core.sequence import MIN_FRAMES

MAX_FRAMES = 100_000


class PointCache(NamedTuple):
    """Positions [T, V, 3] in world space, triangles [F, 3], frames per second, and the stage's up axis."""

    positions: NDArray[np.float32]
    triangles: NDArray[np.int32]
    fps: float
    up_axis: str


def read_point_cache(path: Path) -> PointCache:
    """All points of all mesh prims in world space, one frame per time sample. Raises DataError."""
    try:
        from pxr import Tf, Usd, UsdGeom
    except ImportError:
        raise DataError("Reading USD needs the package usd-core; install it with: pip install usd-core") from None
    try:
        stage = Usd.Stage.Open(str(path))
        meshes = [UsdGeom.Mesh(prim) for prim in stage.Traverse() if prim.IsA(UsdGeom.Mesh)]
        meshes = [mesh for mesh in meshes if mesh.ComputeVisibility() != UsdGeom.Tokens.invisible]
        times = _times(meshes, path)
        placed, corners, first = [], [], 0
        for mesh in meshes:
            positions = _positions(mesh, times, path)
            corners.append(_triangles(mesh, positions[0], path) + first)
            first += positions.shape[1]
            placed.append(positions)
        up = "z" if UsdGeom.GetStageUpAxis(stage) == UsdGeom.Tokens.z else "y"
        rate = float(stage.GetTimeCodesPerSecond())
    except Tf.ErrorException:
        raise DataError(f"{path} is damaged or not a USD file; export it again.") from None
    except (TypeError, ValueError, OverflowError, MemoryError) as error:
        raise DataError(f"{path} contains impossible values ({type(error).__name__}); export it again.") from None
    step = float(np.median(np.diff(times)))
    fps = rate / step if step > 0 else 0.0
    return PointCache(np.concatenate(placed, axis=1), np.concatenate(corners), fps, up)


def _times(meshes: list[Any], path: Path) -> list[float]:
    """The time codes of all samples of points and of transforms above them, sorted. Raises DataError."""
    found: set[float] = set()
    for mesh in meshes:
        found.update(mesh.GetPointsAttr().GetTimeSamples())
        prim = mesh.GetPrim()
        while prim and not prim.IsPseudoRoot():
            found.update(_transform_times(prim))
            prim = prim.GetParent()
        for attribute in (mesh.GetFaceVertexIndicesAttr(), mesh.GetFaceVertexCountsAttr()):
            if attribute.GetNumTimeSamples() > 1:
                raise DataError(
                    f"{path}: the faces of {mesh.GetPath()} change over time; export a mesh of constant topology."
                )
    if not meshes:
        raise DataError(f"{path} holds no mesh; export the animated mesh as a USD point cache.")
    if len(found) < MIN_FRAMES:
        raise DataError(
            f"{path} has no time-sampled points or transforms; export the animation as a point cache "
            "(skeletons are not baked here)."
        )
    if len(found) > MAX_FRAMES:
        raise DataError(f"{path} has {len(found)} time samples, too many for one clip; shorten it.")
    return sorted(found)


def _transform_times(prim: Any) -> list[float]:
    from pxr import UsdGeom

    return list(UsdGeom.Xformable(prim).GetTimeSamples()) if prim.IsA(UsdGeom.Xformable) else []


def _positions(mesh: Any, times: list[float], path: Path) -> NDArray[np.float32]:
    """World positions [T, V, 3]; between and beyond samples, USD interpolates or holds values."""
    from pxr import Usd

    frames: list[NDArray] = []
    for time in times:
        code = Usd.TimeCode(time)
        values = mesh.GetPointsAttr().Get(code)
        if values is None:
            raise DataError(f"{path}: {mesh.GetPath()} has no points at time {time:g}; export it again.")
        local = np.asarray(values, dtype=np.float64).reshape(-1, 3)
        if frames and len(local) != len(frames[0]):
            raise DataError(
                f"{path}: {mesh.GetPath()} changes its number of points at time {time:g}; export a constant topology."
            )
        matrix = np.asarray(mesh.ComputeLocalToWorldTransform(code), dtype=np.float64)  # acts on row vectors
        frames.append(local @ matrix[:3, :3] + matrix[3, :3])
    with np.errstate(over="ignore", invalid="ignore"):
        return np.stack(frames).astype(np.float32)


def _triangles(mesh: Any, positions: NDArray[np.float32], path: Path) -> NDArray[np.int32]:
    from pxr import Usd

    counts = np.asarray(mesh.GetFaceVertexCountsAttr().Get() or [], dtype=np.int64).reshape(-1)
    indices = np.asarray(mesh.GetFaceVertexIndicesAttr().Get() or [], dtype=np.int64).reshape(-1)
    if len(counts) == 0 or counts.min() < 1 or counts.sum() != len(indices):
        raise DataError(f"{path}: the face counts of {mesh.GetPath()} do not fit its indices; export it again.")
    if indices.min() < 0 or indices.max() >= len(positions):
        raise DataError(f"{path}: a face of {mesh.GetPath()} refers to a point that does not exist; export it again.")
    triangles = indices[triangulate(positions.astype(np.float64), indices, counts)].astype(np.int32)
    if len(triangles) == 0:
        raise DataError(f"{path}: {mesh.GetPath()} has no faces with three corners; export a surface.")
    matrix = np.asarray(mesh.ComputeLocalToWorldTransform(Usd.TimeCode.EarliestTime()), dtype=np.float64)
    mirrored = np.linalg.det(matrix[:3, :3]) < 0  # flips faces, as a left-handed orientation does
    return triangles[:, ::-1] if (mesh.GetOrientationAttr().Get() == "leftHanded") != mirrored else triangles
