"""Writes `import_NAME.py`, which imports an export into Blender with its frame rate, range and animation.

The script is assembled from the blocks below and needs Blender 4.2 or later.
"""

from __future__ import annotations

from core.io.export_clip import ExportClip
from core.io.gltf import glb_writer

START = '''"""Imports {title} into Blender and sets the scene's frame rate and range.

Run: blender --python {script}   (or open this file in Blender's text editor and run it there)
"""

from pathlib import Path

import bpy
from mathutils import Matrix

FILE = {file!r}
FPS = {fps!r}
FRAMES = {frames!r}


def folder():
    """The export's folder, which is this script's, also when Blender's text editor runs it."""
    places = [Path(__file__).parent]
    places += [Path(bpy.path.abspath(text.filepath)).parent for text in bpy.data.texts if text.filepath]
    for place in places:
        if (place / FILE).exists():
            return place.resolve()
    raise FileNotFoundError(FILE + " is not beside this script; keep them in one folder.")


def set_scene():
    """Set rate and range; frames count from 0. Blender's rate is a whole number over a base."""
    scene = bpy.context.scene
    scene.render.fps = max(1, round(FPS))
    scene.render.fps_base = scene.render.fps / FPS
    scene.frame_start, scene.frame_end = 0, FRAMES - 1
    scene.frame_set(0)


def imported(operator, **arguments):
    """Run an import operator and return the mesh object that it made."""
    before = set(bpy.data.objects)
    operator(**arguments)
    return next(thing for thing in bpy.data.objects if thing not in before and thing.type == "MESH")


def curves(keys):
    """The animation curves of a mesh's shape keys; Blender 5 keeps them in layers."""
    action = keys.animation_data.action
    if hasattr(action, "fcurves"):
        return list(action.fcurves)
    strips = [strip for layer in action.layers for strip in layer.strips]
    return [curve for strip in strips for bag in strip.channelbags for curve in bag.fcurves]

'''

GLB = '''
def keys_on_whole_frames(mesh):
    """Put keys on whole frames: importers round seconds, and some ignore a fractional rate."""
    if mesh.shape_keys is None or mesh.shape_keys.animation_data is None:
        return
    for curve in curves(mesh.shape_keys):
        for frame, point in enumerate(curve.keyframe_points):
            point.co.x = frame
            point.interpolation = "LINEAR"
        curve.update()

'''

RESTORE_ORDER = '''
def restore_order(mesh):
    """Merge the copies that glTF needs of vertices at texture seams and between parts; restore the file's order."""
    import bmesh

    work = bmesh.new()
    work.from_mesh(mesh)
    place = work.verts.layers.float[{attribute!r}]
    first, copies = {{}}, {{}}
    for vertex in work.verts:
        original = first.setdefault(round(vertex[place]), vertex)
        if original is not vertex:
            copies[vertex] = original
    bmesh.ops.weld_verts(work, targetmap=copies)
    for vertex in work.verts:
        vertex.index = round(vertex[place])
    work.verts.sort()
    work.to_mesh(mesh)
    work.free()
    mesh.attributes.remove(mesh.attributes[{attribute!r}])
    mesh.update()

'''

SHAPE_KEYS = '''
def add_frame(obj, frame, positions):
    """Add a shape key that is fully on at its frame and off at the frames beside it."""
    if frame == 0:
        obj.shape_key_add(name="Basis")
        return
    key = obj.shape_key_add(name="frame_%04d" % frame, from_mix=False)
    key.points.foreach_set("co", positions)
    for at, value in ((frame - 1, 0.0), (frame, 1.0), (frame + 1, 0.0)):
        if at < FRAMES:
            key.value = value
            key.keyframe_insert("value", frame=at)


def linear(obj):
    """Interpolate linearly between frames."""
    if FRAMES > 1:
        for curve in curves(obj.data.shape_keys):
            for point in curve.keyframe_points:
                point.interpolation = "LINEAR"

'''

READ_OBJ = '''
def positions_in(path):
    """x y z of every vertex, one after the other."""
    values = []
    with open(path, encoding="utf-8") as file:
        for line in file:
            if line.startswith("v "):
                values += [float(word) for word in line.split()[1:4]]
    return values

'''

READ_PLY = '''
def positions_in(path):
    """x y z of every vertex, one after the other."""
    import numpy

    head, body = path.read_bytes().split(b"end_header\\n", 1)
    sizes = {b"float": "<f4", b"double": "<f8", b"uchar": "u1"}
    lines = [line.split() for line in head.split(b"\\n") if line.startswith(b"property") and b" list " not in line]
    row = numpy.dtype([(name.decode(), sizes[kind]) for _, kind, name in lines])
    values = numpy.frombuffer(body, dtype=row, count=VERTICES)
    return numpy.stack([values[axis] for axis in "xyz"], -1).ravel()

'''


def blender_script(clip: ExportClip, suffix: str, file: str, tag: str, base: str | None) -> str | None:
    """The script that imports `file`; None for formats Blender cannot read.

    `tag` is the script's name without `import_` and `.py`; `base` the OBJ that a point cache is played on.
    """
    names = {"file": file, "title": f"{clip.name}{suffix}", "script": f"import_{tag}.py"}
    start = START.format(**names, fps=float(clip.fps), frames=len(clip.frames))
    if suffix == ".glb":
        helpers, body = _glb(clip)
    elif suffix in (".usdc", ".usda", ".usdz"):
        helpers, body = (
            "",
            ["obj = imported(bpy.ops.wm.usd_import, filepath=str(FOLDER / FILE), set_frame_range=False)"],
        )
    elif suffix in (".pc2", ".mdd"):
        helpers, body = "", _point_cache(clip, suffix, base)
    elif suffix in (".obj", ".ply"):
        helpers, body = _frames(clip, suffix)
    else:
        return None
    lines = ["", "FOLDER = folder()", "set_scene()", *body, "set_scene()", ""]
    return start + helpers + "\n".join(lines)


def _glb(clip: ExportClip) -> tuple[str, list[str]]:
    body = ["obj = imported(bpy.ops.import_scene.gltf, filepath=str(FOLDER / FILE))"]
    helpers = GLB
    if not glb_writer.arrange(clip).in_order:
        helpers += RESTORE_ORDER.format(attribute=glb_writer.ORDER_ATTRIBUTE)
        body.append("restore_order(obj.data)")
    return helpers, [*body, "keys_on_whole_frames(obj.data)"]


def _point_cache(clip: ExportClip, suffix: str, base: str | None) -> list[str]:
    return [
        f"obj = {_import_mesh('obj', f'FOLDER / {base!r}')}",
        _stand_up(clip, clip.origin),
        'cache = obj.modifiers.new("motion", "MESH_CACHE")',
        f"cache.cache_format = {suffix[1:].upper()!r}",
        "cache.filepath = str(FOLDER / FILE)",
        'cache.time_mode, cache.play_mode, cache.interpolation = "FRAME", "SCENE", "LINEAR"',
        "cache.frame_start, cache.frame_scale = 0.0, 1.0",
    ]


def _frames(clip: ExportClip, suffix: str) -> tuple[str, list[str]]:
    kind = suffix[1:]
    first = f"FOLDER / FILE / 'frame_0000.{kind}'"
    body = [
        f"VERTICES = {len(clip.weld)}",
        f"obj = {_import_mesh(kind, first)}",
        _stand_up(clip),
        "for frame in range(FRAMES):",
        f"    add_frame(obj, frame, positions_in(FOLDER / FILE / ('frame_%04d.{kind}' % frame)))",
        "linear(obj)",
    ]
    return SHAPE_KEYS + (READ_OBJ if kind == "obj" else READ_PLY), body


def _import_mesh(kind: str, path: str) -> str:
    """A call of Blender's OBJ or PLY importer that keeps the axes."""
    return f'imported(bpy.ops.wm.{kind}_import, filepath=str({path}), forward_axis="Y", up_axis="Z")'


def _stand_up(clip: ExportClip, origin: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> str:
    """Turn the object to Blender's Z up, at `origin`; mesh and cache keep the file's coordinates."""
    turn = {
        "y": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
        "z": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
        "x": ((0, -1, 0), (0, 0, -1), (1, 0, 0)),
    }[clip.up_axis]
    rows = [(*row, sum(a * b for a, b in zip(row, origin, strict=True)) if any(origin) else 0) for row in turn]
    return f"obj.matrix_world = Matrix({(*rows, (0, 0, 0, 1))!r})"
