"""`m2v rig`: bones, weights and sparse keys from motions of one mesh."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from core.atomic import check_writable
from core.cli.arguments import AddCommand, print_notes, progress_bar
from core.errors import DataError, ExportError

if TYPE_CHECKING:
    from core.sequence import MeshSequence

GLTF = (".glb", ".gltf")


def add_command(command: AddCommand) -> None:
    """Register `m2v rig`."""
    rig = command("rig", run_rig, "Make a rig from motions: bones, weights, and an action for each motion.")
    rig.add_argument(
        "motions", type=Path, nargs="+", metavar="MOTION", help="of one mesh: sequences (.npz), animated .glb or .gltf"
    )
    rig.add_argument("out", type=Path, metavar="OUT", help=".glb, or .usdc, .usda, .usdz")
    rig.add_argument("--source", type=Path, metavar="MESH", help="the mesh they were made from, for its materials")
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
    from core.pipelines.make_rig import RigOptions, make_rig
    from core.pipelines.part_descriptions import name_parts

    chosen = RigOptions() if options.bones is None else RigOptions(options.bones, exactly=True)
    chosen.validate()
    motions = [motion for path in options.motions for motion in _read(path)]
    looks = options.source or next((path for path in options.motions if path.suffix.lower() in GLTF), None)
    source = None if looks is None else read_mesh(looks)
    if looks is not None and source is not None:
        print_notes(looks, source.notes)
        print_notes(options.out, export_notes(source, options.out.suffix.lower()))
    up = "y" if source is None else source.up_axis
    names, sequences = [name for name, _ in motions], [sequence for _, sequence in motions]
    with progress_bar() as on_step:
        result = make_rig(sequences, names, chosen, up, name_parts(options.preset), on_step)
    wanted = ExportOptions(options.fps, up_axis=options.up, scale=options.scale)
    for path in export_rig(result.rig, sequences[0], options.out, source, options=wanted):
        print(path)
    print(result.sentence, file=sys.stderr)


def _read(path: Path) -> list[tuple[str, MeshSequence]]:
    """The motions in a file with their names: of a glTF file, every clip."""
    from core.io.gltf.clip_reader import read_clip
    from core.io.gltf.scene import GltfScene
    from core.io.sequence_file import read_sequence

    if path.suffix.lower() not in GLTF:
        return [(path.stem, read_sequence(path))]
    names = GltfScene(path).clip_names
    if not names:
        raise DataError(f"{path.name} has no animation, so it needs no bones; give a file with a motion.")
    return [(name, read_clip(path, number)) for number, name in enumerate(names)]
