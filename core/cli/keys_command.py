"""`m2v keys`: writes a handle file that follows an animation of a glTF file, for editing."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from core.atomic import check_writable
from core.cli.arguments import AddCommand, print_mesh_notes
from core.errors import DataError, HandleError

if TYPE_CHECKING:
    from core.sequence import HandleTracks, SourceMesh

CLIP = "an animation of the file, by name or number"


def add_command(command: AddCommand) -> None:
    """Register `m2v keys`."""
    keys = command("keys", run_keys, "Write a handle file whose keys follow an animation of a glTF file.")
    keys.add_argument("source", type=Path, metavar="SOURCE", help="animated .glb or .gltf")
    keys.add_argument("--clip", metavar="NAME", help=f"{CLIP}; needed where there are several")
    keys.add_argument("--out", type=Path, required=True, metavar="H.yaml", help="the handle file")
    keys.add_argument("--frames", type=int, metavar="N", help="only the first N, of at most 240")


def run_keys(options: argparse.Namespace) -> None:
    """`m2v keys`."""
    from core.io.handle_file import write_handle_file
    from core.io.mesh.mesh_reader import read_mesh

    if options.out.suffix.lower() not in (".yaml", ".yml"):
        raise HandleError(f"The handle file {options.out} must end in .yaml; change its name.")
    check_writable(options.out, HandleError)
    mesh = read_mesh(options.source)
    print_mesh_notes(options.source, mesh)
    followed = follow_clip(options.source, mesh, options.clip, options.frames)
    write_handle_file(options.out, followed.tracks, followed.mesh)
    print(options.out)
    print(followed.sentence, file=sys.stderr)
    name = f"--clip {options.clip!r}" if options.clip else "--clip 0"
    print(f"They start in its first pose: m2v animate {options.source} {name} --handles {options.out}", file=sys.stderr)


class Followed(NamedTuple):
    """The mesh in an animation's first pose, the fitted handles, and a sentence on their accuracy."""

    mesh: SourceMesh
    tracks: HandleTracks
    sentence: str


def follow_clip(path: Path, mesh: SourceMesh, name: str | None, frames: int | None = None) -> Followed:
    """Fit keyed handles to an animation in the mesh's file, or to its first frames. Raises DataError or MeshError."""
    from core.geometry.key_fitting import at_first_pose, keys_of_clip
    from core.io.gltf.clip_reader import clip_frames, find_clip, plain_name, read_clip
    from core.io.gltf.scene import GltfScene
    from core.sequence import MAX_FRAMES, MIN_FRAMES, HandleTracks

    if not mesh.clips:
        raise DataError(f"{path.name} has no animation; give a .glb or .gltf file with one, or a handle file.")
    if name is None and len(mesh.clips) > 1:
        raise DataError(f"{path.name} has {clip_list(mesh)}; choose one with --clip NAME.")
    scene = GltfScene(path)
    clip = scene.clips[find_clip(scene, mesh.clips[0] if name is None else name)]
    whole, plain = clip_frames(clip), plain_name(clip.name)
    count = min(whole, MAX_FRAMES if frames is None else frames)
    if not MIN_FRAMES <= count <= MAX_FRAMES:
        raise DataError(f"{plain!r} would give {count} frames; {MIN_FRAMES} to {MAX_FRAMES} are supported.")
    motion = read_clip(path, clip.name, frames=count)
    posed = at_first_pose(mesh, motion)
    fitted = keys_of_clip(posed, motion.vertices)
    part = "" if count == whole else f", of which it has {whole}"
    sentence = (
        f"{fitted.keys} keys on {len(fitted.handles)} handles follow {plain!r} for {count} frames{part}, within "
        f"{100 * fitted.worst:.1f}% of the size where the handles are."
    )
    return Followed(posed, HandleTracks(fitted.handles, count, motion.fps), sentence)


def clip_list(mesh: SourceMesh) -> str:
    """The number of animations in the mesh's file and their first names, as a phrase."""
    from core.io.gltf.clip_reader import plain_name

    names = ", ".join(plain_name(name)[:40] for name in mesh.clips[:8]) + (", …" if len(mesh.clips) > 8 else "")
    return f"{len(mesh.clips)} animation{'s' if len(mesh.clips) > 1 else ''} ({names[:160]})"
