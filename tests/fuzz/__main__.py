"""`python -m tests.fuzz --inputs 100000`: mutated files of every kind through every reader; exits 1 for a fault."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.fuzz.runner import run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first input, to split a run or go on")
    parser.add_argument("--only", default="", help="kinds whose name holds this")
    parser.add_argument("--keep", type=Path, help="folder for the inputs that show a fault")
    options = parser.parse_args()
    began = time.monotonic()
    outcome = run(options.inputs, options.seed, options.keep, options.only, options.first)
    for fault, where in outcome.faults.items():
        print(f"{where}: {fault}", file=sys.stderr)
    print(
        f"{outcome.inputs:,} inputs in {time.monotonic() - began:.0f} s: {outcome.read:,} read, "
        f"{outcome.refused:,} refused, {len(outcome.faults)} faults; slowest {outcome.slowest:.2f} s, "
        f"{outcome.memory >> 20} MB over the start"
    )
    return 1 if outcome.faults else 0


if __name__ == "__main__":
    sys.exit(main())
