"""Export formats and file names; imports nothing heavy."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Format(NamedTuple):
    name: str
    purpose: str


# By suffix, in the export dialog's order.
FORMATS: dict[str, Format] = {
    ".glb": Format("glTF (.glb)", "Blender, game engines, the web; keeps UVs and materials"),
    ".usdc": Format("USD (.usdc)", "Blender, Houdini, Maya, Omniverse"),
    ".usda": Format("USD text (.usda)", "USD that can be read and compared as text"),
    ".usdz": Format("USD package (.usdz)", "One file with its textures, for Quick Look"),
    ".pc2": Format("Point cache (.pc2)", "3ds Max and Blender, with a base OBJ beside it"),
    ".mdd": Format("Point cache (.mdd)", "Maya, LightWave and Blender, with a base OBJ beside it"),
    ".obj": Format("OBJ sequence", "A folder with one OBJ file per frame"),
    ".ply": Format("PLY sequence", "A folder with one PLY file per frame"),
    ".npz": Format("Arrays (.npz)", "NumPy arrays, for scripts and m2v export"),
}
RIG_FORMATS = (".glb", ".usdc", ".usda", ".usdz")  # those of them that hold bones
FOLDERS = (".obj", ".ply")  # suffixes that name folders of frames


def seed_path(out: Path, seed: int, several: bool) -> Path:
    """Where a seed's result goes: `out` itself, or `name-seed3.glb` when there are several."""
    return out.with_name(f"{out.stem}-seed{seed}{out.suffix}") if several else out
