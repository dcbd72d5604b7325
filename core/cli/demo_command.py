"""`m2v demo`: runs the editor's whole workflow without a display."""

from __future__ import annotations

import argparse
from pathlib import Path

from core.atomic import check_writable
from core.cli.arguments import AddCommand
from core.errors import ExportError


def add_command(command: AddCommand) -> None:
    """Register `m2v demo`."""
    demo = command("demo", run_demo, "Run the editor's whole workflow, with screenshots; needs no display.")
    demo.add_argument("--out", type=Path, required=True, metavar="DIR")


def run_demo(options: argparse.Namespace) -> None:
    """`m2v demo`."""
    check_writable(options.out, ExportError)
    from m2v_studio.demo import run_demo as demo

    demo(options.out, on_file=lambda path: print(path, flush=True))
