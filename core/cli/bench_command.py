"""`m2v bench`: times the pipeline, or training, on this machine."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from core.atomic import check_writable
from core.cli.arguments import AddCommand, add_model_arguments, counting_bar, print_table
from core.errors import ExportError


def add_command(command: AddCommand) -> None:
    """Register `m2v bench`."""
    bench = command("bench", run_bench, "Time the pipeline or the training on this machine and write a report.")
    bench.add_argument("--out", type=Path, required=True, metavar="BENCH.json", help="a .md is written beside it")
    bench.add_argument("--repeats", type=int, default=3, help="timed calls, of which the median counts")
    bench.add_argument("--untrained", action="store_true", help="fresh weights: speed does not depend on them")
    bench.add_argument("--no-window", action="store_true", help="do not time the editor's window")
    add_model_arguments(bench)
    training = bench.add_argument_group("training")
    training.add_argument("--training", action="store_true", help="time a stage's training beside a plain loop")
    training.add_argument("--stage", default="motion-diffusion", help="which stage")
    training.add_argument("--seconds", type=float, default=30.0, metavar="S", help="of each run")
    training.add_argument(
        "--set", dest="overrides", action="append", default=[], metavar="KEY.PATH=VALUE", help="as for m2v train"
    )


def run_bench(options: argparse.Namespace) -> None:
    """`m2v bench`."""
    check_writable(options.out, ExportError)
    if options.training:
        _run_training_bench(options)
        return
    from core.experiments.pipeline_benchmark import HEAD, benchmark_rows, run_benchmark

    with counting_bar() as on_progress:
        report = run_benchmark(
            options.out,
            preset=options.preset,
            device=options.device,
            untrained=options.untrained,
            repeats=options.repeats,
            window=not options.no_window,
            on_progress=on_progress,
        )
    title = f"{report['mesh']['vertices']:,} vertices, preset {report['preset']} on {report['device']}"
    print_table(title, HEAD, benchmark_rows(report))
    print(options.out)


def _run_training_bench(options: argparse.Namespace) -> None:
    from core.evaluation.reporting import page, write_report
    from core.experiments.training_benchmark import benchmark_tables, benchmark_training

    with counting_bar() as on_progress:
        report = benchmark_training(
            options.preset,
            options.stage,
            options.seconds,
            options.repeats,
            overrides=options.overrides,
            on_progress=on_progress,
        )
    write_report(options.out, report, page("Speed of training", *benchmark_tables(report)))
    print(
        f"{report['ours']:.2f} clips/s, {report['ratio']:.2f} times the {report['plain']:.2f} of the plain loop; "
        f"load average {report['load_average']}",
        file=sys.stderr,
    )
    print(options.out)
