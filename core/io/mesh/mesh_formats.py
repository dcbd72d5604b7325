"""The mesh formats by suffix, without their readers."""

from __future__ import annotations

from pathlib import Path

USD = (".usd", ".usdc", ".usda", ".usdz")
READABLE_SUFFIXES = (".obj", ".ply", ".stl", ".off", ".glb", ".gltf", *USD)
# Formats that Blender opens, but no maintained Python package reads.
THROUGH_BLENDER = {
    ".fbx": "File > Import > FBX",
    ".dae": "File > Import > Collada (Blender 4 and older)",
    ".abc": "File > Import > Alembic",
    ".blend": "File > Open",
    ".3mf": "an importer from its extensions page, 3MF",
}


def blender_sentence(path: Path) -> str:
    """Advice to convert a file through Blender; empty where that does not help."""
    how = THROUGH_BLENDER.get(path.suffix.lower())
    if how is None:
        return ""
    return (
        f"{path.name} cannot be read directly; open it in Blender ({how}), export it as glTF 2.0 (.glb) and open that."
    )
