"""Runs inside a Python that has bpy: runs import scripts and writes what Blender then shows, frame by frame.

Usage: python blender_dump.py JOBS.json, where JOBS is a list of {"script": path, "out": path.npz}.
"""

import json
import runpy
import sys
from pathlib import Path

import bpy
import numpy as np


def mesh_object():
    meshes = [thing for thing in bpy.context.scene.objects if thing.type == "MESH"]
    assert len(meshes) == 1, f"{len(meshes)} mesh objects were imported"
    return meshes[0]


def world_positions(obj):
    """[V, 3] of the evaluated mesh (shape keys and caches applied), in the world."""
    evaluated = obj.evaluated_get(bpy.context.evaluated_depsgraph_get())
    mesh = evaluated.to_mesh()
    flat = np.empty(3 * len(mesh.vertices), dtype=np.float32)
    mesh.vertices.foreach_get("co", flat)
    world = np.array(evaluated.matrix_world, dtype=np.float64)
    evaluated.to_mesh_clear()
    return flat.reshape(-1, 3) @ world[:3, :3].T + world[:3, 3]


def dump(script, out):
    bpy.ops.wm.read_factory_settings(use_empty=True)
    runpy.run_path(script)
    obj, scene = mesh_object(), bpy.context.scene
    frames = []
    for frame in range(scene.frame_start, scene.frame_end + 1):
        scene.frame_set(frame)
        frames.append(world_positions(obj))
    mesh = obj.data
    corners = np.empty(len(mesh.loops), dtype=np.int32)
    mesh.loops.foreach_get("vertex_index", corners)
    uv = np.zeros((0, 2), dtype=np.float32)
    if mesh.uv_layers:
        uv = np.empty(2 * len(mesh.loops), dtype=np.float32)
        mesh.uv_layers[0].data.foreach_get("uv", uv)
        uv = uv.reshape(-1, 2)
    slots = [slot.material for slot in obj.material_slots]
    images = [
        node.image
        for material in slots
        if material is not None and material.use_nodes
        for node in material.node_tree.nodes
        if node.type == "TEX_IMAGE" and node.image is not None
    ]
    np.savez(
        out,
        frames=np.stack(frames),
        corners=corners.reshape(-1, 3),
        uv=uv,
        materials=np.array([material.name if material else "" for material in slots], dtype=str),
        face_material=np.array([polygon.material_index for polygon in mesh.polygons], dtype=np.int32),
        textures_loaded=np.array([image.size[0] > 0 for image in images], dtype=bool),
        fps=scene.render.fps / scene.render.fps_base,
    )


if __name__ == "__main__":
    for job in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
        dump(job["script"], job["out"])
