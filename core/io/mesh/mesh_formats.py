"""The mesh formats by their suffixes; to be imported where no reader is needed yet."""

from __future__ import annotations

from pathlib import Path

USD = (".usd", ".usdc", ".usda", ".usdz")
READABLE_SUFFIXES = (".obj", ".ply", ".stl", ".off", ".glb", ".gltf", *USD)
# Formats without a kept Python reader that Blender opens.
THROUGH_BLENDER = {
    ".fbx": "File > Import > FBX",
    ".dae": "File > Import > Collada (Blender 4 and older)",
    ".abc": "File > Import > Alembic",
    ".blend": "File > Open",
    ".3mf": "an importer from its extensions page, 3MF",
}


def blender_sentence(path: Path) -> str:
    """For a file of another program, the way through Blender; empty for all others."""
    how = THROUGH_BLENDER.get(path.suffix.lower())
    if how is None:
        return ""
    return (
        f"{path.name} cannot be read directly; open it in Blender ({how}), export it as glTF 2.0 (.glb) and open that."
    )
