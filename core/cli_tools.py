"""The commands around the model: `m2v export`, `info`, `bench` and `prepare`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from core import cli_prepare
from core.cli_common import AddCommand, add_model_arguments, check_output, check_writable, progress_bar


def add_commands(command: AddCommand) -> None:
    """Register the four commands."""
    bench = command("bench", run_bench, "Time the pipeline or the training on this machine and write a report.")
    bench.add_argument("--out", type=Path, required=True, metavar="BENCH.json", help="a .md is written beside it")
    bench.add_argument("--repeats", type=int, default=3, help="calls of which the median counts")
    bench.add_argument("--untrained", action="store_true", help="fresh weights: speed does not depend on them")
    bench.add_argument("--no-window", action="store_true", help="leave the editor's window out")
    add_model_arguments(bench)
    training = bench.add_argument_group("training")
    training.add_argument("--training", action="store_true", help="time a stage's training, over the plainest loop")
    training.add_argument("--stage", default="motion-diffusion", help="which one")
    training.add_argument("--seconds", type=float, default=30.0, metavar="S", help="of each run")
    training.add_argument(
        "--set", dest="overrides", action="append", default=[], metavar="KEY.PATH=VALUE", help="as for m2v train"
    )

    export = command("export", run_export, "Convert a sequence file to another format.")
    export.add_argument("sequence", type=Path, metavar="SEQ.npz")
    export.add_argument("out", type=Path, metavar="OUT", help="its suffix picks the format")
    export.add_argument(
        "--source", type=Path, metavar="MESH", help="the mesh it was made from: its vertices and materials"
    )
    export.add_argument("--fps", type=float, help="instead of the sequence's own")
    export.add_argument("--start", type=int, default=0, metavar="N", help="first frame")
    export.add_argument("--end", type=int, metavar="N", help="last frame")
    export.add_argument("--up", choices=("x", "y", "z"), default="y", help="the axis that points up in the file")
    export.add_argument("--scale", type=float, default=1.0, help="multiplies every position")

    info = command("info", run_info, "Show what a checkpoint or preset is and how it was trained.")
    info.add_argument("checkpoint", metavar="CHECKPOINT", help="a .safetensors file, a folder of them, or a preset")

    cli_prepare.add_command(command)


def run_bench(options: argparse.Namespace) -> None:
    """`m2v bench`."""
    check_writable(options.out)
    if options.training:
        _run_training_bench(options)
        return
    from core.evaluation.benchmark import run_benchmark
    from core.pipelines.request import Progress

    with progress_bar() as on_step:
        run_benchmark(
            options.out,
            preset=options.preset,
            device=options.device,
            untrained=options.untrained,
            repeats=options.repeats,
            window=not options.no_window,
            on_progress=lambda done, total, what: on_step(Progress(done, total, what)),
        )
    print(options.out)


def _run_training_bench(options: argparse.Namespace) -> None:
    from core.evaluation.reporting import write_json, write_text
    from core.pipelines.request import Progress
    from core.training.benchmark import benchmark_markdown, benchmark_training

    with progress_bar() as on_step:
        report = benchmark_training(
            options.preset,
            options.stage,
            options.seconds,
            options.repeats,
            overrides=options.overrides,
            on_progress=lambda done, total, what: on_step(Progress(done, total, what)),
        )
    write_json(options.out, report)
    write_text(options.out.with_suffix(".md"), benchmark_markdown(report))
    print(
        f"{report['ours']:.2f} clips/s, {report['ratio']:.2f} times the {report['plain']:.2f} of the plain loop; "
        f"load average {report['load_average']}",
        file=sys.stderr,
    )
    print(options.out)


def run_export(options: argparse.Namespace) -> None:
    """`m2v export`."""
    check_output(options.out)
    from core.export import ExportOptions, export_sequence, read_sequence
    from core.geometry.mesh import read_mesh

    sequence = read_sequence(options.sequence)
    source = None if options.source is None else read_mesh(options.source)
    chosen = ExportOptions(options.fps, options.start, options.end, options.up, options.scale)
    for path in export_sequence(sequence, options.out, source, options=chosen):
        print(path)


def run_info(options: argparse.Namespace) -> None:
    """`m2v info`."""
    from core.cli_info import show_info

    show_info(options.checkpoint)
