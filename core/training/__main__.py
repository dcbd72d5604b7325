"""`python -m core.training STAGE ...`, also `m2v train`. It needs only torch, accelerate and a few small packages."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from accelerate import PartialState

from core.atomic import folder_lock
from core.checkpoint import EVERY_STAGE, STAGES
from core.config import load_config
from core.errors import M2VError
from core.training.contact_sheets import ContactSheets
from core.training.interrupts import stopped_like_interrupted
from core.training.loop import Budget, Report
from core.training.stages import train


def parser() -> argparse.ArgumentParser:
    """The arguments of training."""
    result = argparse.ArgumentParser(prog="m2v train", description=__doc__)
    result.add_argument("stage", choices=(*EVERY_STAGE, "all"))
    result.add_argument("--config", default="small", help="a preset's name or a YAML file")
    result.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY.PATH=VALUE")
    result.add_argument("--resume", "--out", dest="folder", type=Path, help="folder to write to and to continue from")
    result.add_argument(
        "--from",
        dest="weights",
        action="append",
        default=[],
        metavar="FOLDER|PRESET",
        help="weights to begin with (if repeated, their mean), unless the folder to write to has a state already",
    )
    result.add_argument("--minutes", type=float, help="time budget of this run, divided among the stages")
    result.add_argument("--steps", type=int, help="number of optimiser steps per stage, earlier runs counted")
    result.add_argument("--seed", type=int, default=0)
    result.add_argument("--check-minutes", type=float, default=3.0, help="minutes between held-out checks and saves")
    return result


def run(arguments: argparse.Namespace) -> int:
    """Train and print progress; returns the exit code."""
    config = load_config(arguments.config, arguments.overrides)
    Budget(arguments.steps, arguments.minutes)  # reports wrong values at once
    folder = arguments.folder or Path("runs") / config.name
    stages = STAGES if arguments.stage == "all" else (arguments.stage,)
    bar = ProgressLine()
    # In a distributed run the first process locks the folder.
    with folder_lock(folder) if os.environ.get("RANK", "0") == "0" else nullcontext():
        records = train(
            stages,
            config,
            folder,
            arguments.steps,
            arguments.minutes,
            arguments.seed,
            bar,
            on_check=ContactSheets(folder),
            minutes_between_checks=arguments.check_minutes,
            weights=arguments.weights,
        )
    bar.end()
    if not PartialState().is_main_process:  # only the first process prints
        return 0
    for record in records:
        print(f"{record['stage']}: {record['step']} steps, {record['clips']} clips, {record['checks'][-1:]}")
    print(f"weights, states and logs are in {folder}")
    return 0


class ProgressLine:
    """A progress line, rewritten on a terminal and printed now and then elsewhere."""

    def __init__(self) -> None:
        self.last = 0.0
        self.terminal = sys.stderr.isatty()

    def __call__(self, report: Report) -> None:
        now = time.monotonic()
        if now - self.last < (0.2 if self.terminal else 60.0):
            return
        self.last = now
        filled = int(24 * min(1.0, report.fraction))
        line = (
            f"{report.stage} [{'#' * filled}{'.' * (24 - filled)}] step {report.step}  loss {report.loss:.4f}  "
            f"{report.clips_per_second:.1f} clips/s"
        )
        print(
            f"\r{line}\x1b[K" if self.terminal else line, end="" if self.terminal else "\n", file=sys.stderr, flush=True
        )

    def end(self) -> None:
        if self.terminal:
            print(file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns 0, 2 for bad input (with one sentence on the error stream) or 130 if interrupted."""
    try:
        with stopped_like_interrupted():
            return run(parser().parse_args(argv))
    except M2VError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted; the state of the last whole step is saved.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
