"""`m2v render`: films motions as MP4, GIF or PNG images; needs no display."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from core.cli.arguments import AddCommand, check_writable, counting_bar, print_mesh_notes, print_notes
from core.errors import ExportError

if TYPE_CHECKING:
    from core.sequence import MeshSequence, SourceMesh
    from m2v_studio.render.shot import Actor


def add_command(command: AddCommand) -> None:
    """Register `m2v render`."""
    render = command("render", run_render, "Film motions: MP4, GIF or PNG images, several side by side.")
    render.add_argument(
        "motions", type=Path, nargs="+", metavar="SEQ", help="a sequence (.npz), an animated glTF file, or a mesh"
    )
    render.add_argument("out", type=Path, metavar="OUT", help="a .mp4 or .gif, or a folder for PNG images")
    render.add_argument("--source", type=Path, metavar="MESH", help="the mesh of the .npz sequences, for its looks")
    render.add_argument("--clip", default="0", metavar="NAME", help="which animation of a glTF file, by name or number")
    render.add_argument("--up", choices=("x", "y", "z"), help="a mesh's up axis, if it is not the format's own")
    render.add_argument("--size", default="1280x720", metavar="WxH", help="pixels")
    render.add_argument("--fps", type=float, help="instead of the motion's own")
    render.add_argument("--yaw", type=float, default=52.0, metavar="DEG", help="0 sees the front, 90 the right side")
    render.add_argument("--pitch", type=float, default=12.0, metavar="DEG", help="from how far above, 0 to 85")
    render.add_argument("--turntable", type=float, default=0.0, metavar="S", help="turn once in about S seconds")
    render.add_argument("--repeat", type=int, default=1, metavar="N", help="how often the motion is played")
    render.add_argument("--bounce", action="store_true", help="play forwards and backwards")
    render.add_argument("--transparent", action="store_true", help="only the figure and its shadow; for PNG images")
    render.add_argument("--plain", action="store_true", help="one plain colour instead of the mesh's materials")
    render.add_argument("--no-labels", action="store_true", help="no names below motions side by side")


def run_render(options: argparse.Namespace) -> None:
    """`m2v render`."""
    from core.io.films import check_film_path
    from m2v_studio.render.film_process import run_film
    from m2v_studio.render.shot import FilmOptions, moments

    width, height = image_size(options.size)
    film = FilmOptions(
        width, height, options.fps, options.yaw, options.pitch, options.turntable, options.repeat, options.bounce,
        options.transparent, not options.no_labels and len(options.motions) > 1,
    )  # fmt: skip
    film.validate(options.out.suffix == "")
    check_film_path(options.out)
    check_writable(options.out)
    actors = tuple(actor(path, options) for path in options.motions)
    total = len(moments(actors, film))
    with counting_bar() as tell:
        tell(0, total, "Starting")
        run_film(actors, options.out, film, lambda done, of: tell(done, of, "Drawing"))
    print(options.out)


def image_size(text: str) -> tuple[int, int]:
    """Width and height of "1280x720"; raises ExportError."""
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text.strip().lower())
    if found is None:
        raise ExportError(f"The size {text!r} cannot be read; give width and height, such as 1280x720.")
    return int(found[1]), int(found[2])


def actor(path: Path, options: argparse.Namespace) -> Actor:
    """One motion with its materials. Raises MeshError or ExportError."""
    from core.io.appearance import appearance
    from m2v_studio.render.shot import Actor

    sequence, mesh = read_moving(path, options.source, options.clip, options.up)
    looks = None if mesh is None or options.plain else appearance(mesh)
    up = "y" if mesh is None else mesh.up_axis
    return Actor(sequence.vertices, sequence.faces, sequence.fps, up, looks, label=path.stem)


def read_moving(
    path: Path, source: Path | None, clip: int | str, up: str | None = None
) -> tuple[MeshSequence, SourceMesh | None]:
    """A motion on its mesh's welded vertices, and the mesh if known; of a file without animation, one frame.

    Raises MeshError or ExportError.
    """
    from core.io.gltf.clip_reader import read_clip
    from core.io.gltf.scene import GltfScene
    from core.io.mesh.mesh_reader import read_mesh
    from core.io.mesh.source_mesh import first_file_vertices
    from core.io.sequence_file import read_sequence
    from core.sequence import MeshSequence

    if path.suffix.lower() == ".npz":
        sequence = read_sequence(path)
        if source is None:
            return sequence, None
        mesh = read_mesh(source)
        print_notes(source, mesh.notes)
        vertices, have = sequence.vertices, sequence.vertices.shape[1]
        if have == len(mesh.file_to_vertex):
            vertices = vertices[:, first_file_vertices(mesh.file_to_vertex)]
        elif have != len(mesh.vertices):
            raise ExportError(
                f"{path.name} has {have} vertices, but {source.name} has {len(mesh.vertices)}; "
                "give the mesh that it was made from."
            )
        return MeshSequence(vertices, mesh.faces, sequence.fps), mesh
    mesh = read_mesh(path, up)
    print_mesh_notes(path, mesh, up)
    if path.suffix.lower() in (".glb", ".gltf") and GltfScene(path).clips:
        return read_clip(path, clip), mesh
    return MeshSequence(mesh.vertices[None], mesh.faces), mesh
