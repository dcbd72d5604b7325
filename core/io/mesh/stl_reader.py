"""STL through trimesh's loaders, without the merging and reordering of a trimesh.Trimesh."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import MeshError
from core.io.beside import utf8
from core.io.mesh.source_mesh import build_source_mesh
from core.sequence import SourceMesh


def read_stl(path: Path) -> SourceMesh:
    """Each facet's three corners in file order, text or binary; raises MeshError when the file cannot be parsed."""
    try:
        vertices, faces = _load_stl(utf8(path.read_bytes()))
    except OSError as error:
        raise MeshError(f"{path} cannot be read ({error}); check its permissions.") from error
    except Exception as error:
        # A damaged file makes the loaders fail in any way (KeyError, struct.error, MemoryError, ...).
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise MeshError(
            f"{path.name} is not an STL file that can be read, or it is cut short ({reason}); export it again."
        ) from error
    return build_source_mesh(vertices, faces, name=path.stem, path=path)


def _load_stl(data: bytes) -> tuple[NDArray, NDArray]:
    from trimesh.exchange.stl import load_stl_ascii, load_stl_binary

    binary_size = 84 + 50 * int.from_bytes(data[80:84], "little") if len(data) >= 84 else -1
    if len(data) == binary_size:
        loaded = load_stl_binary(io.BytesIO(data))
    elif data.lstrip()[:5].lower() == b"solid" and b"facet" in data:
        if b"endsolid" not in data[-400:].lower():
            raise ValueError("the closing endsolid is missing")
        loaded = load_stl_ascii(io.BytesIO(data))
    else:
        raise ValueError(f"its length should be {binary_size:,} bytes" if binary_size > 0 else "the heading is missing")
    pieces = loaded.get("geometry", {"": loaded} if "faces" in loaded else {}).values()
    vertices, faces, total = [np.zeros((0, 3))], [np.zeros((0, 3), np.int64)], 0
    for piece in pieces:  # an ASCII file may hold several solids
        vertices.append(np.asarray(piece["vertices"], dtype=np.float64).reshape(-1, 3))
        faces.append(np.asarray(piece["faces"], dtype=np.int64) + total)
        total += len(vertices[-1])
    return np.concatenate(vertices), np.concatenate(faces)
