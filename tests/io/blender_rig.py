"""Runs inside a Python that has bpy: imports a rig and writes what Blender shows of it, frame by frame.

Usage: python blender_rig.py RIG FRAMES OUT.npz.
"""

import sys

import bpy
import numpy as np
from blender_dump import world_positions

path, frames, out = sys.argv[1], int(sys.argv[2]), sys.argv[3]
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.context.scene.render.fps = 24
if path.endswith(".glb"):
    bpy.ops.import_scene.gltf(filepath=path)
else:
    bpy.ops.wm.usd_import(filepath=path)
(armature,) = [thing for thing in bpy.data.objects if thing.type == "ARMATURE"]
(mesh,) = [thing for thing in bpy.data.objects if any(modifier.type == "ARMATURE" for modifier in thing.modifiers)]
shown = []
for frame in range(frames):
    bpy.context.scene.frame_set(frame)
    shown.append(world_positions(mesh))
np.savez(
    out,
    frames=np.stack(shown),
    bones=[bone.name for bone in armature.data.bones],
    parents=["" if bone.parent is None else bone.parent.name for bone in armature.data.bones],
    groups=[group.name for group in mesh.vertex_groups],
    actions=[action.name for action in bpy.data.actions],
    curves=[len(action.fcurves) for action in bpy.data.actions],
    keys=[max(len(curve.keyframe_points) for curve in action.fcurves) for action in bpy.data.actions],
)
