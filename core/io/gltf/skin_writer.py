"""Writes a GLB with bones: the mesh at rest with a skin, and each motion as an animation of joint rotations.

Joints are below a node `rig`, whose translation is the mesh's origin if that is far from 0. glTF has Y up, metres and
seconds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import ExportError
from core.geometry.skeleton import Action, Keys, Rig
from core.io.export_clip import ExportClip
from core.io.gltf.buffer import Buffer, write_container
from core.io.gltf.glb_writer import ASSET, arrange, primitives
from core.io.gltf.material_writer import MaterialWriter

MESH, HANGER, JOINTS = 0, 1, 2  # nodes: the mesh, the parent of the joints, the first joint


def write_skinned_glb(clip: ExportClip, rig: Rig, path: Path) -> None:
    """Write the clip's first frame, bound to a rig of its vertices. Raises ExportError for another up axis than Y."""
    if clip.up_axis != "y":
        raise ExportError(f"A GLB file always has Y up, not {clip.up_axis}; choose y or another format.")
    buffer = Buffer(path.parent)

    def influences(rows: NDArray[np.int64]) -> dict[str, int]:
        bones, weights = buffer.influences(rig.bones[rows], rig.weights[rows])
        return {"JOINTS_0": bones, "WEIGHTS_0": weights}

    back = np.tile(np.eye(4, dtype=np.float32), (len(rig.names), 1, 1))  # by columns: the last row is the translation
    back[:, 3, :3] = -rig.places
    document: dict[str, Any] = {
        "asset": ASSET,
        "scene": 0,
        "scenes": [{"nodes": [MESH, HANGER]}],
        "nodes": [{"name": clip.name, "mesh": 0, "skin": 0}, _hanger(clip), *_joints(rig)],
        "meshes": [{"name": clip.name, "primitives": primitives(arrange(clip), buffer, influences)}],
        "skins": [
            {
                "name": "rig",
                "joints": [JOINTS + joint for joint in range(len(rig.names))],
                "skeleton": JOINTS,
                "inverseBindMatrices": buffer.numbers(back.reshape(-1, 16)),
            }
        ],
        "animations": [_animation(rig, action, buffer) for action in rig.actions],
    }
    MaterialWriter(document, clip, buffer.view).write()
    write_container(path, document, buffer)


def _hanger(clip: ExportClip) -> dict[str, Any]:
    node: dict[str, Any] = {"name": "rig", "children": [JOINTS]}
    return node | {"translation": list(clip.origin)} if any(clip.origin) else node


def _joints(rig: Rig) -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = []
    for joint, (name, offset) in enumerate(zip(rig.names, rig.offsets, strict=True)):
        below = [JOINTS + int(child) for child in np.flatnonzero(rig.parents == joint)]
        nodes.append({"name": name, "translation": offset.tolist()} | ({"children": below} if below else {}))
    return nodes


def _animation(rig: Rig, action: Action, buffer: Buffer) -> dict[str, Any]:
    """A rotation channel for every joint, and a translation channel if it moves; equal times are stored once.

    Joints that do not move have one key, so that every action determines the whole pose.
    """
    samplers: list[dict[str, Any]] = []
    channels: list[dict[str, Any]] = []
    times: dict[bytes, int] = {}

    def add(joint: int, path: str, keys: Keys, values: NDArray[np.float64]) -> None:
        mark = keys.frames.tobytes()
        if mark not in times:
            times[mark] = buffer.numbers((keys.frames / action.fps).astype(np.float32), limits=True)
        output = buffer.numbers(values.astype(np.float32))
        samplers.append({"input": times[mark], "output": output, "interpolation": "LINEAR"})
        channels.append({"sampler": len(samplers) - 1, "target": {"node": JOINTS + joint, "path": path}})

    for joint, (turns, shifts) in enumerate(zip(action.rotations, action.shifts, strict=True)):
        add(joint, "rotation", turns, turns.values)
        if shifts is not None:
            add(joint, "translation", shifts, rig.offsets[joint] + shifts.values)
    return {"name": action.name, "samplers": samplers, "channels": channels}
