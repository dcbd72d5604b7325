"""Reads STL files, text and binary."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import MeshError
from core.io.beside import utf8
from core.io.mesh.source_mesh import build_source_mesh
from core.sequence import SourceMesh

_FACET = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attributes", "<u2")])


def read_stl(path: Path) -> SourceMesh:
    """Read the corners of all facets, in file order, as vertices. Raises MeshError for a damaged file."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MeshError(f"{path} cannot be read ({error}); check its permissions.") from error
    try:
        corners = _corners(data)
    except (ValueError, OverflowError) as error:
        raise MeshError(
            f"{path.name} is not an STL file that can be read, or is cut short ({error}); export it again."
        ) from error
    faces = np.arange(len(corners)).reshape(-1, 3)
    notes = ["The colours of its facets are left out; a .ply or .glb can hold them."] if _coloured(data) else []
    return build_source_mesh(corners, faces, name=path.stem, path=path, notes=notes)


def _coloured(data: bytes) -> bool:
    """Whether a binary file has colours, in either of the two usual ways."""
    if data.lstrip().startswith(b"solid") or len(data) < 84:
        return False
    facets = np.frombuffer(data, _FACET, offset=84, count=(len(data) - 84) // _FACET.itemsize)
    return b"COLOR=" in data[:80] or bool((facets["attributes"] & 0x8000).any())


def _corners(data: bytes) -> NDArray[np.float64]:
    """Corners [3 F, 3], facet by facet. Raises ValueError that says what is wrong in a few words."""
    size = 84 + _FACET.itemsize * int.from_bytes(data[80:84], "little") if len(data) >= 84 else -1
    if len(data) == size:
        return np.frombuffer(data, _FACET, offset=84)["corners"].reshape(-1, 3).astype(np.float64)
    text = utf8(data).lower()
    if not (text.lstrip().startswith(b"solid") and b"facet" in text):
        raise ValueError(f"its length should be {size:,} bytes" if size > 0 else "the header is missing")
    if b"endsolid" not in text[-400:]:
        raise ValueError("the closing endsolid is missing")
    # A file may hold several solids with any words as names: only what follows `vertex` in a facet counts.
    lines = [words for line in text.replace(b"\r", b"\n").split(b"\n") if (words := line.split())]
    rows = [words[1:4] for words in lines if words[0] == b"vertex"]
    facets = sum(words[0] == b"facet" for words in lines)
    if len(rows) != 3 * facets:
        raise ValueError(f"it has {facets:,} facets but {len(rows):,} vertices")
    try:
        return np.array(rows, dtype=np.float64).reshape(-1, 3)
    except ValueError:
        raise ValueError("a vertex is not three numbers") from None
