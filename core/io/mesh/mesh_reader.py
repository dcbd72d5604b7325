"""Reads a mesh file of any format as a SourceMesh."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from core.errors import MeshError
from core.io.beside import MAX_FILE_BYTES
from core.io.gltf.scene import read_gltf_mesh
from core.io.mesh.mesh_formats import READABLE_SUFFIXES, USD, blender_sentence
from core.io.mesh.obj_reader import read_obj
from core.io.mesh.off_reader import read_off
from core.io.mesh.ply_reader import read_ply
from core.io.mesh.stl_reader import read_stl
from core.io.usd.usd_apart import read_usd_apart
from core.sequence import SourceMesh

_SIGNATURES = (
    (b"glTF", (".glb",)),
    (b"ply", (".ply",)),
    (b"OFF", (".off",)),
    (b"solid", (".stl",)),
    (b"Kaydara FBX", (".fbx",)),
    (b"BLENDER", (".blend",)),
    (b"\x89PNG", (".png",)),
    (b"PK\x03\x04", (".zip",)),
)


def read_mesh(path: str | Path, up_axis: str | None = None) -> SourceMesh:
    """Read an OBJ, PLY, STL, OFF, GLB, glTF or USD file of up to 512 MB.

    The file's own vertices keep their number and order: those of an OBJ are its `v` lines, those of an STL the corners
    of each facet. `up_axis` is "x", "y" or "z"; left out, it is "y" or the file's own (see `guess_up_axis`). Raises
    MeshError for a file that is missing, empty, truncated or of another format, and for a mesh without faces or size,
    with vertices that are not finite, or with more than 200,000 welded vertices.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if up_axis not in (None, "x", "y", "z"):
        raise MeshError(f"The up axis is {up_axis!r}, but it must be x, y or z.")
    _check_file(path, suffix)
    if suffix in (".glb", ".gltf"):
        mesh = read_gltf_mesh(path)
    elif suffix == ".obj":
        mesh = read_obj(path)
    elif suffix == ".ply":
        mesh = read_ply(path)
    elif suffix == ".off":
        mesh = read_off(path)
    elif suffix == ".stl":
        mesh = read_stl(path)
    else:
        mesh = read_usd_apart(path)
    return mesh if up_axis is None else replace(mesh, up_axis=up_axis)


def _check_file(path: Path, suffix: str) -> None:
    if sentence := blender_sentence(path):
        raise MeshError(sentence)
    if suffix not in READABLE_SUFFIXES:
        raise MeshError(f"{path.name} is not a mesh file that can be read; open one of {', '.join(READABLE_SUFFIXES)}.")
    try:
        if not path.exists():
            raise MeshError(f"{path} does not exist; check the path.")
        if not path.is_file():
            raise MeshError(f"{path} is not a file; give the path of a mesh file.")
        size = path.stat().st_size
        with path.open("rb") as stream:
            head = stream.read(16)
    except (OSError, ValueError) as error:
        raise MeshError(f"{path} cannot be read ({error}); check its permissions.") from error
    if size == 0:
        raise MeshError(f"{path.name} is empty; export it again.")
    if size > MAX_FILE_BYTES:
        raise MeshError(f"{path.name} is larger than {MAX_FILE_BYTES >> 20} MB; reduce (decimate) it first.")
    for signature, suffixes in _SIGNATURES:
        # A binary STL's 80-byte header may hold any text, and the readers of glTF and USD report more.
        if head.startswith(signature) and suffix not in (*suffixes, ".stl", ".glb", ".gltf", *USD):
            raise MeshError(f"{path.name} holds {suffixes[0]} data, not {suffix}; rename it or export it again.")
