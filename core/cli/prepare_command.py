"""`m2v prepare FORMAT SRC DST`: turns a data set into shards for training, or rigs into one rig bank."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from core.atomic import check_writable
from core.cli.arguments import AddCommand, counting_bar
from core.data.data_sets import DATA_SETS
from core.errors import ExportError

if TYPE_CHECKING:
    from core.data.prepare import PrepareSummary

SHOWN = 10  # skipped clips that are printed; summary.json has all


def add_command(command: AddCommand) -> None:
    """Register `m2v prepare`."""
    prepare = command("prepare", run_prepare, "Turn a data set into shards for training; continues where it stopped.")
    about = "; ".join(f"{name}: {what}" for name, what in DATA_SETS.items())
    prepare.add_argument("format", choices=tuple(DATA_SETS), metavar="FORMAT", help=about)
    prepare.add_argument("source", type=Path, metavar="SRC", help="the set as downloaded")
    prepare.add_argument("out", type=Path, metavar="DST", help="a folder for the shards")
    prepare.add_argument("--points", type=int, default=4096, metavar="N", help="tracked surface points per clip")
    prepare.add_argument(
        "--references", type=int, default=4, metavar="R", help="frames per clip with occupancy queries"
    )
    prepare.add_argument(
        "--splits",
        default="own",
        metavar="S",
        help="own (published lists beside the set, or a rule), train or test (all of it), or a list file or folder",
    )
    prepare.add_argument("--fps", type=float, help="instead of the layout's")
    prepare.add_argument("--up", choices=("x", "y", "z"), help="the axis that points up, instead of the layout's")
    prepare.add_argument("--licence", default=argparse.SUPPRESS, metavar="TEXT", help="goes into every clip's header")
    prepare.add_argument("--jobs", type=int, default=1, metavar="N", help="worker processes")
    prepare.add_argument("--backend", choices=("joblib", "dask"), default="joblib", help="who runs them")
    prepare.add_argument(
        "--scheduler", default=argparse.SUPPRESS, metavar="ADDRESS", help="of a Dask cluster; left out: a local one"
    )


def run_prepare(options: argparse.Namespace) -> None:
    """`m2v prepare`."""
    check_writable(options.out, ExportError)
    if options.format == "rigs" and options.out.suffix == ".safetensors":
        _prepare_bank(options)
        return
    from core.data.prepare import PrepareOptions, prepare

    chosen = PrepareOptions(
        points=options.points,
        references=options.references,
        fps=options.fps,
        up_axis=options.up,
        splits=options.splits,
        licence=getattr(options, "licence", ""),
        jobs=options.jobs,
        backend=options.backend,
        scheduler=getattr(options, "scheduler", ""),
    )
    with counting_bar() as on_shard:
        summary = prepare(options.format, options.source, options.out, chosen, on_shard)
    _show(summary)
    print(options.out)


def _prepare_bank(options: argparse.Namespace) -> None:
    from core.data.rig_prepare import prepare_rigs

    with counting_bar() as on_rig:
        prepare_rigs(options.source, options.out, on_rig)
    print(options.out)


def _show(summary: PrepareSummary) -> None:
    """Print the summary as a table, and why clips were skipped, to the error stream."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(stderr=True)
    title = f"{summary.format}: {summary.shards} shards ({summary.made} made now), {summary.bytes / 1e6:,.1f} MB"
    table = Table("split", title=title)
    table.add_column("clips", justify="right")
    table.add_column("frames", justify="right")
    for split, (clips, frames) in summary.splits.items():
        table.add_row(split, f"{clips:,}", f"{frames:,}")
    table.add_row("all", f"{summary.clips:,}", f"{summary.frames:,}")
    table.add_row("skipped", f"{len(summary.skipped):,}", "")
    console.print(table)
    for _, why in summary.skipped[:SHOWN]:
        console.print(Text(f"skipped: {why}"))
    if len(summary.skipped) > SHOWN:
        print(f"and {len(summary.skipped) - SHOWN:,} more, see summary.json", file=sys.stderr)
