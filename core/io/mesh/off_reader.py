"""Reads OFF files: word by word, since lines may break anywhere, or line by line if faces have colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import MeshError
from core.geometry.polygons import triangulate
from core.io.beside import utf8
from core.io.mesh.source_mesh import build_source_mesh
from core.sequence import SourceMesh

Rows = tuple[NDArray[np.float64], list[NDArray[np.int64]]]  # vertices [W, at least 3] and the corners of each face


def read_off(path: Path) -> SourceMesh:
    """Read OFF, COFF and NOFF as text: vertices, polygons and vertex colours.

    Raises MeshError for binary and damaged files, and if there are fewer faces than declared.
    """
    try:
        data = utf8(path.read_bytes())
    except OSError as error:
        raise MeshError(f"{path} cannot be read ({error}); check its permissions.") from error
    try:
        return _mesh(path, data)
    except (ValueError, IndexError, OverflowError) as error:
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise MeshError(
            f"{path.name} is not an OFF file that can be read, or is cut short ({reason}); export it again."
        ) from error


def _mesh(path: Path, data: bytes) -> SourceMesh:
    lines = [words for line in data.replace(b"\r", b"\n").split(b"\n") if (words := line.split(b"#", 1)[0].split())]
    words = [word for line in lines for word in line]
    heading = words[0].decode("ascii", errors="replace").upper() if words else ""
    letters = heading.removesuffix("OFF").replace("ST", "")
    if not heading.endswith("OFF") or letters not in ("", "C", "N", "CN", "NC"):
        raise ValueError("the header OFF is missing")
    if words[1:2] and words[1].upper() == b"BINARY":
        raise ValueError("it is binary, and only text can be read")
    vertices, faces = int(words[1]), int(words[2])
    if vertices < 0 or faces < 0 or 3 * vertices > len(words):
        raise ValueError(f"it declares {vertices:,} vertices, more than it holds")
    notes: list[str] = []
    table, rings = _by_words(words[4:], vertices, faces) or _by_lines(lines, vertices, faces, path, notes)
    counts = np.array([len(ring) for ring in rings], np.int64)
    corners = np.concatenate([np.zeros(0, np.int64), *rings])
    if corners.size and (corners.min() < 0 or corners.max() >= vertices):
        raise MeshError(
            f"{path.name}: a face refers to a vertex that does not exist; the file is damaged or cut short."
        )
    colors = None
    if "C" in letters and table.shape[1] >= 6:
        start = 6 if "N" in letters and table.shape[1] >= 9 else 3
        colors = table[:, start : start + 4] if table.shape[1] >= start + 4 else table[:, start : start + 3]
        colors = colors / 255.0 if np.nanmax(colors, initial=0.0) > 1 else colors
    points = table[:, :3]
    triangles = corners[triangulate(points, corners, counts)]
    return build_source_mesh(points, triangles, name=path.stem, path=path, notes=notes, colors=colors)


def _by_words(words: list[bytes], vertices: int, faces: int) -> Rows | None:
    """Vertices and faces regardless of line breaks; None if there is anything else among them."""
    try:
        table = np.array(words[: 3 * vertices], dtype=np.float64).reshape(vertices, 3)
        numbers = np.array(words[3 * vertices :], dtype=np.int64)
    except (ValueError, OverflowError):
        return None
    if faces and len(numbers) == 4 * faces and (numbers[::4] == 3).all():
        return table, list(numbers.reshape(-1, 4)[:, 1:])
    rings, at = [], 0
    for _ in range(faces):
        if at >= len(numbers) or not 0 <= numbers[at] <= len(numbers) - at - 1:
            return None
        rings.append(numbers[at + 1 : at + 1 + numbers[at]])
        at += 1 + int(numbers[at])
    return (table, rings) if at == len(numbers) else None


def _by_lines(lines: list[list[bytes]], vertices: int, faces: int, path: Path, notes: list[str]) -> Rows:
    """Vertices and faces, one per line; colours after a face's corners are dropped, with a note."""
    first = 1 if len(lines[0]) > 1 else 2  # the counts may be on the header's line
    rows, rest = lines[first : first + vertices], lines[first + vertices : first + vertices + faces]
    width = min((len(row) for row in rows), default=0)
    if width < 3:
        raise ValueError("a vertex has fewer than three numbers")
    table = np.array([row[:width] for row in rows], dtype=np.float64)
    rings = [np.array(row[1 : 1 + int(row[0])], dtype=np.int64) for row in rest]
    if len(rings) < faces or any(len(ring) < int(row[0]) for ring, row in zip(rings, rest, strict=True)):
        raise MeshError(
            f"{path.name} declares {faces:,} faces but holds {max(len(rings) - 1, 0):,} whole ones; it is cut short or "
            "damaged, so copy or export it again."
        )
    if any(len(row) > 1 + int(row[0]) for row in rest):
        notes.append("Colours of faces are left out; only those of vertices are kept.")
    return table, rings
