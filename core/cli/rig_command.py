"""`m2v rig`: bones, weights and sparse keys from motions of one mesh."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from core.atomic import check_writable
from core.cli.arguments import AddCommand, print_notes, progress_bar
from core.errors import ExportError


def add_command(command: AddCommand) -> None:
    """Register `m2v rig`."""
    rig = command("rig", run_rig, "Make a rig from motions: bones, weights, and an action for each motion.")
    rig.add_argument("sequences", type=Path, nargs="+", metavar="SEQ.npz", help="sequence files of one mesh")
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
    from core.io.sequence_file import read_sequence
    from core.pipelines.make_rig import RigOptions, make_rig
    from core.pipelines.part_descriptions import name_parts

    chosen = RigOptions() if options.bones is None else RigOptions(options.bones, exactly=True)
    chosen.validate()
    sequences = [read_sequence(path) for path in options.sequences]
    source = None if options.source is None else read_mesh(options.source)
    if source is not None:
        print_notes(options.source, source.notes)
        print_notes(options.out, export_notes(source, options.out.suffix.lower()))
    up = "y" if source is None else source.up_axis
    names = [path.stem for path in options.sequences]
    with progress_bar() as on_step:
        result = make_rig(sequences, names, chosen, up, name_parts(options.preset), on_step)
    wanted = ExportOptions(options.fps, up_axis=options.up, scale=options.scale)
    for path in export_rig(result.rig, sequences[0], options.out, source, options=wanted):
        print(path)
    print(result.sentence, file=sys.stderr)
