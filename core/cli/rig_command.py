"""`m2v rig`: makes bones, weights and sparse keys of a mesh, from its own motions or from motions of the bank."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from core.atomic import check_writable
from core.cli.arguments import AddCommand, print_notes, progress_bar
from core.errors import ExportError

if TYPE_CHECKING:
    from core.sequence import MeshSequence

GLTF = (".glb", ".gltf")
WINDOWS = ("none", "bones", "actions")


def add_command(command: AddCommand) -> None:
    """Register `m2v rig`."""
    rig = command("rig", run_rig, "Make a rig of a mesh or of its motions: bones, weights, an action for each motion.")
    rig.add_argument(
        "inputs",
        type=Path,
        nargs="+",
        metavar="INPUT",
        help="a mesh file, or motions of one mesh: sequences (.npz), animated .glb or .gltf; or a mesh and its motions",
    )
    rig.add_argument("out", type=Path, metavar="OUT", help=".glb, or .usdc, .usda, .usdz")
    rig.add_argument("--source", type=Path, metavar="MESH", help="the mesh of the sequences, for its materials")
    rig.add_argument(
        "--windows",
        choices=WINDOWS,
        help="motions borrowed from the bank: none (usual), bones (only to find joints) or actions (written as actions "
        "too, as for a mesh alone)",
    )
    rig.add_argument("--bones", type=int, metavar="N", help="exactly this many (default: what is needed, at most 32)")
    rig.add_argument("--fps", type=float, help="instead of the sequences' own")
    rig.add_argument("--up", choices=("x", "y", "z"), default="y", help="the axis that points up in the file")
    rig.add_argument("--scale", type=float, default=1.0, help="multiplies every position")
    rig.add_argument("--preset", default="small", metavar="P", help="whose part descriptor names the bones")


def run_rig(options: argparse.Namespace) -> None:
    """`m2v rig`."""
    from core.io.rig_export import check_rig_output

    check_rig_output(options.out)
    check_writable(options.out, ExportError)
    from core.io.export_clip import ExportOptions
    from core.io.export_notes import export_notes
    from core.io.mesh.mesh_reader import read_mesh
    from core.io.rig_export import export_rig
    from core.pipelines.borrowed_rig import rig_with_bank
    from core.pipelines.make_rig import USUAL, RigOptions

    chosen = USUAL if options.bones is None else RigOptions(options.bones, exactly=True)
    meshes = [path for path in options.inputs if not _moves(path)]
    if len(meshes) > 1:
        raise ExportError(f"{meshes[0].name} and {meshes[1].name} are two meshes; a rig is for one and its motions.")
    motions = [motion for path in options.inputs if path not in meshes for motion in _read(path)]
    if not motions and options.windows not in (None, "actions"):
        raise ExportError(f"{meshes[0].name} has no motion, so its actions are borrowed; leave --windows out.")
    animated = (path for path in options.inputs if path.suffix.lower() in GLTF)
    looks = options.source or next(iter(meshes), None) or next(animated, None)
    source = None if looks is None else read_mesh(looks)
    if looks is not None and source is not None:
        print_notes(looks, source.notes)
        print_notes(options.out, export_notes(source, options.out.suffix.lower()))
    names, sequences = [name for name, _ in motions], [sequence for _, sequence in motions]
    with progress_bar() as on_step:
        result = rig_with_bank(sequences, names, source, options.windows or "none", chosen, options.preset, on_step)
    wanted = ExportOptions(options.fps, up_axis=options.up, scale=options.scale)
    for path in export_rig(result.rig, result.rest, options.out, source, options=wanted):
        print(path)
    print(result.sentence, file=sys.stderr)


def _moves(path: Path) -> bool:
    """Whether a file holds motion, not only a mesh."""
    from core.io.gltf.scene import GltfScene
    from core.io.mesh.mesh_formats import READABLE_SUFFIXES

    if path.suffix.lower() in GLTF:
        return bool(GltfScene(path).clip_names)
    return path.suffix.lower() not in READABLE_SUFFIXES


def _read(path: Path) -> list[tuple[str, MeshSequence]]:
    """(name, motion) of every motion in a file: every clip of a glTF file, or the one sequence of another."""
    from core.io.gltf.clip_reader import read_clip
    from core.io.gltf.scene import GltfScene
    from core.io.sequence_file import read_sequence

    if path.suffix.lower() not in GLTF:
        return [(path.stem, read_sequence(path))]
    return [(name, read_clip(path, number)) for number, name in enumerate(GltfScene(path).clip_names)]
