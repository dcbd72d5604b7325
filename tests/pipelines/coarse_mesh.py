"""The bundled creatures with fewer faces, for tests that need a shape the bank knows but not its details."""

from __future__ import annotations

from core.assets import asset_path
from core.io.mesh.mesh_reader import read_mesh
from core.io.mesh.source_mesh import build_source_mesh
from core.pipelines.surface import within_budget
from core.sequence import SourceMesh


def coarse_mesh(name: str, faces: int = 3000) -> SourceMesh:
    """The bundled mesh of this name with about so many faces."""
    fine = read_mesh(asset_path("meshes", f"{name}.glb"))
    vertices, left = within_budget(fine.vertices, fine.faces, faces)
    return build_source_mesh(vertices, left, name=name)
