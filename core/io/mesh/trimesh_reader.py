"""STL and OFF through trimesh's loaders, without the merging and reordering of a trimesh.Trimesh."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import MeshError


def read_arrays(path: Path, suffix: str) -> tuple[NDArray, NDArray]:
    """Vertices [W, 3] float64 in file order and triangles [F, 3].

    Raises MeshError when the file cannot be parsed or holds fewer faces than it declares.
    """
    kind = suffix[1:].upper()
    try:
        data = path.read_bytes()
        vertices, faces, declared = _LOADERS[suffix](data)
        vertices = np.asarray(vertices, dtype=np.float64)
        faces = np.asarray(faces if faces is not None else [], dtype=np.int64).reshape(-1, 3)
    except OSError as error:
        raise MeshError(f"{path} cannot be read ({error}); check its permissions.") from error
    except Exception as error:
        # A damaged file makes the loaders fail in any way (KeyError, struct.error, MemoryError, ...).
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise MeshError(
            f"{path.name} is not a {kind} file that can be read, or it is cut short ({reason}); export it again."
        ) from error
    if declared is not None and len(faces) < declared:
        raise MeshError(
            f"{path.name} declares {declared:,} faces but holds {len(faces):,}; it is cut short or damaged, "
            "so copy or export it again."
        )
    return vertices, faces


def _load_stl(data: bytes) -> tuple[NDArray, NDArray, int | None]:
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
    return np.concatenate(vertices), np.concatenate(faces), None


def _load_off(data: bytes) -> tuple[NDArray, NDArray, int | None]:
    from trimesh.exchange.off import load_off

    loaded = load_off(io.BytesIO(data))
    text = re.sub(rb"#[^\n]*", b"", data).split(b"OFF", 1)[1].split()
    return loaded["vertices"], loaded["faces"], int(text[1])


_LOADERS = {".stl": _load_stl, ".off": _load_off}
