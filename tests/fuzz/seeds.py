"""Valid small files of every kind that is read, each with the call that reads it and what has to hold of the result."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from PIL import Image

from core.bank.bank_file import read_bank, write_bank
from core.bank.shape import BankShape
from core.checkpoint import load_checkpoint, save_checkpoint
from core.config import Config, load_config
from core.io.export import export_sequence
from core.io.export_clip import ExportOptions
from core.io.handle_file import read_handle_file
from core.io.mesh.mesh_reader import read_mesh
from core.io.scans.scan_reader import read_scans
from core.io.sequence_file import read_sequence
from core.sequence import MeshSequence, ScanSequence, SourceMesh
from tests.bank.creatures import swinging_rod
from tests.glb_writer import arm, breathing_box

FILES = Path(__file__).parents[1] / "io" / "files"
Files = dict[str, bytes]


@dataclass(frozen=True)
class Seed:
    """`files` by name; `read` gets the path of `main` (empty: the folder) and `check` what it returned."""

    kind: str
    files: Files
    main: str
    read: Callable[[Path], Any]
    check: Callable[[Any], None]
    targets: tuple[str, ...] = field(default=())  # the files that are mutated; empty: all
    slow: bool = False  # read in a process of its own, so tried less often

    @property
    def mutated(self) -> tuple[str, ...]:
        return self.targets or tuple(self.files)


def check_mesh(mesh: SourceMesh) -> None:
    """What every mesh that was accepted has to satisfy."""
    assert (
        len(mesh.vertices) and len(mesh.faces) and np.isfinite(mesh.vertices).all() and np.isfinite(mesh.origin).all()
    )
    assert 0 <= mesh.faces.min() <= mesh.faces.max() < len(mesh.vertices)
    assert 0 <= mesh.file_to_vertex.min() <= mesh.file_to_vertex.max() < len(mesh.vertices)
    for values in (mesh.uv, mesh.uv1, mesh.colors):
        assert values is None or (len(values) == len(mesh.file_to_vertex) and np.isfinite(values).all())
    assert mesh.colors is None or 0 <= mesh.colors.min() <= mesh.colors.max() <= 1
    for part in mesh.parts:
        assert not len(part.faces) or 0 <= part.faces.min() <= part.faces.max() < len(mesh.file_to_vertex)
        assert part.corner_uv is None or np.isfinite(part.corner_uv).all()
        material = part.material
        if material is not None:
            factors = (*material.base_color, *material.emissive, material.metallic, material.roughness)
            assert all(0 <= factor <= 1 for factor in factors) and material.alpha_mode in ("OPAQUE", "MASK", "BLEND")
    assert all(len(note) < 600 and "\n" not in note for note in mesh.notes)


def check_sequence(sequence: MeshSequence) -> None:
    assert np.isfinite(sequence.vertices).all() and sequence.fps > 0
    assert not len(sequence.faces) or 0 <= sequence.faces.min() <= sequence.faces.max() < sequence.vertices.shape[1]
    assert sequence.uv is None or np.isfinite(sequence.uv).all()


def check_bank(shapes: list[BankShape]) -> None:
    for shape in shapes:
        assert len(shape.parents) in (0, shape.parts) and shape.part_index.max() < shape.parts
        assert np.isfinite(shape.posed(shape.clips[0])).all()


def check_scans(scans: ScanSequence) -> None:
    assert scans.frames and np.isfinite(scans.fps) and scans.fps > 0 and scans.up_axis in ("x", "y", "z")
    assert all(np.isfinite(frame).all() for frame in scans.points)
    assert scans.viewpoints is None or len(scans.viewpoints) == scans.frames


def seeds(folder: Path) -> list[Seed]:
    """All kinds; `folder` is for files that only a writer can make."""
    mesh = lambda files, main: Seed(f"mesh{Path(main).suffix}", files, main, read_mesh, check_mesh)  # noqa: E731
    own = lambda *names: {name: (FILES / name).read_bytes() for name in names}  # noqa: E731
    ball = trimesh.creation.icosphere(1)
    as_bytes = lambda data: data.encode() if isinstance(data, str) else data  # noqa: E731
    result = [
        mesh(own(path.name), path.name)
        for path in sorted(FILES.iterdir())
        if path.suffix in (".glb", ".obj", ".ply", ".off")
    ]
    result += [
        mesh({f"b.{kind[:3]}": as_bytes(ball.export(file_type=kind))}, f"b.{kind[:3]}")
        for kind in ("stl", "stl_ascii", "ply")
    ]
    result.append(mesh({"t.obj": _OBJ, "t.mtl": _MTL, **own("check er.png")}, "t.obj"))
    result += [mesh({"r.glb": writer.bytes()}, "r.glb") for writer in (arm(), breathing_box())]
    writer = breathing_box()
    gltf = json.dumps(writer.document("m.bin")).encode()
    result.append(mesh({"m.gltf": gltf, "m.bin": bytes(writer.binary)}, "m.gltf"))
    result += _written(folder) + _scans() + _others(folder)
    return result


def _written(folder: Path) -> list[Seed]:
    """USD and sequences, from the exporter."""
    source = read_mesh(FILES / "lamp.glb")
    motion = MeshSequence(np.stack([source.vertices, source.vertices * 1.1, source.vertices]), source.faces)
    found = []
    for suffix, read, check in (
        (".usda", read_mesh, check_mesh), (".usdc", read_mesh, check_mesh), (".usdz", read_mesh, check_mesh),
        (".npz", read_sequence, check_sequence),
    ):  # fmt: skip
        place = folder / f"made{suffix[1:]}"
        place.mkdir()
        export_sequence(motion, place / f"s{suffix}", source, options=ExportOptions(blender_script=False))
        files = {path.name: path.read_bytes() for path in place.iterdir()}
        slow = suffix.startswith(".usd")
        found.append(Seed(f"made{suffix}", files, f"s{suffix}", read, check, (f"s{suffix}",), slow))
    return found


def _scans() -> list[Seed]:
    random = np.random.default_rng(0)
    clouds = [random.random((40, 3)).astype(np.float32) + 0.01 * frame for frame in range(3)]
    scan = lambda kind, files, main="": Seed(f"scan {kind}", files, main, read_scans, check_scans)  # noqa: E731
    text = lambda cloud: "\n".join(" ".join(f"{v:.4f}" for v in row) for row in cloud).encode()  # noqa: E731
    heading = "VERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH 40\nHEIGHT 1\nPOINTS 40\nDATA "
    settings = json.dumps({"modality": "points", "fps": 24.0, "tracked": False, "up_axis": "y", "viewpoint": [0, 0, 2]})
    grids = np.zeros((2, 8, 8, 8), bool)
    grids[:, 2:6, 2:6, 2:6] = True
    depth = np.full((3, 12, 16), 2.0, np.float32)
    camera = np.array([[16.0, 0, 8], [0, 16, 6], [0, 0, 1]])
    poses = np.tile(np.eye(4), (3, 1, 1))
    matrix = lambda m: "\n".join(" ".join(map(str, row)) for row in np.asarray(m).tolist()).encode()  # noqa: E731
    layout = {f"depth/{frame}.png": _png((depth[0] * 1000).astype(np.uint16)) for frame in range(3)}
    layout |= {f"pose/{frame}.txt": matrix(np.eye(4)) for frame in range(3)}
    wide = np.eye(4)
    wide[:3, :3] = camera
    return [
        scan("xyz", {f"f{i}.xyz": b"X Y Z\n" + text(cloud) for i, cloud in enumerate(clouds)}),
        scan("gaps", {f"f{i}.xyz": text(cloud) for i, cloud in zip((0, 1, 4), clouds, strict=True)}),
        scan("ply", {**{f"f{i}.ply": as_ply(cloud) for i, cloud in enumerate(clouds)}, "scan.json": settings.encode()}),
        scan("pcd", {f"f{i}.pcd": heading.encode() + b"ascii\n" + text(cloud) for i, cloud in enumerate(clouds)}),
        scan("pcd binary", {f"f{i}.pcd": heading.encode() + b"binary\n" + c.tobytes() for i, c in enumerate(clouds)}),
        scan("npy", {"p.npy": _npy(np.stack(clouds))}, "p.npy"),
        scan("voxels", {"v.npz": _npz(voxels=grids)}, "v.npz"),
        scan("binvox", {f"f{i}.binvox": _BINVOX for i in range(2)}),
        scan("depth", {"d.npz": _npz(depth=depth, intrinsics=camera, poses=poses)}, "d.npz"),
        scan("pictures", {f"{i}.png": _png(np.full((8, 8, 3), 90, np.uint8)) for i in range(2)}),
        scan("scannet", {**layout, "intrinsic/intrinsic_depth.txt": matrix(wide)}),
    ]


def _others(folder: Path) -> list[Seed]:
    from m2v_studio.document.project import load_project, save_project
    from m2v_studio.document.state import Document, State

    source = read_mesh(FILES / "coloured.obj")
    weights = folder / "shape-autoencoder.safetensors"
    save_checkpoint(weights, "shape-autoencoder", Config(), _tensors(), {"step": 1})
    project = folder / "p.m2v"
    save_project(State(document=Document(source=source)), project)
    bank = folder / "b.safetensors"
    skeleton = np.array([-1, 0], np.int16), np.zeros((2, 3), np.float32)
    write_bank(bank, [replace(swinging_rod(), parents=skeleton[0], joints=skeleton[1])])
    nothing: Callable[[Any], None] = lambda value: None  # noqa: E731
    preset = b"name: a\nshape: {points: 64, width: 32}\n"
    return [
        Seed("handles", {"h.yaml": _HANDLES}, "h.yaml", lambda path: read_handle_file(path, source), nothing),
        Seed("preset", {"p.yaml": preset}, "p.yaml", lambda path: load_config(str(path)), nothing),
        Seed("checkpoint", {"w.safetensors": weights.read_bytes()}, "w.safetensors", load_checkpoint, nothing),
        Seed("bank", {"b.safetensors": bank.read_bytes()}, "b.safetensors", read_bank, check_bank),
        Seed("project", {"p.m2v": project.read_bytes()}, "p.m2v", load_project, nothing),
    ]  # fmt: skip


def _tensors() -> dict[str, Any]:
    import torch

    return {"a": torch.zeros(4), "b.weight": torch.ones(3, 2)}


def as_ply(points: np.ndarray) -> bytes:
    heading = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(points)}\n"
    return (heading + "".join(f"property float {a}\n" for a in "xyz") + "end_header\n").encode() + points.tobytes()


def _npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def _npz(**arrays: np.ndarray) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, array in arrays.items():
            archive.writestr(f"{name}.npy", _npy(array))
    return out.getvalue()


def _png(picture: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture).save(out, format="PNG")
    return out.getvalue()


_BINVOX = b"#binvox 1\ndim 8 8 8\ntranslate 0 0 0\nscale 1\ndata\n" + bytes([0, 200, 1, 112, 0, 200])
_OBJ = b"""mtllib t.mtl
o thing
v 0 0 0 1 0 0
v 1 0 0 0 1 0
v 1 1 0 0 0 1
v 0 1 0 1 1 1
v 0.5 0.5 1 0 0 0
vt 0 0
vt 1 0
vt 1 1
vt 0.5 0.5
usemtl paint
f 1/1 2/2 3/3 4/4
f -5/1 -4/2 -1/4
f 2//1 3//1 5//1
l 1 2
"""
_MTL = b"newmtl paint\nKd 0.5 0.5 0.5\nNs 10\nd 0.9\nmap_Kd -s 1 1 1 check er.png\nmap_Bump check er.png\n"
_HANDLES = b"""frames: 17
fps: 24
handles:
  - vertex: 1
    keys: {8: [0.1, 0.4, 0.0], 16: [0.3, 0.9, 0.1]}
    hold: false
  - position: [0.5, 0.5, 0.5]
    pinned: true
    name: tip
"""
