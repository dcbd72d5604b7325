"""The export formats by suffix; a writer is imported only when it is used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from core.io.export_clip import ExportClip


def _glb(clip: ExportClip, path: Path, tag: str) -> None:
    from core.io.gltf.glb_writer import write_glb

    write_glb(clip, path)


def _usd(clip: ExportClip, path: Path, tag: str) -> None:
    from core.io.usd.usd_writer import write_usd

    write_usd(clip, path, tag)


def _arrays(clip: ExportClip, path: Path, tag: str) -> None:
    from core.io.sequence_file import write_sequence_file

    write_sequence_file(clip, path)


def _frames(clip: ExportClip, path: Path, tag: str) -> None:
    from core.io.mesh.frame_files import write_obj_sequence, write_ply_sequence

    (write_obj_sequence if path.suffix == ".obj" else write_ply_sequence)(clip, path)


def _point_cache(clip: ExportClip, path: Path, tag: str) -> str:
    from core.io.mesh.frame_files import write_obj
    from core.io.point_cache import write_mdd, write_pc2

    (write_pc2 if path.suffix == ".pc2" else write_mdd)(clip, path)
    return write_obj(clip, path.parent, f"{tag}_base")


class Format(NamedTuple):
    """An export format. `write` makes a path and its companion files `TAG_...`; a point cache returns its base OBJ."""

    name: str
    purpose: str
    write: Callable[[ExportClip, Path, str], str | None]
    subject: str  # of a sentence about what the format cannot hold


# By suffix, in the export dialog's order.
FORMATS: dict[str, Format] = {
    ".glb": Format("glTF (.glb)", "Blender, game engines, the web; keeps UVs and materials", _glb, "GLB"),
    ".usdc": Format("USD (.usdc)", "Blender, Houdini, Maya, Omniverse", _usd, "USD"),
    ".usda": Format("USD text (.usda)", "USD that can be read and compared as text", _usd, "USD"),
    ".usdz": Format("USD package (.usdz)", "One file with its textures, for Quick Look", _usd, "USD"),
    ".pc2": Format(
        "Point cache (.pc2)", "3ds Max and Blender, with a base OBJ beside it", _point_cache, "The base OBJ of PC2"
    ),
    ".mdd": Format(
        "Point cache (.mdd)",
        "Maya, LightWave and Blender, with a base OBJ beside it",
        _point_cache,
        "The base OBJ of MDD",
    ),
    ".obj": Format("OBJ sequence", "A folder with one OBJ file per frame", _frames, "OBJ"),
    ".ply": Format("PLY sequence", "A folder with one PLY file per frame", _frames, "PLY"),
    ".npz": Format("Arrays (.npz)", "NumPy arrays, for scripts and m2v export", _arrays, "NPZ"),
}
RIG_FORMATS = (".glb", ".usdc", ".usda", ".usdz")  # formats that hold bones
FOLDERS = (".obj", ".ply")  # suffixes that name folders of frames


def seed_path(out: Path, seed: int, several: bool) -> Path:
    """The path of a seed's result: `out` itself, or `name-seed3.glb` if there are several."""
    return out.with_name(f"{out.stem}-seed{seed}{out.suffix}") if several else out
