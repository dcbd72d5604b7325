"""`m2v evaluate PROTOCOL --out REPORT.json` runs a protocol and writes its report. Also `python -m core.evaluation`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.cli.arguments import counting_bar
from core.errors import M2VError
from core.evaluation.reporting import OnProgress
from core.experiments.protocols import PROTOCOLS, ProtocolOptions, run_protocol
from core.pipelines.request import QUALITIES


def main(arguments: list[str] | None = None) -> int:
    """Run a protocol; returns 0, or 2 for bad input, with one sentence on the error stream."""
    parser = argparse.ArgumentParser(prog="python -m core.evaluation", description=__doc__)
    parser.add_argument("protocol", choices=sorted((*PROTOCOLS, "report")), help="report: one page from all reports")
    parser.add_argument(
        "--out", required=True, help="report, .json; a .md is written beside it. For `report` the folder of the reports"
    )
    parser.add_argument(
        "--raw", metavar="FILE", help="write the rows of every clip too, as .json; otherwise they are not kept"
    )
    parser.add_argument("--preset", default="small", help="bundled preset, or a folder with one file per stage")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--untrained", action="store_true", help="random weights: the geometric warm start alone")
    parser.add_argument("--clips", type=int, default=24, help="procedural clips")
    parser.add_argument("--clips-unseen-motion", type=int, help="procedural clips of trained identities")
    parser.add_argument("--rigs", help="folder of rigged GLB files")
    parser.add_argument("--rigs-per-identity", type=int, default=1, help="clips of each unseen identity")
    parser.add_argument("--tracks-per-identity", type=int, metavar="N", help="prior: of these, so many get full tracks")
    parser.add_argument("--rigs-unseen-motion", type=int, default=0, help="unseen-motion clips over all rigs")
    parser.add_argument("--rigs-left-out", type=int, default=0, help="scans: clips of authors left out of training")
    parser.add_argument("--samples", type=int, default=100_000, help="scans: points of every measure")
    parser.add_argument("--seeds", type=int, help="default: 8 for handles and prior, 3 for scans and ablations")
    parser.add_argument("--quality", choices=QUALITIES, default="normal")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--vertices", type=int, default=1500, help="of a procedural mesh, roughly")
    parser.add_argument("--all-tasks", action="store_true", help="1, 3, 5, 10 handles x full, keyframes, last frame")
    parser.add_argument("--pictures", metavar="DIR", help="handles: the ten best and worst clips; prior: eight drags")
    ablations = parser.add_argument_group("ablations")
    ablations.add_argument("--rows", type=_names, default=[], metavar="A,B", help="only these and their controls")
    ablations.add_argument("--train-clips", type=int, default=1200, help="clips that each trained stage sees")
    ablations.add_argument(
        "--set", dest="overrides", action="append", default=[], metavar="KEY.PATH=VALUE", help="for every row"
    )
    ablations.add_argument("--config", help="the preset or YAML file that rows change (default: --preset)")
    options = vars(parser.parse_args(arguments))
    name, out, raw = options.pop("protocol"), Path(options.pop("out")), options.pop("raw")
    try:
        if name == "report":
            from core.experiments.results_page import write_results

            print(write_results(out))
            return 0
        with _progress() as on_progress:
            report = run_protocol(name, out, ProtocolOptions(**options), raw, on_progress)
    except M2VError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{len(report['clips'])} clips evaluated; the report is in {out.with_suffix('.md')} and {out}.")
    return 0


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


@contextmanager
def _progress() -> Iterator[OnProgress]:
    """A bar in a terminal, a line per step elsewhere."""
    if sys.stderr.isatty():
        with counting_bar() as tell:
            yield tell
    else:
        yield lambda done, total, what: print(f"[{done}/{total}] {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
