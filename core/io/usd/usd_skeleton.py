"""Writes UsdSkel: a skeleton, the weights that bind a mesh to it, and each motion as a SkelAnimation.

A SkelAnimation's time samples hold all joints, so there is one wherever any joint has a key. The skeleton plays the
first motion; `skel:animationSource` chooses another.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from core.geometry.skeleton import Action, Rig
from core.io.usd.usd_names import prim_names


def bind_skeleton(stage: Any, mesh: Any, rig: Rig) -> None:
    """Add the skeleton and its motions to a stage whose mesh, under a SkelRoot, has the rig's vertices at rest."""
    from pxr import Gf, UsdSkel, Vt

    place = mesh.GetPath().GetParentPath().AppendChild("rig")
    skeleton = UsdSkel.Skeleton.Define(stage, place)
    joints = _paths(rig)
    skeleton.CreateJointsAttr(joints)
    skeleton.CreateJointNamesAttr(list(rig.names))
    moved = lambda places: Vt.Matrix4dArray([Gf.Matrix4d().SetTranslate(Gf.Vec3d(*p)) for p in places.tolist()])  # noqa: E731
    skeleton.CreateBindTransformsAttr(moved(rig.places))
    skeleton.CreateRestTransformsAttr(moved(rig.offsets))

    binding = UsdSkel.BindingAPI.Apply(mesh.GetPrim())
    binding.CreateSkeletonRel().SetTargets([place])
    binding.CreateGeomBindTransformAttr(Gf.Matrix4d(1.0))
    width = rig.bones.shape[1]
    bones = np.ascontiguousarray(rig.bones.ravel(), dtype=np.int32)
    binding.CreateJointIndicesPrimvar(False, width).Set(Vt.IntArray.FromNumpy(bones))
    weights = np.ascontiguousarray(rig.weights.ravel(), dtype=np.float32)
    binding.CreateJointWeightsPrimvar(False, width).Set(Vt.FloatArray.FromNumpy(weights))

    rate = stage.GetTimeCodesPerSecond()
    last = 0.0
    source = UsdSkel.BindingAPI.Apply(skeleton.GetPrim())
    names = prim_names(action.name for action in rig.actions)
    for number, (name, action) in enumerate(zip(names, rig.actions, strict=True)):
        animation = UsdSkel.Animation.Define(stage, place.AppendChild(name))
        animation.CreateJointsAttr(joints)
        _write_action(animation, rig, action, rate / action.fps)
        last = max(last, (action.frames - 1) * rate / action.fps)
        if number == 0:
            source.CreateAnimationSourceRel().SetTargets([animation.GetPath()])
    stage.SetEndTimeCode(last)


def _write_action(animation: Any, rig: Rig, action: Action, stretch: float) -> None:
    from pxr import Gf, Vt

    keys = [keys.frames for keys in (*action.rotations, *action.shifts) if keys is not None]
    frames = np.unique(np.concatenate(keys))
    rotations, translations = rig.local_pose(action, frames.astype(np.float64))
    turns, moves = animation.CreateRotationsAttr(), animation.CreateTranslationsAttr()
    animation.CreateScalesAttr(Vt.Vec3hArray(len(rig.names), Gf.Vec3h(1.0)))
    for frame, turned, moved in zip(frames, rotations, translations, strict=True):
        quaternions = [Gf.Quatf(w, x, y, z) for x, y, z, w in turned.tolist()]
        turns.Set(Vt.QuatfArray(quaternions), float(frame) * stretch)
        moves.Set(Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(moved, dtype=np.float32)), float(frame) * stretch)


def _paths(rig: Rig) -> list[str]:
    """Joint names of UsdSkel: paths from the root."""
    paths: list[str] = []
    for joint, name in enumerate(prim_names(rig.names)):
        parent = int(rig.parents[joint])
        paths.append(name if parent < 0 else f"{paths[parent]}/{name}")
    return paths
