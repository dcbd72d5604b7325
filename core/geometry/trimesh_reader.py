"""PLY, STL and OFF through trimesh's loaders, without the merging and reordering of a trimesh.Trimesh."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import MeshError

_PLY_UV_NAMES = (("s", "t"), ("u", "v"), ("texture_u", "texture_v"))


def read_arrays(path: Path, suffix: str) -> tuple[NDArray, NDArray, NDArray | None]:
    """Vertices [W, 3] float64 in file order, triangles [F, 3] and per-vertex uv [W, 2] or None.

    Raises MeshError when the file cannot be parsed or holds fewer faces than it declares.
    """
    kind = suffix[1:].upper()
    try:
        data = path.read_bytes()
        vertices, faces, uv, declared = _LOADERS[suffix](data)
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
    return vertices, faces, uv


def _load_ply(data: bytes) -> tuple[NDArray, NDArray, NDArray | None, int | None]:
    from trimesh.exchange.ply import load_ply

    loaded = load_ply(io.BytesIO(data), fix_texture=False, skip_materials=True)
    vertices = np.asarray(loaded["vertices"])
    elements = loaded.get("metadata", {}).get("_ply_raw", {})
    fields = elements.get("vertex", {}).get("data")
    uv = None
    for first, second in _PLY_UV_NAMES:
        names = fields.dtype.names if isinstance(fields, np.ndarray) else fields
        if names is not None and first in names and second in names:
            columns = [np.asarray(fields[key], dtype=np.float32).reshape(-1) for key in (first, second)]
            if all(len(column) == len(vertices) and np.isfinite(column).all() for column in columns):
                uv = np.stack(columns, axis=1)
            break
    declared = elements.get("face", {}).get("length")
    return vertices, loaded.get("faces"), uv, declared


def _load_stl(data: bytes) -> tuple[NDArray, NDArray, NDArray | None, int | None]:
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
    return np.concatenate(vertices), np.concatenate(faces), None, None


def _load_off(data: bytes) -> tuple[NDArray, NDArray, NDArray | None, int | None]:
    from trimesh.exchange.off import load_off

    loaded = load_off(io.BytesIO(data))
    text = re.sub(rb"#[^\n]*", b"", data).split(b"OFF", 1)[1].split()
    return loaded["vertices"], loaded["faces"], None, int(text[1])


_LOADERS = {".ply": _load_ply, ".stl": _load_stl, ".off": _load_off}
