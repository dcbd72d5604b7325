"""Opening meshes from disk, and the sample meshes that come with the studio. No Polyscope, no torch."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from core.assets import asset_path
from core.errors import DataError
from core.io.mesh.mesh_formats import READABLE_SUFFIXES, THROUGH_BLENDER
from core.sequence import SourceMesh
from m2v_studio.document.looks import own_looks
from m2v_studio.document.scan_files import KINDS

MESH_SUFFIXES = READABLE_SUFFIXES
FIRST_MESH = "hound"


def read_source(path: Path) -> SourceMesh:
    """Read a mesh for the editor; raises DataError for an unknown kind of file, or one that cannot be read."""
    if path.suffix.lower() not in (*MESH_SUFFIXES, *THROUGH_BLENDER) and path.exists():
        kinds = f"a mesh ({', '.join(MESH_SUFFIXES)}), a project (.m2v) or scans ({KINDS})"
        raise DataError(f"{path.name} is not a kind of file the studio reads; open {kinds}.")
    from core.io.mesh.mesh_reader import read_mesh

    mesh = read_mesh(path)
    own_looks(mesh)  # decoded here, off the main thread, and cached
    return mesh


@lru_cache(maxsize=1)
def bundled_meshes() -> tuple[Path, ...]:
    """The meshes that ship with the studio, by name. Cached, as a panel shows them in every frame."""
    folder = asset_path("meshes")
    if not folder.is_dir():
        return ()
    return tuple(sorted(p for p in folder.iterdir() if p.suffix.lower() in MESH_SUFFIXES and os.access(p, os.R_OK)))


def first_mesh() -> Path | None:
    """The bundled mesh that a first run shows: the four-legged one, which has most places for handles."""
    meshes = bundled_meshes()
    return next((path for path in meshes if path.stem == FIRST_MESH), meshes[0] if meshes else None)
