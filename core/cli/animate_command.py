"""`m2v animate`: samples motions of a mesh that follow handles, several seeds, and exports them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from core.cli.arguments import (
    AddCommand,
    add_model_arguments,
    add_motion_arguments,
    add_output,
    add_sampling_arguments,
    check_output,
    percent,
    print_mesh_notes,
    print_notes,
    print_table,
    progress_bar,
    sampling_options,
)
from core.cli.keys_command import CLIP, clip_list, follow_clip
from core.errors import HandleError
from core.io.export_formats import seed_path

if TYPE_CHECKING:
    from core.pipelines.request import SampleSet


UNUSED = "not used; --clip NAME follows one of them, and m2v bank add lets motions be borrowed from them."


def add_command(command: AddCommand) -> None:
    """Register `m2v animate`."""
    animate = command("animate", run_animate, "Sample motions of a mesh that follow handles, and export them.")
    animate.add_argument("source", type=Path, metavar="SOURCE", help="mesh: OBJ, PLY, STL, OFF, glTF or USD")
    animate.add_argument("--handles", type=Path, metavar="H.yaml", help="handle file")
    animate.add_argument(
        "--clip", metavar="NAME", help=f"start in the first pose of {CLIP}, and follow it where no handles are given"
    )
    add_output(animate)
    add_sampling_arguments(animate)
    add_motion_arguments(animate)
    animate.add_argument("--frames", type=int, metavar="N", help="2 to 1000, instead of the handle file's")
    animate.add_argument("--up", choices=("x", "y", "z"), help="the mesh's up axis, if it is not the format's own")
    add_model_arguments(animate)


def run_animate(options: argparse.Namespace) -> None:
    """`m2v animate`: all input is checked before the model is loaded."""
    from core.io.export_notes import export_notes
    from core.io.handle_file import read_handle_file
    from core.io.mesh.mesh_reader import read_mesh

    if options.handles is None and options.clip is None:
        raise HandleError("There is nothing to follow; give --handles H.yaml, or --clip NAME of an animated SOURCE.")
    sampling = sampling_options(options)
    check_output(options.out)
    mesh = read_mesh(options.source, options.up)
    print_mesh_notes(options.source, mesh, options.up)
    print_notes(options.out, export_notes(mesh, options.out.suffix.lower()))
    if options.clip is None:
        if mesh.clips:
            print_notes(options.source, [f"{clip_list(mesh)} in it {'is' if len(mesh.clips) == 1 else 'are'} {UNUSED}"])
    else:
        mesh, tracks, sentence = follow_clip(options.source, mesh, options.clip, options.frames)
        print_notes(options.source, [] if options.handles else [sentence])
    if options.handles is not None:
        tracks = read_handle_file(options.handles, mesh, options.frames)

    from core.io.export import export_sequence
    from core.pipelines.animate import Animator

    animator = Animator.load(options.preset, options.device)
    if animator.library is not None:
        animator.library.check_names(sampling.without)
    with progress_bar() as on_step:
        samples = animator.animate(mesh, tracks, sampling, on_step)
    for sample in samples.samples:
        out = seed_path(options.out, sample.seed, len(samples.samples) > 1)
        export_sequence(sample.sequence, out, mesh)
        print(out)
    _print_samples(samples)


def _print_samples(samples: SampleSet) -> None:
    from core.pipelines.request import MUCH_STRETCH, stretch_warning

    rows = []
    for sample in samples.samples:
        stretch = percent(sample.stretch) + (" !" if sample.stretch > MUCH_STRETCH else "")
        figures = (percent(sample.handle_error), stretch, percent(sample.difference))
        rows.append([str(sample.seed), sample.source or "-", *figures])
    for note in filter(None, (*samples.notes, stretch_warning(samples.samples))):
        print(note, file=sys.stderr)
    title = f"{samples.preset} on {samples.device}, {samples.seconds:.1f} s; figures in % of the size"
    print_table(title, ("seed", "borrowed from", "handle error", "stretch", "difference from the mean"), rows)
