"""`m2v export`: converts a sequence file to another format."""

from __future__ import annotations

import argparse
from pathlib import Path

from core.cli.arguments import AddCommand, check_output, print_notes


def add_command(command: AddCommand) -> None:
    """Register `m2v export`."""
    export = command("export", run_export, "Convert a sequence file to another format.")
    export.add_argument("sequence", type=Path, metavar="SEQ.npz")
    export.add_argument("out", type=Path, metavar="OUT", help="its suffix picks the format")
    export.add_argument(
        "--source", type=Path, metavar="MESH", help="the mesh it was made from, for its vertices and materials"
    )
    export.add_argument("--fps", type=float, help="instead of the sequence's own")
    export.add_argument("--start", type=int, default=0, metavar="N", help="first frame")
    export.add_argument("--end", type=int, metavar="N", help="last frame")
    export.add_argument("--up", choices=("x", "y", "z"), default="y", help="the axis that points up in the file")
    export.add_argument("--scale", type=float, default=1.0, help="multiplies every position")


def run_export(options: argparse.Namespace) -> None:
    """`m2v export`."""
    check_output(options.out)
    from core.io.export import export_sequence
    from core.io.export_clip import ExportOptions
    from core.io.export_notes import export_notes
    from core.io.mesh.mesh_reader import read_mesh
    from core.io.sequence_file import read_sequence

    sequence = read_sequence(options.sequence)
    source = None if options.source is None else read_mesh(options.source)
    if source is not None:
        print_notes(options.source, source.notes)
        print_notes(options.out, export_notes(source, options.out.suffix.lower()))
    chosen = ExportOptions(options.fps, options.start, options.end, options.up, options.scale)
    for path in export_sequence(sequence, options.out, source, options=chosen):
        print(path)
