"""Rigs as UsdSkel, skinned by usd-core itself."""

from __future__ import annotations

import numpy as np
import pytest
from pxr import Gf, Usd, UsdGeom, UsdSkel, Vt

from core.io.export_clip import ExportOptions
from core.io.mesh.mesh_reader import read_mesh
from core.io.rig_export import export_rig
from core.pipelines.make_rig import RigOptions, make_rig
from tests.rigging.bent_tube import bent_tube


def skinned(path, animation: int, when: float) -> np.ndarray:
    """World positions as usd-core skins them."""
    stage = Usd.Stage.Open(str(path))
    stage.SetEditTarget(stage.GetSessionLayer())
    root = UsdSkel.Root(stage.GetDefaultPrim())
    mesh = UsdGeom.Mesh(next(prim for prim in stage.Traverse() if prim.IsA(UsdGeom.Mesh)))
    animations = [prim.GetPath() for prim in stage.Traverse() if prim.IsA(UsdSkel.Animation)]
    skeleton = next(prim for prim in stage.Traverse() if prim.IsA(UsdSkel.Skeleton))
    UsdSkel.BindingAPI(skeleton).GetAnimationSourceRel().SetTargets([animations[animation]])
    cache = UsdSkel.Cache()
    cache.Populate(root, Usd.PrimDefaultPredicate)
    query, skin = cache.GetSkelQuery(UsdSkel.Skeleton(skeleton)), cache.GetSkinningQuery(mesh.GetPrim())
    assert query and skin and skin.HasJointInfluences()
    points = Vt.Vec3fArray(mesh.GetPointsAttr().Get())
    assert skin.ComputeSkinnedPoints(query.ComputeSkinningTransforms(when), points, when)
    world = np.array(UsdGeom.Xformable(mesh).ComputeLocalToWorldTransform(when))
    return np.array(points) @ world[:3, :3] + world[3, :3]


@pytest.mark.parametrize("suffix", ["usdc", "usda", "usdz"])
def test_usd_skins_the_mesh_as_we_do(tmp_path, suffix) -> None:
    motions = [bent_tube(), bent_tube(9, 1.0)]
    rig = make_rig(motions, ["bend", "an other"], RigOptions(8)).rig
    path = export_rig(rig, motions[0], tmp_path / f"rig.{suffix}")[0]
    for number, motion in enumerate(motions):
        wanted = rig.vertices(motion.vertices[0].astype(np.float64), rig.actions[number])
        for t in range(motion.frames):
            np.testing.assert_allclose(skinned(path, number, float(t)), wanted[t], atol=1e-4)
    stage = Usd.Stage.Open(str(path))
    assert (stage.GetStartTimeCode(), stage.GetEndTimeCode()) == (0, motions[0].frames - 1)
    skeleton = UsdSkel.Skeleton(next(prim for prim in stage.Traverse() if prim.IsA(UsdSkel.Skeleton)))
    valid, reason = UsdSkel.Topology(skeleton.GetJointsAttr().Get()).Validate()
    assert valid, reason
    assert list(skeleton.GetJointNamesAttr().Get()) == list(rig.names)


def test_axes_scale_materials_and_file_vertices(case, tmp_path) -> None:
    result = make_rig([case.sequence], ["bend"], RigOptions(6))
    options = ExportOptions(up_axis="z", scale=10.0)
    path = export_rig(result.rig, case.sequence, tmp_path / "rig.usda", case.source, options=options)[0]
    rest = case.sequence.vertices[0].astype(np.float64)
    wanted = result.rig.vertices(rest, result.rig.actions[0])[:, case.source.file_to_vertex]
    upright = 10 * wanted[..., [0, 2, 1]] * [1, -1, 1]
    for t in range(case.sequence.frames):
        np.testing.assert_allclose(skinned(path, 0, float(t)), upright[t], atol=1e-3)
    again = read_mesh(path)
    assert {part.material.name for part in again.parts} == {
        part.material.name.replace(" ", "_") for part in case.source.parts
    }
    stage = Usd.Stage.Open(str(path))
    mesh = next(prim for prim in stage.Traverse() if prim.IsA(UsdGeom.Mesh))
    assert UsdSkel.BindingAPI(mesh).GetGeomBindTransformAttr().Get() == Gf.Matrix4d(1.0)


def test_names_that_usd_does_not_take(tmp_path) -> None:
    """Digits first, spaces, signs, and two that become one."""
    motions = [bent_tube(5), bent_tube(5, 1.0), bent_tube(5, 2.0)]
    rig = make_rig(motions, ["128", "a.b", "a-b"], RigOptions(3)).rig
    stage = Usd.Stage.Open(str(export_rig(rig, motions[0], tmp_path / "7 rigs.usda")[0]))
    names = [prim.GetName() for prim in stage.Traverse() if prim.IsA(UsdSkel.Animation)]
    assert names == ["_128", "a_b", "a_b_1"]
